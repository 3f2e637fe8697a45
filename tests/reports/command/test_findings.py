"""Findings and answers in a terminal: keys whole, texts complete, and a summary that counts statements."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from icgd import cli
from icgd.reports.command.findings import show_answers, show_findings, show_ledger
from icgd.verify.ledger.entries import BEARINGS, SEVERITIES, entries, select
from icgd.verify.ledger.questions import Answer, questions
from icgd.verify.ledger.settled import Recomputed, Settled
from icgd.verify.ledger.tally import count_statements

CHEAP = ("2410.11268", "looped")
"""A paper, and the theorem that it is about, whose findings take little time."""


def settled(found):
    return [Settled(one, dict.fromkeys(one.placeholders, 1.5), (), 0.0) for one in found]


def printed(show, *what, width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    show(console, *what)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 100, 160])
def test_findings_are_read_at_every_width(width):
    found = settled(select(entries()))
    lines = printed(show_findings, found, width=width)
    words = " ".join(" ".join(lines).split())
    for one in found:
        assert sum(one.entry.key in line.split() for line in lines) == 1, one.entry.key
        assert " ".join(one.text.split()) in words and f"{one.entry.bearing} {one.entry.statement}" in words
    for severity in {one.entry.severity for one in found}:
        name = SEVERITIES[severity].partition(": ")[0].capitalize()
        assert any(line.startswith(name) for line in lines)
    keys = {one.entry.key for one in found}
    assert all(len(line) <= width or line.strip() in keys for line in lines)
    assert not any("│" in line or "…" in line for line in lines)
    assert all(line == line.rstrip() for line in lines)


def test_a_finding_that_does_not_reproduce_says_so_and_tells_no_number():
    (one,) = settled([entries()[0]])
    broken = replace(one, numbers={}, differences=("terms = 1, recorded 2",))
    words = " ".join(" ".join(printed(show_findings, [broken], width=80)).split())
    assert "NOT REPRODUCED: terms = 1, recorded 2" in words and "?" not in words


def test_the_summary_counts_all_statements_where_a_choice_is_shown():
    judged = select(entries(), paper="2411.16549")
    chosen = [one for one in judged if one.bearing == "vacuous"]
    words = " ".join(" ".join(printed(show_ledger, settled(chosen), judged, width=80)).split())
    assert count_statements(judged).sentence in words
    assert f"Shown are {len(chosen)} of {len(judged)} findings about them." in words


@pytest.mark.parametrize("width", [60, 160])
def test_answers_are_printed_with_the_claims_they_come_from(width):
    answers = [Answer(one, Recomputed(dict.fromkeys(one.placeholders, 1.5), (), 0.0)) for one in questions()]
    words = " ".join(" ".join(printed(show_answers, answers, width=width)).split())
    for one in answers:
        assert one.question.question in words and " ".join(one.text.split()) in words
        assert "from " + ", ".join(one.question.claims) in words and one.question.asked_by in words


def run(capsys, *words):
    code = cli.main(["findings", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_choices_work_together_and_in_json(capsys):
    paper, theorem = CHEAP
    code, out, _ = run(capsys, paper, "--bearing", "reading", "--theorem", theorem, "--severity", "wording")
    assert code == cli.KEPT and "Of 3 published statements checked" in " ".join(out.split())
    code, out, _ = run(capsys, paper, "--bearing", "reading", "--json", "-")
    document = json.loads(out)
    wanted = select(entries(), paper=paper, bearing="reading")
    assert [one["key"] for one in document["findings"]] == [one.key for one in wanted]
    whole = count_statements(select(entries(), paper=paper))
    assert document["tally"]["sentence"] == whole.sentence
    assert document["tally"]["statements"] == whole.statements >= len({one.source for one in wanted})
    assert set(document["bearings"]) == set(BEARINGS) and code == cli.KEPT


@pytest.mark.parametrize(
    "words",
    [["--bearing", "grave"], ["--severity", "error"], ["--theorem", "nothing"], ["nothing-like-this"],
     [CHEAP[0], "--bearing", "error", "--severity", "none"]],
)  # fmt: skip
def test_bad_choices_are_refused_in_one_sentence(words, capsys):
    code, out, err = run(capsys, *words)
    assert code == cli.BAD_INPUT and not out
    assert err.startswith("icgd: ") and err.count("\n") == 1


def test_what_does_not_reproduce_ends_with_1_and_no_letter_is_written(capsys, monkeypatch, tmp_path):
    from icgd.reports.command import audit

    def broken(entry):
        return Settled(entry, {}, ("a = 1, recorded 2",), 0.0)

    monkeypatch.setattr(audit, "settle", broken)
    code, out, _ = run(capsys, CHEAP[0])
    assert code == cli.FAILED and "NOT REPRODUCED" in out
    code, out, _ = run(capsys, "--letter", CHEAP[0], "--out", str(tmp_path / "letter.md"))
    assert code == cli.FAILED and "no letter is written" in out and not list(tmp_path.iterdir())
