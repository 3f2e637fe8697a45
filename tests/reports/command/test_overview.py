"""An audit, of every theorem or of one, is one screen: whole words, verdicts, gravest findings, the time."""

import copy
import io
import json
import re
from pathlib import Path

import pytest

from icgd.reports.command import stopwatch
from icgd.reports.command.console import Terminal
from icgd.reports.command.overview import show_overview, show_rest, show_theorem
from icgd.reports.document.document import finding_document
from icgd.reports.document.overview import headlines, theorem_rows
from icgd.verify.ledger.entries import entries
from icgd.verify.ledger.settled import Settled

DOCUMENT = json.loads((Path(__file__).parents[1] / "data" / "document_latex.json").read_text())


@pytest.fixture(scope="module")
def document():
    """The document of an audit with all findings of the ledger; their numbers are none that were computed."""
    settled = [Settled(one, dict.fromkeys(one.placeholders, 1.5), (), 0.0) for one in entries()]
    return {**DOCUMENT, "findings": [finding_document(one) for one in settled]}


@pytest.mark.parametrize("width", [80, 160])
def test_an_audit_is_one_screen(document, width):
    console = Terminal(file=io.StringIO(), width=width, color_system=None)
    show_overview(console, document)
    lines = console.file.getvalue().splitlines()
    assert len(lines) <= 36 and max(map(len, lines)) <= width
    for name in {part["theorem"] for part in document["theorems"].values()}:
        assert sum(line.startswith(f"{name} ") for line in lines) == 1
    words = " ".join(" ".join(lines).split())
    for one in headlines(document):
        assert one.sentence in words and one.finding in words and "breaks the statement" in one.label


def test_every_count_stands_under_its_name_and_a_failure_with_its_replay(document):
    broken = {
        "claim": "looped/steps",
        "verdict": "failed",
        "evidence": "off by 2",
        "replay": f"icgd {'x' * 90}",
    }
    theorems = copy.deepcopy(document["theorems"])
    theorems["looped"]["verdicts"].append(broken)
    console = Terminal(file=io.StringIO(), width=80, color_system=None)
    show_overview(console, {**document, "theorems": theorems})
    head, _, *lines = console.file.getvalue().splitlines()
    assert f"replay: {broken['replay']}" in lines
    ends = {found[0]: found.end() for found in re.finditer(r"\S+", head)}
    for row in theorem_rows({**document, "theorems": theorems}):
        (line,) = (one for one in lines if one.startswith(f"{row.theorem} "))
        empty = row.claims.get("aside", 0) + row.claims.get("care", 0)
        counts = {"holds": row.published["holds"], "repair": row.published["repaired"],
                  "fails": row.published["fails"], "open": row.published["open"],
                  "proved": row.claims.get("good", 0), "held": row.claims.get("fair", 0), "empty": empty,
                  "failed": row.claims.get("bad", 0), "s": f"{row.seconds:.0f}"}  # fmt: skip
        for name, count in counts.items():
            start = max(len(row.theorem), *(end for end in ends.values() if end < ends[name]))
            assert line[start : ends[name]].split()[-1:] == [str(count or "·")], (row.theorem, name)
        assert (row.strongest or "·") == line[ends["failed"] : ends["s"]].removesuffix(counts["s"]).strip()


@pytest.mark.parametrize("width", [80, 160])
def test_an_audit_of_one_theorem_is_one_screen(document, width):
    name = "relu-icgd/lean"
    part = document["theorems"][name]
    lacking = {"name": "start", "statement": "s", "status": "fails", "why": "w", "holds": "h"}
    part = {**part, "hypotheses": [lacking, {**lacking, "name": "kept", "status": "holds"}]}
    findings = [one for one in document["findings"] if one["theorem"] == "relu-icgd"]
    alone = {**document, "theorems": {name: part}, "findings": findings}
    console = Terminal(file=io.StringIO(), width=width, color_system=None)
    show_theorem(console, alone, "N = 2, K = 4")
    show_rest(console, alone, "relu-icgd", 49, whole=False)
    lines = console.file.getvalue().splitlines()
    assert len(lines) <= 22 and max(map(len, lines)) <= width
    words = " ".join(" ".join(lines).split())
    assert "N = 2, K = 4; seed 0" in words and "hypotheses not met here: start (fails)" in words
    assert f"Of {len(part['verdicts'])} claims judged here by computation, none failed;" in words
    assert "kept" not in words
    error = part["step_error"]
    assert re.search(r"norm2\(err\): sampled (\S+), attacked (\S+), certified (\S+), allowed", words)
    assert float(re.search(r"certified ([0-9.e-]+)", words)[1]) >= error["bound"]
    gravest = headlines(alone, 3)
    assert len(gravest) == 3 and all(one.sentence in words and one.finding in words for one in gravest)
    assert "-v: every bound, table and claim; icgd findings relu-icgd: all 49 findings" in words


def test_the_screen_of_one_theorem_has_doubts_about_the_data_and_a_bound_off_the_margin(document):
    part = document["theorems"]["relu-icgd/lean"]
    error = {"sampled": 0.1, "attacked": 0.2, "bound": None, "bound_off_margin": 0.30001, "allowed": 0.5}
    part = {**part, "hypotheses": [], "data": {"warnings": ["y varies little"]}, "step_error": error}
    part["verdicts"] = [{"claim": "relu-icgd/lean/heads", "verdict": "counted", "evidence": "12"}]
    console = Terminal(file=io.StringIO(), width=160, color_system=None)
    show_theorem(console, {**document, "theorems": {"relu-icgd/lean": part}, "findings": []}, "N = 2")
    text = console.file.getvalue()
    assert "warning: y varies little\n" in text and "hypotheses" not in text
    assert "Of 1 claim judged here by computation, none failed.\n1 claim of the paper" in text
    assert "sampled 0.1, attacked 0.2, certified off the margin 0.3001, allowed 0.5" in text


def test_every_failed_claim_of_one_theorem_is_printed_with_its_replay(document):
    part = copy.deepcopy(document["theorems"]["looped"])
    part |= {"hypotheses": []}
    part["verdicts"] = [
        {"claim": f"looped/c{k}", "verdict": "failed", "evidence": f"off by {k}", "replay": f"icgd {k}"}
        for k in range(7)
    ]
    console = Terminal(file=io.StringIO(), width=80, color_system=None)
    alone = {**document, "theorems": {"looped": part}, "findings": []}
    show_theorem(console, alone, "T = 2")
    show_rest(console, alone, "looped", 0, whole=True)
    text = console.file.getvalue()
    assert (
        "Of 7 claims judged here by computation, 7 failed." in text
        and "-v" not in text
        and "icgd findings" not in text
        and "breaks" not in text
    )
    assert all(f"failed: looped/c{k}: off by {k}\nreplay: icgd {k}\n" in text for k in range(7))


def test_the_time_that_is_printed_is_that_of_the_whole_part_by_part(monkeypatch):
    now = iter([10.0, 10.25, 13.5, 13.51])
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(stopwatch, "loading_seconds", lambda: 2.0)
    watch = stopwatch.Stopwatch()
    for part in ("looped", "pages", "rest"):
        watch.lap(part)
    console = Terminal(file=io.StringIO(), width=80, color_system=None)
    watch.show(console)
    assert console.file.getvalue() == "5.5 s: start 2.0, looped 0.2, pages 3.2\n"
