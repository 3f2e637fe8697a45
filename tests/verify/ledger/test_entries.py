"""The ledger of findings: what an entry must say, and how entries are found and chosen."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icgd.bounds.letters import ProblemError
from icgd.verify.catalogue import theorems
from icgd.verify.ledger import entries as ledger

ENTRIES = ledger.entries()


def test_keys_are_unique_and_theorems_and_papers_known():
    keys = [entry.key for entry in ENTRIES]
    assert len(set(keys)) == len(keys)
    assert {entry.theorem for entry in ENTRIES} <= set(theorems())
    assert {entry.paper for entry in ENTRIES} == set(ledger.papers())


def test_every_entry_says_where_and_what_it_does_not_claim():
    for entry in ENTRIES:
        assert entry.statement and entry.place and entry.not_claimed, entry.key
        assert len(entry.quotation.split()) <= 16, entry.key  # a few words, not a passage
        if ledger.papers()[entry.paper].read == "full text":
            assert entry.quotation or entry.bearing in ("sharper", "vacuous", "open"), entry.key


def test_what_is_an_error_has_a_severity_and_a_repair():
    for entry in ENTRIES:
        if entry.bearing in ("error", "gap"):
            assert entry.severity != "none" and entry.repair, entry.key
    assert {"statement", "none"} <= {entry.severity for entry in ENTRIES}


def test_what_is_graver_than_its_wording_has_a_headline_that_stands_alone():
    told = [entry.headline for entry in ENTRIES if entry.severity not in ("wording", "none")]
    assert len(set(told)) == len(told)
    for headline in told:
        assert headline[0].isupper() and headline.endswith(".") and ". " not in headline, headline


def test_numbers_in_headlines_are_those_that_are_computed_again():
    numbers = {entry.key.partition("/")[2]: {**entry.given, **entry.expected} for entry in ENTRIES}
    heads, grid, rate = (numbers[key] for key in ("head-constant", "four-layers-default", "rate-vacuous"))
    assert 2e12 <= heads["printed"] < 1e15  # trillions, and more than one
    for key, words in {
        "head-constant": f"trillions at ε = {heads['target']}, where {heads['lean']} are built",
        "four-layers-default": f"{math.floor(grid['log10_nodes']) + 1} digits",
        "rate-vacuous": f"16 equally spaced points of the circle the rate of descent reaches {rate['share']} "
        f"after {rate['layers_n16'] / 1e6:.0f} million",
    }.items():
        assert words in ledger.find_entry(key).headline
    assert rate["sizes"][2] == 16 and not numbers["zero-network"]["nonzero"]


def test_selected_entries_come_gravest_first():
    chosen = ledger.select(ENTRIES)
    assert sorted(map(id, chosen)) == sorted(map(id, ENTRIES))
    assert [one.rank for one in chosen] == sorted(one.rank for one in ENTRIES)
    assert chosen[0].severity == "statement"
    with pytest.raises(ProblemError, match="severity = grave: one of statement"):
        ledger.select(ENTRIES, severity="grave")


def test_find_knows_short_names_and_says_what_is_near():
    assert ledger.find_entry("2411.16549/zero-start") is ledger.find_entry("zero-start")
    with pytest.raises(ProblemError, match=r"did you mean .*zero-start"):
        ledger.find_entry("zero-strat")
    for key in ("xyzzy", "", " "):
        with pytest.raises(ProblemError, match="icgd findings lists them"):
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
[paper]
number = "1234.56789"
title = "t"
authors = ["a"]
version = "v1"
read = "abstract"

[[finding]]
key = "1234.56789/name"
theorem = "looped"
statement = "Lemma 1"
place = "Section 2"
quotation = ""
claim = "c"
bearing = "open"
severity = "none"
kind = "count"
evidence = "looped.omega_constant"
finding = "f"
repair = ""
not_claimed = "n"
expected = { ours = 269 }
"""


@pytest.mark.parametrize(
    "old, new, what",
    [
        ('claim = "c"\n', "", "claim is missing"),
        ('claim = "c"', 'claim = "c"\nhope = 1', "hope is not a field of an entry"),
        ('bearing = "open"', 'bearing = "heavy"', "bearing is one of"),
        ('severity = "none"', 'severity = "grave"', "severity is one of"),
        ('severity = "none"', 'severity = "proof"', "bearing open takes severity none"),
        ('"open"\nseverity = "none"', '"error"\nseverity = "proof"', "its repair is empty"),
        ('"open"\nseverity = "none"', '"gap"\nseverity = "statement"', "bearing gap takes severity proof"),
        ('not_claimed = "n"', 'not_claimed = ""', "not_claimed is empty"),
        ('claim = "c"', 'claim = "{c}"', "number to fill in"),
        ('claim = "c"', 'claim = "c"\nheadline = "It is {c}."', "headline is one sentence"),
        ('claim = "c"', f'claim = "c"\nheadline = "{"long " * 31}"', "at most 150 characters"),
        ('"count"', '"guess"', "kind is one of"),
        ('"looped"', '"lopped"', "theorem is one of"),
        ("1234.56789/name", "9876.54321/name", "does not begin with the number of its paper"),
        ('number = "1234.56789"', 'number = "9876.54321"', "number is not that of the file"),
        ('title = "t"\n', "", "title is missing"),
        ('read = "abstract"', 'read = "abstract"\nhope = 1', "hope is not a field of a paper"),
        ('read = "abstract"', 'read = "half"', "read is full text or abstract"),
        ("{ ours = 269 }", "{}", "no number is expected"),
        ("{ ours = 269 }", "{ ours = 269 }\ntolerance = 0.5", "tolerance"),
        ("= 269 }", "= ", "1234.56789.toml"),
        ("\n[[finding]]", GOOD.partition("\n\n")[2] + "\n[[finding]]", "twice"),
    ],
)
def test_a_bad_file_is_named(old, new, what):
    paper, found = ledger.parse_entries(GOOD, "1234.56789.toml", "1234.56789")
    assert len(found) == 1 and paper.authors == ("a",)
    with pytest.raises(ledger.LedgerError, match=what):
        ledger.parse_entries(GOOD.replace(old, new, 1), "1234.56789.toml", "1234.56789")
