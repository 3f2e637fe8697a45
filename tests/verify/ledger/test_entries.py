"""The ledger of findings: entries, their numbers and tables, and that each reproduces."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icgd.bounds.letters import ProblemError
from icgd.reports.document.document import findings_document
from icgd.verify.catalogue import theorems
from icgd.verify.ledger import entries as ledger

ENTRIES = ledger.entries()


@pytest.fixture(scope="module")
def settled():
    return {entry.key: ledger.settle(entry) for entry in ENTRIES}


def test_every_entry_reproduces(settled):
    broken = {key: one.differences for key, one in settled.items() if not one.reproduces}
    assert not broken


def test_every_candidate_of_the_first_list_has_an_entry():
    assert {number for entry in ENTRIES for number in entry.listed} == set(range(1, 10))


def test_keys_are_unique_and_theorems_known():
    keys = [entry.key for entry in ENTRIES]
    assert len(set(keys)) == len(keys)
    assert {entry.theorem for entry in ENTRIES} <= set(theorems())


def test_words_are_filled_in(settled):
    for one in settled.values():
        assert one.entry.placeholders <= set(one.numbers)
        assert "?" not in one.text + one.holds
        assert set(one.entry.expected) <= set(one.numbers)


def _numbers(value):
    """The numbers that arguments are made of, as they would be written."""
    if isinstance(value, dict):
        return {number for part in value.values() for number in _numbers(part)}
    if isinstance(value, list):
        return {number for part in value for number in _numbers(part)}
    return set(re.findall(r"\d+(?:\.\d+)?", f"{value:g}" if isinstance(value, float) else str(value)))


def _typed(words, given):
    """Numbers in the words that no evidence computes: no placeholders, arguments or small integers."""
    bare = re.findall(r"(?<![A-Za-z_.\d])\d+(?:\.\d+)?", re.sub(r"\{\w+(:[^}]*)?\}", "", words))
    return {n for n in bare if "." in n or int(n) > 9} - _numbers(given) - {"16"}  # the 16 of √(t² + 16)


def test_no_number_is_typed_by_hand():
    """What is not computed, given or structural is no number of a finding."""
    assert _typed("kappa <= 2.7 at n = 12, {a:.3g}, w_12 t^2", {"n": [12]}) == {"2.7"}
    assert _typed("kappa = 13, 1/2, t = 0.01", {"eps": 0.01}) == {"13"}
    typed = {
        entry.key: bare
        for entry in ENTRIES
        if (bare := _typed(f"{entry.finding} {entry.holds} {entry.candidate}", dict(entry.given)))
    }
    assert not typed


def test_words_are_no_program(settled):
    for key, one in settled.items():
        words = " ".join((one.entry.claim, one.entry.candidate, one.text, one.holds))
        assert not re.search(r"\*|\d\^|sqrt|_\{|\boo\b|O~|!=|\de[-+]\d|Omega", words), key


def test_findings_are_short(settled):
    for key, one in settled.items():
        both = len(one.entry.candidate) + len(one.text)
        assert len(one.text) <= 265 and (both <= 255 or not one.entry.headline), key
    assert sum(entry.headline for entry in ENTRIES) == 7


def test_what_is_refuted_was_stated():
    """`refuted` is for sentences that a paper states or implies, so its bearing is on the paper."""
    refuted = [entry for entry in ENTRIES if entry.outcome == "refuted"]
    assert refuted and {entry.bearing for entry in refuted} <= {"contradicts", "gap"}


def test_bounds_round_up():
    words = "{a:up3} {b:up3} {c:up2} {c:.2g} {d} {e} {f:.3g}"
    numbers = {"a": 2.7001, "b": 2.7, "c": 1.01e-9, "d": True, "e": 12345, "f": 1.06e3}
    assert ledger.fill(words, numbers) == "2.71 2.71 1.1×10⁻⁹ 10⁻⁹ yes 12,345 1,060"


def test_each_recorded_number_matters(settled, monkeypatch):
    """One number of one entry altered beyond the tolerance, and that entry does not reproduce."""
    for one in settled.values():
        numbers = dict(one.numbers) | {"shows": True}
        monkeypatch.setattr(ledger, "_evidence", lambda name, numbers=numbers: lambda **given: numbers)
        assert ledger.settle(one.entry).reproduces
        for name, value in one.entry.expected.items():
            if isinstance(value, bool):
                other = not value
            elif isinstance(value, str):
                other = value + "0"
            else:
                other = value + max(1, abs(value))
            wrong = replace(one.entry, expected={**one.entry.expected, name: other})
            found = ledger.settle(wrong)
            assert not found.reproduces and name in found.differences[0], (one.entry.key, name)


def test_what_is_not_shown_fails(settled, monkeypatch):
    one = settled["2411.16549/relu-not-smooth"]
    for numbers in ({**one.numbers, "shows": False}, dict(one.numbers), {"shows": True}):
        monkeypatch.setattr(ledger, "_evidence", lambda name, numbers=numbers: lambda **given: numbers)
        assert not ledger.settle(one.entry).reproduces


def test_documents_are_plain(settled):
    found = findings_document(settled.values())
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["reproduced"] == len(ENTRIES) == sum(found["outcomes"].values())
    assert all(found["outcomes"].values()) and sum(found["bearings"].values()) == len(ENTRIES)
    assert {one["bearing"] for one in found["findings"]} <= set(found["bearings"])
    grid = ledger.summary(settled.values())
    assert len(grid.rows) == len(ENTRIES) and all(len(row) == len(grid.columns) for row in grid.rows)
    for entry, row in zip(ENTRIES, grid.rows, strict=True):
        assert row[:3] == (entry.key, entry.outcome, entry.bearing) and row[3].startswith(entry.candidate)
    one = settled["2306.00297/local-minimum"]
    assert one.verdict().status == "proved" and "85/98" in one.verdict().evidence
    for key in ("2411.16549/accumulation-vacuous", "2411.16549/four-layers-needed"):  # measured; open
        assert settled[key].verdict().status == "held"


def test_find_knows_short_names_and_says_what_is_near():
    assert ledger.find_entry("2411.16549/zero-start") is ledger.find_entry("zero-start")
    with pytest.raises(ProblemError, match=r"did you mean .*zero-start"):
        ledger.find_entry("zero-strat")
    for key in ("xyzzy", "", " "):
        with pytest.raises(ProblemError, match="lists all keys"):
            ledger.find_entry(key)


def test_find_takes_any_part_that_no_other_has():
    assert (
        ledger.find_entry("not-smooth")
        is ledger.find_entry("2411.16549/relu-not")
        is ledger.find_entry("relu-not-smooth")
    )
    assert ledger.find_entry("local-minimum").key == "2306.00297/local-minimum"  # exact before longer ones
    assert ledger.find_entry("arXiv:2411.16549/C4").key == "2411.16549/c4-not-needed"
    with pytest.raises(ProblemError, match=r"2 findings match: 2312.06528/relu-ind.*, 2312.06528/relu-div"):
        ledger.find_entry("2312.06528/relu")
    for paper in ("2410.11268", "2410.11268/", "arXiv:2410.11268"):
        with pytest.raises(ProblemError, match=r"a paper; its findings are .*examples-constant.*square-data"):
            ledger.find_entry(paper)


@given(st.sampled_from(ENTRIES), st.data())
def test_every_part_finds_its_entry_or_lists_it(entry, data):
    first = data.draw(st.integers(0, len(entry.key) - 1))
    part = entry.key[first : data.draw(st.integers(first + 1, len(entry.key)))]
    try:
        found = ledger.find_entry(part)
    except ProblemError as error:
        assert entry.key in str(error)
    else:
        assert part in found.key


GOOD = """
[[finding]]
key = "1234.56789/name"
theorem = "looped"
source = "arXiv:1234.56789"
claim = "c"
candidate = "c"
outcome = "open"
bearing = "open"
kind = "count"
evidence = "looped.omega_constant"
finding = "f"
holds = "h"
expected = { ours = 269 }
"""


@pytest.mark.parametrize(
    "old, new, what",
    [
        ('claim = "c"\n', "", "claim is missing"),
        ('holds = "h"', 'holds = "h"\nhope = 1', "hope is not a field"),
        ('outcome = "open"', 'outcome = "maybe"', "outcome is one of"),
        ('bearing = "open"', 'bearing = "heavy"', "bearing is one of"),
        ('bearing = "open"', 'bearing = "gap"', "open together"),
        ('candidate = "c"', 'candidate = "{c}"', "number to fill in"),
        ('"count"', '"guess"', "kind is one of"),
        ('"looped"', '"lopped"', "theorem is one of"),
        ("1234.56789/name", "9876.54321/name", "does not begin with the number of its paper"),
        ("{ ours = 269 }", "{}", "no number is expected"),
        ("{ ours = 269 }", "{ ours = 269 }\ntolerance = 0.5", "tolerance"),
        ("= 269 }", "= ", "1234.56789.toml"),
        ("\n[[finding]]", GOOD + "\n[[finding]]", "twice"),
    ],
)
def test_a_bad_file_is_named(old, new, what):
    assert len(ledger.parse_entries(GOOD, "1234.56789.toml", "1234.56789")) == 1
    with pytest.raises(ledger.LedgerError, match=what):
        ledger.parse_entries(GOOD.replace(old, new, 1), "1234.56789.toml", "1234.56789")


def test_evidence_that_breaks_is_a_difference():
    entry = replace(ledger.find_entry("omega-constant"), given={"d": -1})
    found = ledger.settle(entry)
    assert found.differences[0].startswith("the evidence cannot be computed: ")
    assert "NOT REPRODUCED" in ledger.summary([found]).rows[0][-1]
    assert "?" in found.text
