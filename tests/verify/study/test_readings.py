"""The table of readings: verdicts by hand, its file as the command writes it, and what all of it says."""

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from icgd.verify.study import readings
from icgd.verify.study.measures import R2_MEASURES, MeasuredR2
from icgd.verify.study.network_task import NetworkTask
from icgd.verify.study.published_curves import published_curve

ROOT = Path(__file__).parents[3]
TABLE = list(csv.DictReader((ROOT / readings.OUT).read_text(encoding="utf-8").splitlines()))
SAID = {"above", "below", "not apart", ""}


def chosen(measure="pooled", **wanted):
    return [row for row in TABLE if row["measure"] == measure and wanted.items() <= row.items()]


UNSHIFTED = {"share": "1", "parameters": "0"}


def test_every_test_is_read_in_every_way_once():
    keys = [tuple(row[name] for name in readings.table_header()[:8]) for row in TABLE]
    assert len(set(keys)) == len(keys)
    asked = [(task.N, share, task.mean) for task, share in readings.published_tests()]
    counted = Counter((int(row["N"]), float(row["share"]), float(row["parameters"])) for row in TABLE)
    for key, count in Counter(asked).items():
        assert counted[key] == count * len(R2_MEASURES) * (2 if key[1:] == (1, 0) else 1)
    assert {row["prompts"] for row in TABLE} == {str(readings.READ_PROMPTS)}
    assert {value for row in TABLE for name, value in row.items() if " against " in name} <= SAID


def test_what_the_findings_say_holds_in_every_reading():
    """By the pooled R^2, and by that of batches of 64, for networks with a linear output."""
    for measure in ("pooled", "batches of 64"):
        linear = chosen(measure, output="linear", **UNSHIFTED)
        assert len(linear) == 27
        for row in linear:
            transformers = {name: row[f"{name} transformer against mean"] for name in ("ReLU", "softmax")}
            assert transformers["ReLU"] != "above", row
            assert transformers["softmax"] == "above" or row["N"] == "6", row
            against = [value for name, value in row.items() if name.endswith(" against ridge")]
            assert "above" not in against, row
        for row in chosen(measure, share="0.5"):
            assert row["ReLU transformer against mean"] == "below", row
        for row in chosen(measure, parameters="0.5"):
            assert row["softmax transformer against ridge"] == "above", row


def test_where_the_last_layer_is_activated_less_holds():
    """What the findings do not claim: then some transformers are above the mean, or above ridge."""
    activated = {N: chosen(N=N, output="activated", **UNSHIFTED) for N in ("3", "4", "6")}
    above = {
        (N, name): sum(row[f"{name} transformer against mean"] == "above" for row in rows)
        for N, rows in activated.items()
        for name in ("ReLU", "softmax")
    }
    assert above["3", "ReLU"] > 4 and above["4", "ReLU"] == above["6", "ReLU"] == above["6", "softmax"] == 0
    assert sum(row["softmax transformer against ridge"] == "above" for row in activated["4"]) > 4


def test_within_prompts_the_mean_explains_nothing_and_ridge_does():
    for row in chosen("within", **UNSHIFTED):
        assert float(row["mean"]) < 0 < 0.44 < float(row["ridge"]), row
        assert float(row["mean high"]) < float(row["ridge low"]), row


def test_a_row_of_the_table_is_what_numpy_finds():
    """The mean of the labels, pooled and within, computed again from the definition."""
    (row,) = chosen(N="3", width="20", biases="no", output="linear", **UNSHIFTED)
    generator = torch.Generator().manual_seed(int(row["seed"]))
    drawn = NetworkTask(3).prompts(int(row["prompts"]), 50, 1.0, generator, dtype=torch.float64)
    y = drawn.y.numpy()
    errors = {k: (y[:, k] - y[:, :k].mean(1)) ** 2 for k in range(26, 51)}
    pooled = np.mean([1 - errors[k].mean() / y[:, k].var() for k in errors])
    within = np.mean([1 - errors[k].sum() / y.var(1, ddof=1).sum() for k in errors])
    assert float(row["mean"]) == pytest.approx(pooled, abs=6e-5)
    (other,) = chosen("within", N="3", width="20", biases="no", output="linear", **UNSHIFTED)
    assert float(other["mean"]) == pytest.approx(within, abs=6e-5)


