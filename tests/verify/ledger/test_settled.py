"""Settled entries: each reproduces, its words are filled in, and each of its recorded numbers matters."""

import json
import re
from dataclasses import replace

import pytest

from icgd.reports.document.document import findings_document
from icgd.verify.ledger import entries as ledger
from icgd.verify.ledger import settled as settling
from icgd.verify.ledger.tally import by_statement

ENTRIES = ledger.entries()


@pytest.fixture(scope="module")
def settled():
    return {entry.key: settling.settle(entry) for entry in ENTRIES}


@pytest.mark.slow
def test_every_entry_reproduces(settled):
    broken = {key: one.differences for key, one in settled.items() if not one.reproduces}
    assert not broken


@pytest.mark.slow
def test_words_are_filled_in(settled):
    for one in settled.values():
        assert one.entry.placeholders <= set(one.numbers)
        assert "?" not in one.text + one.repair + one.not_claimed
        assert set(one.entry.expected) <= set(one.numbers)


def _numbers(value):
    """The numbers that arguments are made of, as they would be written."""
    if isinstance(value, dict):
        return {number for part in value.values() for number in _numbers(part)}
    if isinstance(value, list):
        return {number for part in value for number in _numbers(part)}
    return set(re.findall(r"\d+(?:\.\d+)?", f"{value:g}" if isinstance(value, float) else str(value)))


NAMED = "Lemmas?|Theorems?|Corollary|Remark|Propositions?|Definition|Appendix"
NUMBERED = rf"\(\d\.\d+\)|(?:{NAMED}) [\d.]+\d*(?: (?:to|and) \d+)?"
"""The numbers of statements, which are no results."""


def _typed(words, given):
    """Numbers in the words that no evidence computes: no placeholders, arguments or small integers."""
    plain = re.sub(NUMBERED, "", re.sub(r"\{\w+(:[^}]*)?\}", "", words))
    bare = re.findall(r"(?<![A-Za-z_.\d])\d+(?:\.\d+)?", plain)
    return {n for n in bare if "." in n or int(n) > 9} - _numbers(given) - {"16"}  # the 16 of √(t² + 16)


def test_no_number_is_typed_by_hand():
    """What is not computed, given, quoted from the paper or structural is no number of a finding."""
    assert _typed("kappa <= 2.7 at n = 12, {a:.3g}, w_12 t^2", {"n": [12]}) == {"2.7"}
    assert _typed("kappa = 13, 1/2, t = 0.01, by Lemma 14", {"eps": 0.01}) == {"13"}
    typed = {}
    for entry in ENTRIES:
        published = _numbers(f"{entry.claim} {entry.quotation}")  # constants of the paper itself
        bare = _typed(f"{entry.finding} {entry.repair} {entry.not_claimed}", dict(entry.given)) - published
        if bare:
            typed[entry.key] = bare
    assert not typed


@pytest.mark.slow
def test_words_are_no_program(settled):
    for key, one in settled.items():
        words = " ".join((one.entry.claim, one.text, one.repair, one.not_claimed))
        assert not re.search(r"\*|\d\^|sqrt|_\{|\boo\b|O~|!=|\de[-+]\d|Omega", words), key


@pytest.mark.slow
def test_findings_are_short(settled):
    for key, one in settled.items():
        assert len(one.text) <= 420 and len(one.repair) <= 260 and len(one.not_claimed) <= 260, key


def test_bounds_round_up():
    words = "{a:up3} {b:up3} {c:up2} {c:.2g} {d} {e} {f:.3g}"
    numbers = {"a": 2.7001, "b": 2.7, "c": 1.01e-9, "d": True, "e": 12345, "f": 1.06e3}
    assert settling.fill(words, numbers) == "2.71 2.7 1.1×10⁻⁹ 10⁻⁹ yes 12,345 1,060"


def test_thousands_are_in_groups_in_an_exact_number_and_after_rounding():
    words = "{a} {b} {c} {d:up4} {e:.7g} {f:.3f} {g} {h}"
    numbers = {"a": "59049", "b": "-59049", "c": "253/1569", "d": 4353.2, "e": 22026.47, "f": -0.5,
               "g": "999", "h": "depends on 1000"}  # fmt: skip
    told = "59,049 -59,049 253/1569 4,354 22,026.47 -0.500 999 depends on 1000"
    assert settling.fill(words, numbers) == told


@pytest.mark.slow
def test_each_recorded_number_matters(settled, monkeypatch):
    """One number of one entry altered beyond the tolerance, and that entry does not reproduce."""
    for one in settled.values():
        numbers = dict(one.numbers) | {"shows": True}
        monkeypatch.setattr(settling, "_evidence", lambda name, numbers=numbers: lambda **given: numbers)
        assert settling.settle(one.entry).reproduces
        for name, value in one.entry.expected.items():
            if isinstance(value, bool):
                other = not value
            elif isinstance(value, str):
                other = value + "0"
            else:
                other = value + max(1, abs(value))
            wrong = replace(one.entry, expected={**one.entry.expected, name: other})
            found = settling.settle(wrong)
            assert not found.reproduces and name in found.differences[0], (one.entry.key, name)


@pytest.mark.slow
def test_what_is_not_shown_fails(settled, monkeypatch):
    one = settled["2411.16549/relu-not-smooth"]
    for numbers in ({**one.numbers, "shows": False}, dict(one.numbers), {"shows": True}):
        monkeypatch.setattr(settling, "_evidence", lambda name, numbers=numbers: lambda **given: numbers)
        assert not settling.settle(one.entry).reproduces


@pytest.mark.slow
def test_documents_are_plain(settled):
    found = findings_document(settled.values())
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["reproduced"] == len(ENTRIES) == sum(found["severities"].values())
    assert sum(found["bearings"].values()) == len(ENTRIES)
    assert set(found["papers"]) == set(ledger.papers())
    assert [one["severity"] for one in found["findings"]] == sorted(
        (one["severity"] for one in found["findings"]), key=list(ledger.SEVERITIES).index
    )
    asserted = [entry for entry in ENTRIES if entry.bearing != "reading"]
    assert found["tally"]["statements"] == len(by_statement(asserted))
    one = settled["2306.00297/local-minimum"]
    assert one.verdict().status == "proved" and "85/98" in one.verdict().evidence
    for key in ("2411.16549/accumulation-vacuous", "2411.16549/four-layers-needed"):  # measured; open
        assert settled[key].verdict().status == "held"


def test_evidence_that_breaks_is_a_difference():
    entry = replace(ledger.find_entry("omega-constant"), given={"d": -1})
    found = settling.settle(entry)
    assert found.differences[0].startswith("the evidence cannot be computed: ")
    assert "?" in found.text
