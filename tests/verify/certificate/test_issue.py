"""Certificates as plain data: bit for bit through JSON, one digest per program, and also for float32."""

import copy
import json
from functools import cache

import numpy as np
import pytest
import torch

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.verify.certificate.issue import as_read, certificate, digest, load_certificate, posed_letters
from icgd.verify.certificate.program import describe
from icgd.verify.certificate.proof import judge, refusal
from icgd.verify.checker.relu import Refused, check
from icgd.verify.descent import step_error
from icgd.verify.search.ascent import Round
from icgd.verify.search.attack import attack
from icgd.verify.search.prompts import random_prompts

SMALL = {"N": 2, "K": 2, "d": 2, "n": 3, "eps": 0.2}


@cache
def made(construction="lean", given=()):
    return plan(Problem.parse(SMALL | dict(given)), construction)


@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_files_keep_it_bit_for_bit(tmp_path, construction):
    found = certificate(made(construction))
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(found, allow_nan=False))
    assert load_certificate(path) == found == certificate(made(construction))
    assert found["weights"] == digest(found["program"]) == digest(load_certificate(path)["program"])
    assert found["problem"] == posed_letters(made(construction).problem)
    assert found["program"] == describe(made(construction))
    assert (
        check(load_certificate(path), posed_letters(made(construction).problem), construction)
        == found["certified"]
    )


def places(tree, path=()):
    """Every number in nested lists and dicts."""
    if isinstance(tree, dict | list):
        for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from places(item, (*path, key))
    elif isinstance(tree, float):
        yield path


def test_every_weight_counts_in_the_digest():
    program = describe(made())
    before = digest(program)
    every = list(places(program))
    assert len(every) > 50
    for path in every:
        changed = copy.deepcopy(program)
        inner = changed
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = float(np.nextafter(inner[path[-1]], np.inf))
        assert digest(changed) != before
    assert digest(json.loads(json.dumps(program))) == before == digest(dict(reversed(program.items())))


def test_digests_depend_on_weights_only():
    two = (plan(Problem.parse(SMALL | {"L": L}), "lean") for L in (1, 9))
    assert len({certificate(one)["weights"] for one in two}) == 1
    assert digest(describe(made("paper"))) != digest(describe(made()))


@pytest.mark.parametrize("text", ["", "{", "nothing", "[]", "3", '"{}"', "null"])
def test_what_is_no_certificate_is_said_to_be_none(tmp_path, text):
    path = tmp_path / "certificate.json"
    path.write_text(text)
    with pytest.raises(ProblemError, match=r"^certificate = "):
        load_certificate(path)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[" * 200_000])
def test_files_that_no_parser_likes(tmp_path, content):
    path = tmp_path / "certificate.json"
    path.write_bytes(content)
    with pytest.raises(ProblemError):
        load_certificate(path)


def test_constructions_without_cells_have_none():
    exact = plan(Problem.parse(SMALL | {"activation": "relu"}), "exact")
    plain = plan(Problem.parse(SMALL), "lean", "recurrence")
    for one in (exact, plain):
        with pytest.raises(ProblemError, match="certified"):
            certificate(one)


# float32.

SINGLE = (("eps", 0.2), ("N", 2), ("K", 3), ("d", 2))


def single(made_):
    """The weights as they ship, rounded to float32."""
    return assemble(made_).to(torch.float32)


def errors_in_single(made_, prompt):
    """norm2(err) over eta of the transformer in float32, against descent in float64 on the same numbers."""
    rounded = prompt.to("cpu", torch.float32)
    reached = single(made_).step(rounded)
    assert reached.dtype == torch.float32
    return step_error(made_.problem, rounded.to("cpu", torch.float64), reached) / made_.problem.eta


@pytest.mark.slow
@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_float32_stays_below_its_bound(construction):
    made_ = made(construction, SINGLE)
    posed = posed_letters(made_.problem)
    found = json.loads(json.dumps(certificate(made_, "float32")))
    assert found["arithmetic"] == "float32"
    bound = found["certified"]
    assert bound > made_.bound
    if bound <= made_.problem.eps:
        assert check(found, posed, construction) == bound
    else:
        with pytest.raises(Refused, match="at most eps"):
            check(found, posed, construction)
    generator = torch.Generator().manual_seed(1)
    met = attack(made_, generator, pool=500, rounds=(Round(32, 25, 0.1), Round(16, 15, 0.01)))
    for prompt in (random_prompts(made_.problem, 4000, generator), met.worst):
        errors = errors_in_single(made_, prompt)
        assert 0 < float(errors.max()) <= bound


@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_float32_has_the_weights_that_ship(construction):
    """Rounded to float32, not planned anew: the offsets, too, are those of the transformer that is built."""
    made_ = made(construction, SINGLE)
    assert certificate(made_, "float32")["weights"] == certificate(made_)["weights"]


def test_float32_needs_more_room_than_float64():
    made_ = made()
    double, other = certificate(made_), certificate(made_, "float32")
    assert all(other["errors"][term] >= error for term, error in double["errors"].items())
    relabelled = double | {"arithmetic": "float32"}
    with pytest.raises(Refused, match="covers what the program does"):
        check(json.loads(json.dumps(relabelled)), posed_letters(made_.problem), "lean")


FINE = (("eps", 5e-3), ("d", 1), ("d_out", 1))


def test_weights_planned_for_float32():
    """Above eps if planned for float64, and below it if planned for float32; nothing passes for the other."""
    usual, planned = made("lean", FINE), made("lean", (*FINE, ("precision", "float32")))
    eps, posed = planned.problem.eps, posed_letters(planned.problem)
    assert usual.bound <= eps < certificate(usual, "float32")["certified"]
    assert usual.units < planned.units < 1.1 * usual.units
    found = as_read(certificate(planned))
    assert found["arithmetic"] == posed["precision"] == "float32" and found["program"] == describe(planned)
    assert refusal(found, posed, "lean") is None
    assert check(found, posed, "lean") == found["certified"] == planned.bound <= eps
    assert judge(found, planned.problem).apart is None  # it is built as it was planned
    assert certificate(planned, "float64")["certified"] < 0.99 * planned.bound

    double = as_read(certificate(usual))
    assert "precision" not in double["problem"] and double["arithmetic"] == "float64"
    assert "precision" in refusal(found, posed_letters(usual.problem), "lean")
    for other in (found | {"arithmetic": "float64"}, double | {"problem": found["problem"]}):
        assert refusal(other, posed, "lean").startswith("arithmetic = float32 is what is proved")

    prompt = random_prompts(planned.problem, 2000, torch.Generator().manual_seed(1))
    errors = errors_in_single(planned, prompt)
    assert planned.bound / 100 < float(errors.max()) <= planned.bound


def test_float32_is_too_coarse_for_a_fine_plan():
    made_ = made("lean", (("activation", "identity"), ("eps", 1e-9)))
    posed = posed_letters(made_.problem)
    try:
        found = json.loads(json.dumps(certificate(made_, "float32")))
    except ProblemError:
        return
    with pytest.raises(Refused):
        check(found, posed, "lean")
