"""Published statements are counted once each, by the gravest finding about them."""

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from icgd.verify.ledger.tally import FATES, by_statement, count_statements, fate


@dataclass(frozen=True)
class Finding:
    source: str
    bearing: str
    severity: str


FINDINGS = st.lists(
    st.one_of(
        st.builds(Finding, st.sampled_from("abc"), st.just("error"), st.sampled_from(["statement", "proof"])),
        st.builds(Finding, st.sampled_from("abc"), st.just("gap"), st.sampled_from(["constants", "wording"])),
        st.builds(
            Finding,
            st.sampled_from("abc"),
            st.sampled_from(["vacuous", "confirms", "open"]),
            st.just("none"),
        ),
        st.builds(Finding, st.sampled_from("abc"), st.just("reading"), st.just("wording")),
    )
)


def _by_hand(found):
    """The fate of one statement by the rule in words, one question after the other."""
    if any(one.severity == "statement" for one in found):
        return "fails"
    if any(one.severity in ("proof", "constants") or one.bearing in ("error", "gap") for one in found):
        return "repaired"
    return "open" if not [one for one in found if one.bearing != "open"] else "holds"


@given(FINDINGS)
def test_each_statement_is_counted_once_by_its_gravest_finding(found):
    counted = count_statements(found)
    names = {one.source for one in found if one.bearing != "reading"}
    wanted = Counter(_by_hand([one for one in found if one.source == name]) for name in names)
    assert {name: count for name, count in counted.fates.items() if count} == dict(wanted)
    assert counted.statements == len(names) and counted.findings == len(found)
    assert 0 <= counted.vacuous <= counted.statements - counted.fates["fails"]


@given(FINDINGS.filter(lambda found: any(one.bearing != "reading" for one in found)))
def test_the_sentence_names_every_count_and_no_other(found):
    counted = count_statements(found)
    words = counted.sentence
    assert str(counted.statements) in words.split("checked")[0]
    for name, (one, many) in FATES.items():
        assert (one in words or many in words) == (counted.fates[name] > 0)


def test_a_repair_does_not_make_a_statement_hold_as_written():
    assert fate([Finding("a", "error", "statement"), Finding("a", "confirms", "none")]) == "fails"
    assert fate([Finding("a", "gap", "constants"), Finding("a", "sharper", "none")]) == "repaired"
    assert fate([Finding("a", "reading", "wording"), Finding("a", "open", "none")]) == "holds"


def test_a_sentence_that_is_false_in_its_wording_does_not_hold_as_written():
    for bearing in ("error", "gap"):
        assert fate([Finding("a", bearing, "wording"), Finding("a", "confirms", "none")]) == "repaired"


def test_a_proof_and_a_repaired_form_are_about_the_statement():
    found = [
        Finding("arXiv:1, Theorem 5", "confirms", "none"),
        Finding("arXiv:1, Proof of Theorem 5", "error", "proof"),
        Finding("arXiv:1, proof of Theorem 5 in Appendix A", "confirms", "none"),
        Finding("arXiv:1, Theorem 5 (with O(eta) for n)", "confirms", "none"),
        Finding("arXiv:1, Theorem 5 (norm)", "confirms", "none"),
        Finding("arXiv:1, Problem 1 (W)", "reading", "wording"),
        Finding("arXiv:2, Theorem 5", "confirms", "none"),
    ]
    counted = count_statements(found)
    assert counted.statements == 3 and counted.fates["repaired"] == 1 and counted.findings == 7
    assert list(by_statement(found)) == [
        "arXiv:1, Theorem 5", "arXiv:1, Theorem 5 in Appendix A", "arXiv:1, Problem 1", "arXiv:2, Theorem 5",
    ]  # fmt: skip
