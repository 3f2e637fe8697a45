"""An audit in Python finds what the command finds; figures by a word, reports, and what is refused."""

import json
import re
import shlex
from dataclasses import replace

import pytest

import icgd
from icgd import Problem, ProblemError, Verdict, cli
from icgd.bounds.html_table import value_in_words
from icgd.bounds.listing import Listing
from icgd.reports.command.audit import AuditPart

SMALL = Problem(N=1, K=1, d=1, n=2, L=1, eps=0.5)


@pytest.fixture(scope="module")
def audit():
    return icgd.audit("relu-icgd", SMALL, samples=10, effort=0, figures=False)


def test_an_audit_is_what_its_command_prints(audit, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert audit.command.startswith("icgd audit relu-icgd --N 1 --K 1 ")
    assert cli.main([*shlex.split(audit.command)[1:], "--no-report", "--json", "-"]) == cli.KEPT
    printed = json.loads(capsys.readouterr().out)
    held = json.loads(json.dumps(audit.document))
    for name in ("verdicts", "bounds", "census", "problem", "hypotheses", "step_error", "plan"):
        ours, theirs = held[name], printed[name]
        assert ours == theirs, name
    assert audit.kept and audit.verdicts["lean/step-error"].said == "proved by certificate"
    assert audit.bounds["heads"].value == printed["bounds"]["relu-icgd/heads"]["value"]
    assert audit.problem == SMALL and audit.transformer.problem == SMALL
    assert not list(tmp_path.glob("*/*counterexample*"))


def test_the_notebook_shows_every_verdict_and_every_bound(audit):
    page = audit._repr_html_()
    assert page.count("<math") >= len(audit.bounds)
    assert page.count("<tr>") == 2 + len(audit.verdicts) + len(audit.bounds)
    assert all(f">{one.key}</td>" in page for one in (*audit.verdicts, *audit.bounds))
    step = audit.results.sandwich
    words = re.sub("<[^>]+>", "", page)
    assert f"certified {value_in_words(step.bound, up=True)} ≤ allowed 0.05" in words
    assert {"bounds", "verdicts", "figure", "report", "findings"} <= set(dir(audit))
    assert not [name for name in dir(audit) if name.startswith("_") and name[1] != "_"]


def test_a_figure_is_found_by_a_word_and_saved(audit, tmp_path):
    found = audit.figure("budget")
    assert found is audit.figure("where-the-error-budget-goes") is audit.figures[found.key]
    shown = found._repr_html_()
    assert shown.count("<svg") == 1 and found.caption.startswith("The share of each local")
    assert "var(" not in shown and len(set(re.findall("#[0-9a-f]{6}", shown))) >= 4, "a notebook has no inks"
    for name, begin in (("a.pdf", b"%PDF"), ("a.svg", b"<?xml"), ("a.png", b"\x89PNG")):
        found.save(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(begin)
    refused = {"error": "several have these words: ", "nothing": "there is no such figure: ", "": "no such"}
    for name, why in refused.items():
        with pytest.raises(ProblemError, match=f"^figure = '{name}': .*{why}"):
            audit.figure(name)
    longer = replace(found, key=f"{found.key}-and-why")
    both = replace(audit)
    both.__dict__["figures"] = Listing((longer, found))
    assert both.figure("where-the-error-budget-goes") is found and both.figure("why") is longer
    with pytest.raises(ProblemError, match=r"path = .*a\.gif: a name that ends in"):
        found.save(tmp_path / "a.gif")


def test_a_report_has_the_findings_and_the_certificate(tmp_path, monkeypatch, capsys):
    audit = icgd.audit("looped", T=2, n=50)
    assert capsys.readouterr() == ("", "")  # a function prints nothing
    monkeypatch.setattr("icgd.reports.report.typeset", lambda tex: NoTeX())
    made = audit.report(tmp_path / "made")
    assert made.files == [made.html, made.tex, made.json] and made.html.stat().st_size > 10_000
    whole = json.loads(made.json.read_text("utf-8"))
    assert [one["key"] for one in whole["findings"]] == audit.findings.keys()
    assert whole["theorems"]["looped"]["problem"]["T"] == 2 and whole["command"] == audit.command
    assert audit.findings.arrow["reproduces"].to_pylist() == ["yes"] * len(audit.findings)


def test_a_failed_audit_leaves_its_counterexample_below_out(audit, tmp_path, monkeypatch):
    lost = (Verdict("relu-icgd/lean/step-error", "failed", "too far"),)
    for verdicts, left in ((audit.results.verdicts, []), (lost, ["counterexample-lean.json"])):
        part = AuditPart(
            "relu-icgd/lean",
            audit.results,
            audit.document,
            verdicts,
            print,
            {"counterexample-lean.json": "{}"},
        )
        monkeypatch.setattr("icgd.reports.audit.verify_one", lambda *_, found=part, **__: found)
        icgd.audit(SMALL, out=tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == left


class NoTeX:
    """What `typeset` returns where there is no TeX engine."""

    pdf, message, warnings = None, "no TeX", ()


def test_what_no_audit_is_about_is_refused(audit):
    for asked, options, why in (
        ("loped", {}, "^theorem = loped: the theorems are relu-icgd"),
        (3, {}, "^theorem = 3: a name, a path or a problem is needed"),
        ("looped", {"TT": 3}, "^TT = 3: looped has no such option, and no such letter; the letters are d"),
        ("softmax-icgd", {"T": 3}, "^T = 3: .*; the letters are N, K, d, .*; the options are .*, figures, "),
        ("looped", {"figures": "no"}, "^figures = no: True or False is needed"),
        ("looped", {"T": "3"}, "^T = '3': a whole number"),
        ("looped", {"certify": True}, "^certify = True: looped has no such option"),
        ("looped", {"problem": "T=3"}, "^problem = str: looped needs a LoopedProblem"),
        ("looped", {"problem": SMALL, "T": 3}, "^T = 3: a problem is given, too"),
        (SMALL, {"problem": SMALL}, "a problem is given already"),
    ):
        with pytest.raises(ProblemError, match=why):
            icgd.audit(asked, **options)
    with pytest.raises(TypeError, match=r"^audit\(\) missing"):
        icgd.audit()
    with pytest.raises(ProblemError, match=r"^transformer = convergence: it is about the transformer of"):
        replace(audit, _asked="convergence").transformer  # noqa: B018
