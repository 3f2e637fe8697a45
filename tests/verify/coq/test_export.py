"""The Coq export: its statements, that coqc accepts it, and that damaged exports are refused."""

import re
import shutil
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import Route, plan
from icgd.verify.certificate.issue import certificate
from icgd.verify.coq import run as coqc
from icgd.verify.coq.export import STATIC, Instance, down, export, root, up
from icgd.verify.coq.run import _compile, run

needs_coq = pytest.mark.needs("coqc")
SMALL = {"N": 1, "K": 1, "d": 1, "eps": 0.2}


def certified(route: Route = "cells", **letters: Any) -> dict[str, Any]:
    # Tolerances may be divided by the recurrence; certificates always have cells.
    return certificate(replace(plan(Problem.parse(letters), "lean", route), route="cells"))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A folder with a small certificate that coqc has seen, its certificate and the report."""
    made, folder = certified(**SMALL), tmp_path_factory.mktemp("coq")
    export(made, folder)
    return made, folder, run(folder)


def test_rationals_are_rounded_to_the_safe_side():
    x = Fraction(2, 3)
    assert down(x, 4) == Fraction(6666, 10_000) and up(x, 4) == Fraction(6667, 10_000)
    assert root(4) == 2 and 2 < root(2) ** 2 < 2 + Fraction(1, 10**16)


def test_pieces_are_the_sum_of_relus():
    for lemma in Instance(certified(**SMALL)).lemmas.values():
        pieces = lemma.pieces()
        assert pieces[0][0] == -lemma.reach and pieces[-1][1] == lemma.reach
        for low, high, slope, lift in pieces:
            t = (low + high) / 2
            units = zip(*(map(Fraction, lemma.relus[key]) for key in "abc"), strict=True)
            value = Fraction(lemma.relus["constant"]) + sum(c * max(a * t + b, 0) for a, b, c in units)
            assert value == slope * t + lift


def test_the_statement_has_the_numbers_of_the_instance(tmp_path):
    made = certified(**SMALL)
    files = {path.name: path.read_text() for path in export(made, tmp_path)}
    assert [*files][:2] == [*STATIC] and "instance.v" in files
    weights = made["program"]["layers"][0]["r"]
    for key in "abc":
        for weight in map(Fraction, weights[key]):
            assert f"({weight.numerator} # {weight.denominator})" in files["lemma_r_1.v"]
    assert made["weights"] in files["instance.v"]
    assert all(word not in text for text in files.values() for word in ("Admitted", "admit", "Axiom"))


@pytest.mark.parametrize("letters", [{"activation": "gelu"}, {"loss": "huber"}, {"loss": "logistic"}])
def test_what_cannot_be_exported_is_said(tmp_path, letters):
    files = export(certified(**SMALL, **letters), tmp_path)
    assert not (tmp_path / "instance.v").exists() and files[-1].name.startswith("lemma_")
    assert next(iter(letters.values())) in (tmp_path / "missing.txt").read_text()


@pytest.mark.parametrize("letters", [SMALL, {"N": 3, "eps": 0.05}, {"N": 2, "output": "linear"}])
def test_the_bound_of_the_theorem_is_the_recurrence(letters):
    made = plan(Problem.parse(letters))
    rows = Instance(certificate(made)).rows()
    bound = sum(float(row.E) ** 2 for row in rows) ** 0.5
    assert made.recurrence <= bound * (1 + 1e-9) and bound <= made.recurrence * (1 + 3e-4)


def test_without_coqc_nothing_is_claimed(tmp_path, monkeypatch):
    export(certified(**SMALL), tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    report = run(tmp_path)
    assert not report.ok and "not installed" in report.statement


@pytest.mark.parametrize(("eps", "enough"), [(None, False), (5, True)])
def test_a_constant_above_eps_does_not_settle_the_claim(tmp_path, monkeypatch, eps, enough):
    """coqc is played: it accepts every file, and prints an axiom of the reals."""
    made = certified("cells", **SMALL)
    export(made, tmp_path)
    instance = tmp_path / "instance.v"
    assert len(re.findall(r"^Definition eps : R := \(.*\)\.$", instance.read_text(), re.MULTILINE)) == 1
    if eps:
        more = re.sub(r"(Definition eps : R := )\(.*\)", rf"\1({eps} / 1)", instance.read_text())
        instance.write_text(more)
    accepted = coqc.File("", True, 0.0, "Axioms:\nClassicalDedekindReals.sig_forall_dec : p")
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(coqc, "_coqc", lambda *given: SimpleNamespace(stdout="8.18 x"))
    monkeypatch.setattr(coqc, "_compile", lambda where, name, limit: replace(accepted, name=name))
    report = run(tmp_path)
    assert report.ok and report.eps == Fraction(eps or SMALL["eps"])
    constant = sum(float(row.E) ** 2 for row in Instance(made).rows()) ** 0.5
    assert (constant <= report.eps) == report.settles == report.as_dict()["settles"] == enough
    words = (
        "this settles the claim" if enough else "this does not settle the claim norm2(err) <= eta eps: the"
    )
    assert words in report.statement
    assert not replace(report, eps=None).settles and not replace(report, version=None).settles


@needs_coq
@pytest.mark.slow
def test_coq_proves_the_step_error(compiled):
    report = compiled[2]
    assert report.ok, report.statement
    assert "ClassicalDedekindReals.sig_forall_dec" in report.assumptions
    assert not any("Float" in name for name in report.assumptions)  # no hardware floats
    problem = plan(Problem.parse(SMALL))
    assert report.bound is not None and report.bound <= problem.recurrence * (1 + 3e-4)
    assert "norm2(err) <=" in report.statement and "trusted: the rounding model" in report.statement


def damage(text: str, lemma: str, part: str, by: Fraction) -> str:
    """Moves the slope or the intercept of a piece in its lemma, and leaves the rest alone."""
    found = re.search(rf"Lemma {lemma} : .*\((-?\d+) # (\d+)\), \((-?\d+) # (\d+)\)\)\.", text)
    assert found
    first = 1 if part == "slope" else 3
    x = Fraction(int(found[first]), int(found[first + 1])) + by
    start, end = found.span(first)[0], found.span(first + 1)[1]
    return f"{text[:start]}{x.numerator} # {x.denominator}{text[end:]}"


@needs_coq
@pytest.mark.slow
@pytest.mark.parametrize("name", ["lemma_r_1.v", "lemma_product_1.v"])
@pytest.mark.parametrize("kind", ["slope", "intercept", "error", "unit", "hole"])
def test_a_damaged_lemma_is_refused(compiled, kind, name, tmp_path):
    folder = compiled[1]
    shutil.copytree(folder, tmp_path / "coq")
    path = tmp_path / "coq" / name
    text = path.read_text()
    if kind in ("slope", "intercept"):
        broken = damage(text, "piece_0", kind, Fraction(1, 2))
    elif kind == "error":
        number = re.search(r"Definition error : Q := \((\d+) # (\d+)\)", text)
        assert number
        broken = text.replace(number[0], f"Definition error : Q := ({number[1]} # {int(number[2]) * 2})")
    elif kind == "unit":
        broken = re.sub(r"(Definition units : .*? := \[\(\(-?)(\d+)", r"\g<1>1\2", text)
    else:  # a piece is left out
        broken = re.sub(r"(Definition pieces : .*? := \[)\(.*?\)\);", r"\1", text)
        broken = broken.replace("  apply List.Forall_cons; [exact piece_0 |].\n", "")
    assert broken != text
    path.write_text(broken)
    file = _compile(tmp_path / "coq", name, 120)
    assert not file.ok and "Error" in file.output


@needs_coq
@pytest.mark.slow
def test_a_smaller_bound_is_refused(compiled, tmp_path):
    folder = compiled[1]
    shutil.copytree(folder, tmp_path / "coq")
    path = tmp_path / "coq" / "instance.v"
    text = path.read_text()
    path.write_text(text.replace("Definition bound : R := (", "Definition bound : R := 99 / 100 * ("))
    assert not _compile(tmp_path / "coq", "instance.v", 120).ok


@needs_coq
@pytest.mark.slow
def test_an_admitted_lemma_is_no_proof(compiled, tmp_path, monkeypatch):
    folder = tmp_path / "coq"
    shutil.copytree(compiled[1], folder)
    path = folder / "instance.v"
    path.write_text(
        re.sub(r"(Lemma local_lemmas .*?)Proof\..*?Qed\.", r"\1Admitted.", path.read_text(), flags=re.S)
    )
    # What coqc made of the other files was copied with them, and they are what they were.
    seen = {file.name: file for file in compiled[2].files if file.name != path.name}
    monkeypatch.setattr(
        coqc, "_compile", lambda where, name, limit: seen.get(name) or _compile(where, name, limit)
    )
    report = run(folder)
    assert all(file.ok for file in report.files) and "local_lemmas" in report.assumptions and not report.ok
    assert "local_lemmas" in report.statement