def test_the_command_writes_the_table(tmp_path, monkeypatch, capsys):
    few = [(NetworkTask(4, d=20, width=8), 1.0), (NetworkTask(4, d=20, width=8), 0.5)]
    monkeypatch.setattr(readings, "published_tests", lambda widths: iter(few))
    out = tmp_path / "new" / "table.csv"
    assert readings.main(["--prompts", "70", "--out", str(out)]) == 0
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 3 * len(R2_MEASURES) and list(rows[0]) == readings.table_header()
    assert [row["output"] for row in rows[:: len(R2_MEASURES)]] == ["linear", "activated", "linear"]
    assert rows[0]["network beside ReLU against mean"] and not rows[-1]["network beside ReLU against mean"]
    for wrong, said in (
        (["--prompts", "1", "--out", str(out)], "prompts = 1: at least 2 are needed"),
        (["--seed", "-1", "--out", str(out)], "seed = -1: it is at least 0"),
        (["--out", str(tmp_path)], "it cannot be written"),  # said before any work is done
    ):
        assert readings.main(wrong) == 2
        assert said in capsys.readouterr().err


def test_a_curve_is_apart_only_where_intervals_are_disjoint():
    curve = published_curve("relu", 6)
    interval = curve.interval()
    task, beside = NetworkTask(6), MeasuredR2(0.5, 0.4, 0.6)
    reading = readings.Reading(task, 1.0, 100, 0, beside, {("pooled", "mean"): beside})
    assert reading.verdict(curve, "pooled", "mean") == "above"
    for low, high, said in (
        (interval.high - 0.001, 1, "not apart"),
        (interval.high + 0.001, 1, "below"),
        (0, interval.low + 0.001, "not apart"),
        (0, interval.low - 0.001, "above"),
    ):
        found = {("pooled", "mean"): MeasuredR2((low + high) / 2, low, high)}
        assert replace(reading, measured=found).verdict(curve, "pooled", "mean") == said
    empty = {("pooled", "mean"): MeasuredR2(*[float("nan")] * 3)}
    assert replace(reading, measured=empty).verdict(curve, "pooled", "mean") == ""
    assert len(reading.curves) == 4 and not replace(reading, share=0.25).curves


def test_the_page_says_what_the_table_says():
    """Its table cell by cell, and the numbers in its sentences."""
    page = " ".join((ROOT / "docs" / "study-readings.md").read_text(encoding="utf-8").split())

    def tally(rows, column):
        found = Counter(row[column] for row in rows).most_common()
        return ", ".join(f"{word} in {'all ' * (len(found) == 1)}{count}" for word, count in found)

    against = ("ReLU transformer against mean", "softmax transformer against mean")
    columns = (*against, "softmax transformer against ridge")
    for output in ("linear", "activated"):
        for N in ("3", "4", "6"):
            rows, batches = (
                chosen(one, N=N, output=output, **UNSHIFTED) for one in ("pooled", "batches of 64")
            )
            assert f"| {output} | {N} | {' | '.join(tally(rows, one) for one in columns)} |" in page
            if output == "linear":
                assert [tally(rows, one) for one in columns] == [tally(batches, one) for one in columns]
            elif N != "3":
                ours = (2, 9) if N == "4" else (2, 6)
                assert tuple(sum(row[one] == "above" for row in batches) for one in against) == ours
    assert "ReLU is above the mean also in 2 readings each at N = 4 and 6, and softmax in 6 at N = 6" in page
    gaps = [
        published_curve("relu", 3).plateau - float(row["mean"])
        for row in chosen(N="3", output="linear", **UNSHIFTED)
    ]
    assert f"is {min(gaps):.3f} to {max(gaps):.3f} above the mean" in page
    unshifted = chosen("within", **UNSHIFTED)
    for name, sentence in (("ridge", "ridge {} to {}"), ("between", "On these tasks c is {} to {}")):
        found = [float(row[name]) for row in unshifted]
        assert sentence.format(f"{min(found):.2f}", f"{max(found):.2f}") in page
    of_networks = {
        N: [
            row[f"network beside {name} against mean"]
            for row in chosen(N=N, **UNSHIFTED)
            for name in ("ReLU", "softmax")
        ]
        for N in ("3", "4", "6")
    }
    assert set(of_networks["3"]) == {"above"} and set(of_networks["6"]) == {"above", "not apart"}
    assert Counter(of_networks["4"]) == {"not apart": 35, "above": 1}
    moved = chosen(parameters="0.5")
    assert (
        tally(moved, against[0]) == "above in 5, not apart in 1" and "ReLU above the mean in 5 of 6" in page
    )
    raw = chosen(parameters="-0.5", width="200", biases="no")
    assert [row["mean"] for row in raw] == ["nan"]  # all labels of every prompt are equal
