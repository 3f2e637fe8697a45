"""The table of statements: each once, of the fate that the tally counts, with its gravest finding."""

import itertools
from collections import Counter

from icgd.reports.document.findings import tally_document
from icgd.reports.document.statements import statement_rows


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
    assert third.said == "holds as written, and says nothing at practical sizes" and third.why.startswith(
        "We found 1.4."
    )
