"""Reports of earlier versions are read with the present names, or refused in one sentence."""

import copy
import json
from pathlib import Path

import pytest

from icgd import cli
from icgd.bounds.letters import ProblemError
from icgd.reports.document.shape import SCHEMA, FindingDocument
from icgd.reports.document.upgrade import load, renamed
from icgd.reports.html.page import page

DOCUMENT = json.loads((Path(__file__).parents[1] / "data" / "document_html.json").read_text())
LEAN = "relu-icgd/lean"


def of_old(*, checked):
    """The document as it was written before a bound had a name of its own."""
    document = copy.deepcopy(DOCUMENT)
    del document["schema"]
    part = document["theorems"][LEAN]
    part["step_error"]["certified"] = part["step_error"].pop("bound")
    part["plan"]["certified"] = part["plan"].pop("bound")
    for term in part["plan"]["terms"].values():
        term["certified"] = term.pop("bound")
    if not checked:
        part["certificate"] = None
    return document


@pytest.mark.parametrize("checked", [True, False])
def test_an_old_bound_is_called_certified_only_if_it_was_checked(checked):
    made = renamed(of_old(checked=checked))
    part, now = made["theorems"][LEAN], DOCUMENT["theorems"][LEAN]
    assert part["step_error"]["bound"] == now["step_error"]["bound"]
    assert part["plan"]["bound"] == now["plan"]["bound"]
    assert ("certified" in part["step_error"]) == ("certified" in part["plan"]) == checked
    assert ("icgdErrorCertified" in made["numbers"]) == checked and "icgdErrorBound" in made["numbers"]
    assert part["plan"]["terms"] == now["plan"]["terms"]
    assert renamed(copy.deepcopy(DOCUMENT)) == DOCUMENT


def with_old_keys():
    """The document as it was when a claim had other keys in its bound, its verdict and the whole audit."""
    document = copy.deepcopy(DOCUMENT)
    del document["schema"]
    for name, part in document["theorems"].items():
        renamed_bounds = {
            key.replace("step-error", "step_error").replace("mlp-width", "mlp_width"): claim
            for key, claim in part["bounds"].items()
        }
        part["bounds"] = renamed_bounds
        for verdict in part["verdicts"]:
            del verdict["about"]
            verdict.pop("means", None)
            theorem, *rest = verdict["claim"].split("/")
            if len(rest) == 2 and f"{theorem}/{rest[0]}" == name and verdict["claim"] not in part["bounds"]:
                verdict["claim"] = f"{theorem}/{rest[1]}"
    for verdict in document["verdicts"]:
        del verdict["about"]
        verdict.pop("means", None)
    return document


def test_claims_of_earlier_reports_get_the_keys_that_they_have_now(tmp_path):
    old = with_old_keys()
    assert "relu-icgd/step_error" in old["theorems"][LEAN]["bounds"]
    assert {"relu-icgd/step-error", "relu-icgd/start"} <= {
        v["claim"] for v in old["theorems"][LEAN]["verdicts"]
    }
    for one in old["findings"]:
        one["headline"] = False  # once it said whether a finding was one of the gravest
    (tmp_path / "report.json").write_text(json.dumps(old), encoding="utf-8")
    made = load(tmp_path / "report.json")
    assert made["schema"] == SCHEMA and made["findings"] == DOCUMENT["findings"]
    for name, part in DOCUMENT["theorems"].items():
        assert list(made["theorems"][name]["bounds"]) == list(part["bounds"])
        kept = [(v["claim"], v["verdict"], v["about"]) for v in made["theorems"][name]["verdicts"]]
        assert kept == [(v["claim"], v["verdict"], v["about"]) for v in part["verdicts"]]
    assert [v["claim"] for v in made["verdicts"]] == [v["claim"] for v in DOCUMENT["verdicts"]]
    assert [v["about"] for v in made["verdicts"]] == [v["about"] for v in DOCUMENT["verdicts"]]
    assert made["numbers"] == DOCUMENT["numbers"]
    assert "means" not in made["verdicts"][0] and "</html>" in page(made, [])


def test_claims_judged_in_a_repaired_form_are_no_longer_counted_as_stated():
    old = copy.deepcopy(DOCUMENT)
    lists = [old["verdicts"], *(part["verdicts"] for part in old["theorems"].values())]
    found = [verdict for some in lists for verdict in some if verdict["about"] == "repaired"]
    assert {verdict["claim"] for verdict in found} == {
        "relu-icgd/heads", "preconditioned/lemma-1", "preconditioned/theorem-1/loss",
    }  # fmt: skip
    for verdict in found:
        verdict["about"] = "paper"
    assert renamed(old) == DOCUMENT


