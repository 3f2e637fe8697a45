"""What is judged: every baseline, the slow ones on few prompts; kept results are of this version."""

import csv

import pytest

from icgd.reports.document.studies import KEPT_STUDIES
from icgd.verify.study.baselines.table import BASELINES
from icgd.verify.study.measures import R2_MEASURES
from icgd.verify.study.network_judging import network_curves, network_tests
from icgd.verify.study.network_scales import SCALES


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_every_baseline_is_judged_and_the_slow_ones_alone_on_few_prompts(scale):
    judged = [one for one in network_tests(scale, 0, {}) if "names" in one.piece.inputs]
    for N in scale.depths:
        usual = [one for one in judged if one.N == N and one.condition.name == "share 1.0"]
        assert {name for one in usual for name in one.piece.inputs["names"]} == set(BASELINES)
    for one in judged:
        slow = {BASELINES[name].slow for name in one.piece.inputs["names"]}
        assert slow == {one.prompts < scale.prompts}
        assert not slow & {True} or one.condition.name == "share 1.0"
        assert one.piece.inputs["count"] == one.prompts and tuple(one.piece.inputs["at"]) == one.at
    assert len({one.piece.name for one in judged}) == len(judged)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "small"])
def test_kept_rows_that_need_no_model_are_what_this_version_computes(name):
    """Of other plans of the constructions, or other prompts, the kept results would be out of date.

    Then run `icgd study icl-networks` at that scale again and copy its files, as docs/studies.md says.
    They have six digits, and everything compared here is computed in double precision.
    """
    scale = SCALES[name]
    with (KEPT_STUDIES / f"icl-networks-{name}.csv").open(encoding="utf-8", newline="") as file:
        usual = [row for row in csv.DictReader(file) if row["condition"] == "share 1.0"]
    rows = {(row["N"], row["predictor"], row["examples"]): row for row in usual}
    without_model = {("mean",), ("exact",), ("lean",)}
    tests = [
        one
        for one in network_tests(scale, 0, {})
        if one.condition.name == "share 1.0" and one.piece.inputs.get("names") in without_model
        if one.N < 6 and one.at[0] <= scale.slow[1][0]
    ]
    assert len(tests) == 6
    for curve in network_curves(tests, {one.piece.name: one.piece.compute() for one in tests}):
        for place, k in enumerate(curve.at):
            row = rows[str(curve.N), curve.predictor, str(k)]
            assert row["prompts"] == str(curve.prompts)
            for measure in R2_MEASURES:
                found = curve.found[measure][place]
                for end, number in (("", found.value), (" low", found.low), (" high", found.high)):
                    assert float(row[f"{measure}{end}"]) == pytest.approx(number, rel=1e-5, abs=1e-6), row
