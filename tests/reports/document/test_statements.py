"""The table of statements: each once, of the fate that the tally counts, with its gravest finding."""

import itertools
from collections import Counter

from icgd.reports.document.findings import tally_document
from icgd.reports.document.statements import statement_rows
from icgd.verify.ledger.entries import HEADLINE, entries


def finding(number, statement, bearing, severity, **more):
    key = f"1.{number}"
    return {
        "key": key, "theorem": "looped", "statement": statement, "place": "", "quotation": "",
        "source": f"arXiv:1234.56789, {statement}", "claim": f"It says {key}.", "bearing": bearing,
        "severity": severity, "text": f"We found {key}. More.",
        "repair": f"Write {key}." * (severity != "none"), "headline": "", "reproduces": True, **more,
    }  # fmt: skip


def test_every_statement_has_one_row_of_the_fate_that_the_tally_counts():
    grades = [("error", "statement"), ("gap", "proof"), ("error", "wording"), ("reading", "wording")]
    grades += [(bearing, "none") for bearing in ("open", "confirms", "vacuous", "sharper")]
    judged = itertools.product(grades, grades)
    found = [
        finding(2 * index + half, f"Lemma {index}", *grade)
        for index, pair in enumerate(judged)
        for half, grade in enumerate(pair)
    ]
    rows, tally = statement_rows(found), tally_document(found)
    assert len(rows) == tally["statements"] == len({row.source for row in rows})
    assert Counter(row.fate for row in rows) == {k: v for k, v in tally["fates"].items() if v}
    assert sum("practical sizes" in row.said for row in rows) == tally["vacuous"]
    assert all(bool(row.repair) == (row.fate in ("fails", "repaired")) for row in rows)
    fates = [row.fate for row in rows]
    assert [fate for fate, _ in itertools.groupby(fates)] == ["fails", "repaired", "open", "holds"]


def test_no_sentence_is_cut():
    long = "It is " + "very " * 60 + "long."
    (row,) = statement_rows(
        [
            finding(
                1,
                "Lemma 1",
                "error",
                "wording",
                claim=long,
                text=f"{long} More.",
                repair=f"{long} (And more.)",
            )
        ]
    )
    assert row.says == row.why == row.repair == long


def test_the_gravest_finding_speaks_and_numbers_are_sorted_as_numbers():
    found = [
        finding(1, "Lemma 14", "confirms", "none"),
        finding(2, "proof of Lemma 14", "gap", "proof", headline="A step is missing."),
        finding(3, "Lemma 2", "error", "wording"),
        finding(4, "Lemma 3", "vacuous", "none"),
        finding(5, "Lemma 3", "confirms", "none"),
    ]
    first, second, third = statement_rows(found)
    assert (first.name, first.says, first.why) == ("Lemma 2", "It says 1.3.", "We found 1.3. More.")
    assert (second.name, second.says, second.why) == ("Lemma 14", "", "A step is missing.")
    assert second.repair == "Write 1.2." and second.keys == ("1.2", "1.1")
    assert not any(row.empty_as for row in (first, second, third))  # why they are empty is said, or none is
    assert third.said == "holds as written, and says nothing at practical sizes" and third.why.startswith(
        "We found 1.4."
    )


def test_a_statement_that_says_nothing_has_a_reason_of_its_own():
    found = [
        finding(1, "Lemma 2", "gap", "proof", headline="A step is missing."),
        finding(2, "Lemma 2 (size)", "vacuous", "none"),
        finding(3, "Lemma 2 (start)", "vacuous", "none", headline="It starts nowhere."),
        finding(4, "Lemma 3", "error", "statement"),
        finding(5, "Lemma 3", "vacuous", "none"),
    ]
    fails, repaired = statement_rows(found)
    assert (repaired.why, repaired.empty_as) == ("A step is missing.", "It starts nowhere.")
    assert not fails.is_empty and not fails.empty_as


def test_the_ledger_says_in_one_line_of_every_such_statement_why():
    ours = [
        finding(
            number, "", one.bearing, one.severity, source=one.source, headline=one.headline, text=one.finding
        )
        for number, one in enumerate(entries())
    ]
    empty = [row for row in statement_rows(ours) if row.is_empty]
    assert len(empty) >= 5
    for row in empty:
        told = row.empty_as or row.why
        about = [one for one in ours if one["key"] in row.keys and one["bearing"] == "vacuous"]
        assert 0 < len(told) <= HEADLINE, row.source
        assert any(told in (one["headline"], one["text"]) for one in about), row.source
