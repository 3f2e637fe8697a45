"""The overview of an audit: every claim counted once, failures first, each finding in one sentence."""

import copy
import json
from pathlib import Path

from icgd.reports.document.overview import headlines, theorem_rows
from icgd.verify.verdict import MEANS, STATUSES

DOCUMENT = json.loads((Path(__file__).parents[1] / "data" / "document_latex.json").read_text())


def test_rows_count_the_claims_of_all_constructions_of_a_theorem():
    rows = {row.theorem: row for row in theorem_rows(DOCUMENT)}
    for name, row in rows.items():
        parts = [part for part in DOCUMENT["theorems"].values() if part["theorem"] == name]
        verdicts = [one for part in parts for one in part["verdicts"]]
        for tone in {meaning.tone for meaning in STATUSES.values()}:
            counted = sum(STATUSES[one["verdict"]].tone == tone for one in verdicts)
            assert row.claims.get(tone, 0) == counted, (name, tone)
        assert row.seconds == sum(part["seconds"] for part in parts)
        means = [one["means"] for one in verdicts if "means" in one]
        assert row.strongest == min(means, key=list(MEANS).index, default=None)
    assert len({row.strongest for row in rows.values()}) > 1
    assert sum(len(part["verdicts"]) for part in DOCUMENT["theorems"].values()) == sum(
        sum(row.claims.values()) for row in rows.values()
    )
    statements = sum(sum(row.published.values()) for row in rows.values())
    assert statements == DOCUMENT["tally"]["statements"] > 0


def test_failures_come_first_and_a_finding_without_a_headline_is_its_claim():
    document = copy.deepcopy(DOCUMENT)
    broken = {"claim": "looped/steps", "verdict": "failed", "evidence": "off by 2", "replay": "icgd verify"}
    document["theorems"]["looped"]["verdicts"].append(broken)
    first, *others = headlines(document)
    assert (first.label, first.sentence, first.replay) == ("failed", "looped/steps: off by 2", "icgd verify")
    found = {one["key"]: one for one in document["findings"]}
    for one in others:
        told = found[one.finding]
        if told["reproduces"]:
            assert one.sentence == (told.get("headline") or f"{told['statement']}: {told['claim']}")
        else:
            assert one.label == "not reproduced" and one.sentence == "; ".join(told["differences"])
    assert {one.label for one in others} > {"not reproduced"}