@pytest.mark.parametrize(
    "place",
    [
        ("step_error", "sampled"),
        ("plan", "terms", "r[1]", "share"),
        ("census", "heads"),
        ("trajectory", "errors", 0),
        ("bounds", "relu-icgd/heads", "value"),
        ("certificate", "bound"),
        ("search", "prompts"),
    ],
)
def test_a_text_in_place_of_a_number_is_named(place, tmp_path):
    document = copy.deepcopy(DOCUMENT)
    at = document["theorems"][LEAN]
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = "0.5"
    (tmp_path / "report.json").write_text(json.dumps(document))
    with pytest.raises(ProblemError, match=r"at theorems relu-icgd/lean .*: it should be a (whole )?number"):
        load(tmp_path / "report.json")


@pytest.mark.parametrize("theorems", [[], {"a": 3}, {"a": {}}, {"a": {"bounds": {"b": {}}}}])
def test_what_is_no_report_is_refused_with_one_sentence(theorems, tmp_path, capsys):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(DOCUMENT | {"theorems": theorems}))
    assert cli.main(["report", "--from", str(path), "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "it is not a report" in said or "parts of the report are missing" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "place",
    [
        ("verdicts", 0, "verdict"),
        ("verdicts", 3, "means"),
        ("verdicts", 0, "about"),
        ("findings", 0, "bearing"),
        ("findings", 0, "severity"),
        ("theorems", LEAN, "verdicts", 0, "verdict"),
    ],
)
def test_a_verdict_that_there_is_not_is_refused(place, tmp_path):
    document = copy.deepcopy(DOCUMENT)
    at = document
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = r"\input{x}"
    (tmp_path / "report.json").write_text(json.dumps(document))
    with pytest.raises(ProblemError, match=r"at .*: it should be '"):
        load(tmp_path / "report.json")


@pytest.mark.parametrize(
    ("key", "value"), [("plots", [{"title": 3}]), ("title", {}), ("problem", {"é": 1, "à": 2}), ("stream", 3)]
)
def test_a_report_that_cannot_be_shown_is_refused_with_one_sentence(key, value, tmp_path, capsys):
    document = copy.deepcopy(DOCUMENT)
    document["theorems"][LEAN][key] = value
    (tmp_path / "report.json").write_text(json.dumps(document))
    assert cli.main(["report", "--from", str(tmp_path / "report.json"), "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("icgd: from = ") and said.count("\n") == 1


OLD_FINDINGS = json.loads((Path(__file__).parents[1] / "data" / "findings_old.json").read_text("utf-8"))


def test_findings_of_earlier_reports_get_a_statement_and_a_severity(tmp_path, misfits):
    old = copy.deepcopy(DOCUMENT) | {"findings": copy.deepcopy(OLD_FINDINGS)}
    del old["questions"], old["tally"]
    (tmp_path / "report.json").write_text(json.dumps(old), encoding="utf-8")
    made = load(tmp_path / "report.json")
    assert made["questions"] == []
    assert [one["key"] for one in made["findings"]] == [one["key"] for one in OLD_FINDINGS]
    assert list(misfits(made["findings"], list[FindingDocument])) == []
    by_key = {one["key"]: one for one in made["findings"]}
    refuted = by_key["2306.00297/lemma-1-transposed"]
    assert (refuted["statement"], refuted["bearing"], refuted["severity"]) == (
        "Lemma 1",
        "error",
        "statement",
    )
    assert refuted["repair"].startswith("The lemma with A^T") and refuted["text"].startswith("In symbols")
    assert by_key["2306.00297/global-over-all"]["bearing"] == "confirms"
    assert by_key["order-of-n"]["bearing"] == "open" and not by_key["order-of-n"]["reproduces"]
    assert made["tally"]["statements"] == 5 - 1 and made["tally"]["fates"]["fails"] == 2
    again = renamed(copy.deepcopy(made))
    assert again["findings"] == made["findings"] and page(made, [])


def test_another_version_and_a_part_under_another_name_are_refused(tmp_path):
    part = next(iter(DOCUMENT["theorems"].values()))
    for wrong, words in (
        ({"schema": 3}, "versions 1 to 2 are read"),
        ({"schema": "2"}, "versions 1 to 2 are read"),
        ({"theorems": {"another": part}}, f"is about {part['theorem']}"),
    ):
        path = tmp_path / "report.json"
        path.write_text(json.dumps(DOCUMENT | wrong), encoding="utf-8")
        with pytest.raises(ProblemError, match=words):
            load(path)
