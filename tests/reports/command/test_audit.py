"""Audits: the options are carried out as given, and every printed command repeats the run."""

import json
import math
import shlex
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import icgd.verify.relu_icgd
from icgd import cli
from icgd.bounds.estimate import Estimate
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.reports.command import audit
from icgd.reports.command.audit import choose_findings, command_line, emit, pose_and_build, verify_one
from icgd.reports.command.run_files import (
    check_line,
    files_of_run,
    run_folder,
    show_certificates,
    write_run_files,
)
from icgd.reports.document.document import audit_document
from icgd.reports.document.shape import SCHEMA
from icgd.reports.html.page import page
from icgd.reports.latex.source import write_source
from icgd.verify.catalogue import find_theorem, theorems
from icgd.verify.ledger.entries import entries, find_entry
from icgd.verify.requests import Request
from icgd.verify.results import Results
from icgd.verify.search.options import Search
from icgd.verify.sweeps.release import release
from icgd.verify.verdict import Verdict

RELU = find_theorem("relu-icgd")
SEARCH = Search(samples=200, effort=0.0)


def test_a_command_line_holds_what_is_not_default_and_is_quoted():
    search = replace(Search(), samples=7, certify=True, data="my file.csv", out=Path("else where"))
    line = command_line("audit", "relu-icgd", {"N": 2, "activation": "t/(1+exp(-t))"}, search)
    assert shlex.split(line) == [
        *("icgd", "audit", "relu-icgd", "--N", "2", "--activation", "t/(1+exp(-t))"),
        *("--samples", "7", "--data", "my file.csv", "--certify", "--out", "else where"),
    ]
    assert command_line("audit", None, {}, Search()) == "icgd audit"
    assert (
        command_line("report", "looped", {}, Search(), prefix="small") == "icgd report looped --prefix small"
    )


def test_an_audit_of_all_gives_each_theorem_what_it_takes(monkeypatch):
    given = {}

    def verified(theorem, letters, search, **how):
        theorem.refuse_idle(search, search.given)
        given.setdefault(theorem.name, search)

    monkeypatch.setattr(audit, "verify_one", verified)
    monkeypatch.setattr(
        audit, "everything", lambda asked, *_, **__: {one.name: Estimate(()) for one in asked}
    )
    audit.verify_all(Search(prompts=5, samples=7, seed=3), certify=True)
    assert [*given] == [*theorems()] and {one.seed for one in given.values()} == {3}
    assert {name for name, one in given.items() if one.prompts == 5} == {"functional", "looped"}
    assert {name for name, one in given.items() if one.samples == 7} == {"relu-icgd"}


ODD = "t/(1+exp(-t)) # '; touch harm"


@pytest.mark.parametrize(
    "posed", [Problem.parse({"activation": ODD}), *(one.letters() for one in theorems().values())]
)
def test_every_printed_command_gives_the_same_letters_back(posed, tmp_path, capsys):
    search = Search(samples=1, effort=0.0, out=tmp_path / "my; out")
    theorem = RELU if isinstance(posed, Problem) else find_theorem(posed)
    construction = "lean" if theorem is RELU else None
    files = {"certificate-c.json": "", "counterexample-c.json": ""}
    show_certificates(Console(width=40), files, tmp_path / "my; [bold]out", posed.options)
    printed = capsys.readouterr().out.removesuffix("\n")
    check = check_line(tmp_path / "my; [bold]out" / "certificate-c.json", posed.options)
    assert printed == f"wrote {tmp_path}/my; [bold]out/certificate-c.json; {check}"
    for line in (check, Request(theorem, posed, construction).command(search)):
        words = shlex.split(line)
        asked = {name: str(value) for name, value in posed.as_dict().items() if name not in posed.chosen}
        assert {name: words[words.index(f"--{name}") + 1] for name in asked} == asked
        assert not {f"--{name}" for name in posed.chosen} & {*words}
        assert line is check or construction is None or words[words.index("--out") + 1] == str(search.out)
    assert shlex.split(check)[2] == str(tmp_path / "my; [bold]out" / "certificate-c.json")


def test_what_is_not_known_is_refused():
    with pytest.raises(ProblemError, match="theorem = nothing: the theorems are relu-icgd, softmax-icgd"):
        find_theorem("nothing")
    with pytest.raises(ProblemError, match="construction = wide: it is lean or paper or exact"):
        verify_one(RELU, {}, replace(SEARCH, construction="wide"))
    with pytest.raises(ProblemError, match="construction = lean: looped has only one construction"):
        verify_one(find_theorem("looped"), {}, Search(construction="lean"))
    with pytest.raises(ProblemError, match="samples = 200: looped has no such option: it is for relu-icgd"):
        verify_one(find_theorem("looped"), {}, SEARCH)
    with pytest.raises(ProblemError, match="theorem = convergence: it is about the transformer of another"):
        pose_and_build(find_theorem("convergence"), {}, None, written=False)
    with pytest.raises(ProblemError, match="key = zero-strat"):
        choose_findings("zero-strat")
    with pytest.raises(ProblemError, match="severity = grave: one of statement, proof"):
        choose_findings(None, severity="grave")
    with pytest.raises(
        ProblemError, match="severity = none: no finding has this and bearing = error and key = 2410"
    ):
        choose_findings("2410.11268", bearing="error", severity="none")


