"""How results show themselves in a session or a notebook: in one line, or as a table."""

from dataclasses import replace

import icgd
from icgd.bounds.problem import Problem
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.verdict import Verdict

PROBLEM = Problem(N=1, K=2, eps=0.5, activation="sigmoid")


def test_every_object_is_shown_in_one_line():
    theorem = icgd.theorem("relu-icgd")
    found = icgd.theorem("preconditioned").verify()
    claims = theorem.claims(PROBLEM, construction="lean")
    shown = {
        "<plan of lean for Problem(N=1, K=2, d_out=2, eps=0.5, activation='sigmoid'): ": icgd.plan(PROBLEM),
        "<theorem relu-icgd: ": theorem,
        "<relu-icgd/layers: layers <= 6 (": claims[0],
        "<5 prompts of 8 examples: d = 2, d_out = 2, D_w = 4, float64>": random_prompts(
            PROBLEM, 5, seeded(0)
        ),
        "<PreconditionedProblem(": found,
    }
    for begin, value in shown.items():
        assert repr(value).startswith(begin) and len(repr(value)) < 400 and "\n" not in repr(value)
    assert eval(PROBLEM.brief, {"Problem": Problem}) == PROBLEM


def test_a_notebook_shows_every_verdict_and_escapes_it():
    found = icgd.theorem("looped").verify()
    page = replace(found, verdicts=(*found.verdicts, Verdict("a/b", "held", "<b>")))._repr_html_()
    assert page.count("<tr>") == 2 + len(found.verdicts)
    assert all(f">{one.claim}</td>" in page for one in found.verdicts)
    assert "<b>" not in page and "&lt;b&gt;" in page


def test_a_bound_is_shown_as_its_formula():
    (heads,) = (one for one in icgd.claims(PROBLEM) if one.key == "relu-icgd/heads")
    shown = heads._repr_latex_()
    assert shown.startswith(r"$\displaystyle \text{heads} \le \max") and shown.endswith(f"{heads.value:.6g}$")
