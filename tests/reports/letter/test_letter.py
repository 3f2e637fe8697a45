"""A letter fits one page, holds every error that breaks a statement, and claims no more than the ledger."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd import cli
from icgd.bounds.letters import ProblemError
from icgd.reports.command.audit import find_paper
from icgd.reports.letter.letter import COLUMNS, LINES, letter
from icgd.verify.ledger.entries import Entry, entries, papers
from icgd.verify.ledger.settled import Settled
from icgd.verify.ledger.tally import count_statements

PAPER = papers()["2411.16549"]


def finding(number, bearing="error", severity="statement", words=30, **more):
    entry = Entry(
        key=f"2411.16549/finding-{number}", theorem="relu-icgd", statement=f"Lemma {number}",
        place="Appendix C.2, (C.3)", quotation="for every network of any depth", claim="It holds.",
        bearing=bearing, severity=severity, finding="It is {a} there. " + "word " * words + "ends.",
        kind="witness", evidence="none.none", repair="Write 2 * sqrt(K) for K. " + "more " * words + "ends.",
        not_claimed="n", expected={"a": 1},
    )  # fmt: skip
    return Settled(replace(entry, **more), {"a": 1.5}, (), 0.1)


def fits(text):
    lines = text.rstrip("\n").split("\n")
    return len(lines) <= LINES and max(map(len, lines)) <= COLUMNS


KINDS = st.sampled_from(
    [("error", "statement"), ("error", "proof"), ("gap", "constants"), ("reading", "wording"),
     ("confirms", "none"), ("vacuous", "none")]
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.tuples(KINDS, st.integers(0, 120)), max_size=30))
def test_a_letter_fits_a_page_and_holds_every_error_that_breaks_a_statement(kinds):
    kinds = [one for k, one in enumerate(kinds) if one[0][1] != "statement" or k < 12]
    found = [finding(k, *kind, words) for k, (kind, words) in enumerate(kinds)]
    text = letter(PAPER, found)
    assert fits(text)
    plain = " ".join(text.split())
    for one in found:
        if one.entry.severity == "statement":
            assert f"[{one.entry.key}]" in plain and one.entry.statement in plain
    assert count_statements(one.entry for one in found).sentence in plain
    assert PAPER.title in plain and "Weimin Wu" in plain and PAPER.version in plain
    assert "What we do not claim" in plain and "icgd findings KEY" in plain


def test_a_letter_says_what_was_found_the_repair_and_what_holds():
    found = [finding(1, words=5), finding(2, "confirms", "none"), finding(3, "error", "proof", 5)]
    plain = " ".join(letter(PAPER, found).split())
    assert (
        "1. Lemma 1 (Appendix C.2, (C.3)): “for every network of any depth”. Breaks the statement." in plain
    )
    assert "It is 1.5 there." in plain and "Repair: Write 2·sqrt(K) for K." in plain
    assert "2. Lemma 3" in plain and "Breaks the proof." in plain
    assert "Confirmed as written, by computation: Lemma 2." in plain and "lists one other finding." in plain
    assert not re.search(r"\{|\}|None|icgd is the (best|first)", plain)


def test_a_statement_whose_proof_breaks_is_not_called_confirmed():
    found = [finding(1, "confirms", "none"), finding(2, "error", "proof", statement="Proof of Lemma 1")]
    assert "Confirmed as written" not in letter(PAPER, found)


def test_more_is_told_of_each_finding_where_there_is_room():
    few, many = (letter(PAPER, [finding(k, words=90) for k in range(count)]) for count in (2, 12))
    assert few.count("word") / 2 > many.count("word") / 12 and fits(few) and fits(many)
    assert few.count("ends.") == 4


def test_errors_that_cannot_fit_are_refused_and_a_paper_without_any_is_written_to():
    with pytest.raises(ValueError, match="100 errors do not fit a letter of 55 lines"):
        letter(PAPER, [finding(k) for k in range(100)])
    text = letter(PAPER, [finding(1, "confirms", "none")])
    assert "We found nothing that needs a change." in text and fits(text)


@pytest.mark.parametrize("number", papers())
def test_letters_about_the_papers_of_the_ledger_fit(number):
    """With the texts of the ledger, before any number is computed."""
    about = [
        Settled(one, dict.fromkeys(one.placeholders, 1234.5), (), 0.0)
        for one in entries()
        if one.paper == number
    ]
    text = letter(papers()[number], about)
    assert fits(text)
    for one in about:
        if one.entry.bearing == "error" and one.entry.severity == "statement":
            assert f"[{one.entry.key}]" in " ".join(text.split())
    read = "the abstract" if papers()[number].read == "abstract" else "the full text"
    assert read in " ".join(text.split())


def test_an_unknown_paper_is_refused_in_one_sentence(capsys):
    assert find_paper("arXiv:2411.16549/") == PAPER
    with pytest.raises(ProblemError, match=r"letter = 1234.56789: the ledger speaks of the papers"):
        find_paper("1234.56789")
    for given_ in (["--letter", "1234.56789"], ["looped", "--letter", "2411.16549"], ["--out", "a.md"],
                   ["--questions", "--bearing", "error"], ["--questions", "--letter", "2411.16549"],
                   ["--letter", "2411.16549", "--theorem", "looped"]):  # fmt: skip
        assert cli.main(["findings", *given_]) == cli.BAD_INPUT
        said = capsys.readouterr().err
        assert said.startswith("icgd: ") and said.count("\n") == 1, said


def test_a_letter_is_printed_or_written_to_a_file(capsys, tmp_path):
    assert cli.main(["findings", "--letter", "2410.11268"]) == cli.KEPT
    shown = capsys.readouterr().out
    path = tmp_path / "letter.md"
    assert cli.main(["findings", "--letter", "2410.11268", "--out", str(path)]) == cli.KEPT
    assert path.read_text(encoding="utf-8") == shown and fits(shown)
    assert f"wrote {path}" in capsys.readouterr().out