def test_findings_are_chosen_by_paper_theorem_bearing_and_severity():
    assert choose_findings("zero-start") == ((find_entry("zero-start"),), False)
    whole, several = choose_findings(None)
    assert several and {one.key for one in whole} == {one.key for one in entries()}
    for about in ("2411.16549", "arXiv:2411.16549", "arxiv:2411.16549/"):
        assert {one.paper for one in choose_findings(about)[0]} == {"2411.16549"}
    of_theorem, _ = choose_findings("looped")
    assert of_theorem == choose_findings(None, theorem="looped")[0]
    assert {one.theorem for one in of_theorem} == {"looped"}
    vacuous, _ = choose_findings("2411.16549", bearing="vacuous", severity="none")
    assert vacuous and {(one.paper, one.bearing) for one in vacuous} == {("2411.16549", "vacuous")}
    ranks = [one.rank for one in whole]
    assert ranks == sorted(ranks) and ranks[0] < ranks[-1]


@pytest.mark.parametrize(
    "theorem", [one for one in theorems().values() if one.model], ids=lambda one: one.name
)
def test_every_transformer_is_built_and_counted_by_the_same_calls(theorem):
    asked, made = pose_and_build(theorem, {}, None, written=True)
    assert theorem.model.census(made)["parameters"] > 0
    assert asked.construction == ("lean" if theorem is RELU else None)


@pytest.mark.slow
def test_a_part_is_named_after_theorem_and_construction(tmp_path):
    search = replace(SEARCH, construction="paper", out=tmp_path)
    part = verify_one(RELU, {"N": 1, "K": 2, "eps": 0.5}, search, certify=True)
    assert part.name == "relu-icgd/paper" and not part.failed
    assert part.document["problem"] == Problem(N=1, K=2, eps=0.5).as_dict()
    assert list(tmp_path.iterdir()) == []
    write_run_files(part.files, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["certificate-paper.json"]
    assert not part.document["plots"] and part.document["hypotheses"]
    file = (tmp_path / "certificate-paper.json").read_bytes()
    weights = json.loads(file)["weights"]
    assert part.document["hashes"] == {"certificate": sha256(file).hexdigest(), "weights": weights}
    surrounded = verify_one(RELU, {"N": 1, "K": 2, "eps": 0.5}, search, certify=False, reported=True)
    assert surrounded.document["plots"] and surrounded.document["stream"]["slots"]
    for document, checked in ((part.document, True), (surrounded.document, False)):
        error, plan = document["step_error"], document["plan"]
        assert ("certified" in error) == ("certified" in plan) == checked
        assert error["bound"] == error.get("certified", error["bound"]) and plan["bound"] > 0
        rows = [row for row in plan["terms"].values() if row["uses"]]
        assert sum(row["uses"] * row["relus"] for row in rows) == plan["units"] > 0


def strictly(word):
    raise AssertionError(f"{word} is no JSON")


def test_json_is_json_whatever_was_found(tmp_path, capsys):
    found = {"a": math.inf, "b": [math.nan, np.float64(0.5), np.int64(3)], 3: {"c": (True, None, -math.inf)}}
    plain = {
        "schema": SCHEMA,
        "release": release(),
        "a": "inf",
        "b": ["nan", 0.5, 3],
        "3": {"c": [True, None, "-inf"]},
    }
    emit(found, "-")
    emit(found, str(tmp_path / "a.json"))
    for text in (capsys.readouterr().out, (tmp_path / "a.json").read_text()):
        assert json.loads(text, parse_constant=strictly) == plain


def test_numbers_that_are_none_have_no_name_and_are_shown_as_words(tmp_path):
    document = json.loads((Path(__file__).parents[1] / "data" / "document_html.json").read_text())
    part = document["theorems"]["relu-icgd/lean"]
    part["step_error"]["attacked"] = part["plan"]["recurrence"] = math.inf
    part["trajectory"]["loss"][0] = part["census"]["heads"] = math.nan
    made = audit_document(document["theorems"], command="icgd", seed=0, seconds=0.1)
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert "icgdErrorSampled" in made["numbers"] and "icgdErrorAttacked" not in made["numbers"]
    write_source(made, [], tmp_path)
    assert "</html>" in page(made, [])


@pytest.mark.parametrize("reported", [True, False])
def test_a_failure_is_replayed_by_the_command_that_is_printed(tmp_path, monkeypatch, capsys, reported):
    assemble = icgd.verify.relu_icgd.assemble

    def hasty(made, *more):
        built = assemble(plan(replace(made.problem, eta=2 * made.problem.eta), "lean"), *more)
        built.problem = made.problem
        return built

    monkeypatch.setattr(icgd.verify.relu_icgd, "assemble", hasty)
    out = tmp_path / "my out"
    theorem = replace(RELU, survey=None)
    part = verify_one(theorem, {"N": 1, "K": 2, "d": 1}, replace(SEARCH, out=out), reported=reported)
    (broken,) = (one.replay for one in part.verdicts if one.claim == "relu-icgd/lean/step-error")
    folder = run_folder(out, reported=reported)
    assert shlex.split(broken)[-1] == str(folder / "counterexample-lean.json")
    assert list(part.files) == ["counterexample-lean.json"]
    write_run_files(part.files, folder)
    assert files_of_run({"theorems": {"a": part.document}}, folder) == part.files
    part.show(Console(width=60))
    (printed,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("replay: "))
    assert printed == f"replay: {broken}"
    assert cli.main(shlex.split(broken)[1:]) == cli.FAILED


def test_whatever_fails_carries_the_command_that_shows_it_again():
    def failing(problem, *, seed, **_):
        verdicts = (Verdict("softmax-icgd/step-error", "failed", "an error above eps"),)
        return Results(problem=problem, seed=seed, verdicts=verdicts)

    theorem = replace(find_theorem("softmax-icgd"), judge=failing)
    part = verify_one(theorem, {"activation": "t/(1 + exp(-t))"}, Search(seed=3))
    (verdict,) = part.verdicts
    assert part.failed and shlex.split(verdict.replay) == [
        "icgd", "verify", "softmax-icgd", "--activation", "t/(1 + exp(-t))", "--seed", "3",
    ]  # fmt: skip
