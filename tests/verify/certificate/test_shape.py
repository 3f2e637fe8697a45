"""Malformed certificates: each refusal names the field in one sentence; the checker alone is safe too."""

import ast
import copy
import json
import math
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from icgd import cli
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.verify.certificate import shape as certificate_shape
from icgd.verify.certificate.constructions import CONSTRUCTIONS
from icgd.verify.certificate.issue import posed_letters
from icgd.verify.certificate.proof import certified, refusal
from icgd.verify.checker import relu as checker
from icgd.verify.checker import softmax as softmax_checker
from icgd.verify.checker.relu import Refused
from icgd.verify.sabotage.mutants import LOST, put

SMALL = {"N": 2, "K": 2, "d": 2, "n": 3, "eps": 0.2}
OPTIONS = [part for name, value in SMALL.items() for part in (f"--{name}", str(value))]
PYTHON = re.compile(r"\w+(Error|Exception)\b|NoneType|object is not|\bargument\b")


@cache
def _text(construction, given=()):
    return json.dumps(certified(Problem.parse(SMALL | dict(given)), construction))


def made(construction="lean", **given):
    """A certificate as read from a file, and the letters posed."""
    text = _text(construction, tuple(given.items()))
    return json.loads(text), posed_letters(Problem.parse(SMALL | given))


def added(path, name="foo"):
    """A field or an entry more than there should be."""
    return put(path, lambda part: part | {name: 1.0} if isinstance(part, dict) else [*part, part[-1]])


first = "program.layers.0"
FLAWS = [
    ("format", LOST, "there is a field 'format'"),
    ("weights", 3, "weights is a text"),
    ("problem", [], "problem is an object with named fields"),
    ("problem.L", LOST, "there is a field 'L' in problem"),
    ("problem.n", True, "problem.n is a finite number or a text"),
    ("problem.eps", None, "problem.eps is a finite number or a text"),
    ("program", 3, "program is an object with named fields"),
    ("program.eta", "0.1", "program.eta is a finite number"),
    ("program.layers", {}, "program.layers has one entry a layer"),
    ("program.layers.1", LOST, "program.layers has one entry a layer"),
    ("program.loss.relus", 2, "program.loss.relus is an object with named fields"),
    ("program.loss.from_z", 0, "program.loss.from_z is true or false"),
    (f"{first}.r.a.0", LOST, "a, b and c of program.layers[0].r are equally long"),
    (f"{first}.dr.c.0", math.nan, "program.layers[0].dr.c is a list of finite numbers"),
    (f"{first}.product.square.c", LOST, "there is a field 'c' in program.layers[0].product.square"),
    ("lemmas", None, "lemmas is an object with named fields"),
    ("lemmas.r[1]", LOST, "there is a field 'r[1]'"),
    ("lemmas.r[1].error", [], "lemmas.r[1].error is a finite number"),
    ("errors", [], "errors is an object with named fields"),
    ("errors.z[1]", math.inf, "errors.z[1] is a finite number"),
    ("layers.0.z", None, "layers[0].z is a finite number"),
    ("layers.1.jerk", 10**400, "layers[1].jerk is a finite number"),
    ("steepness", "x", "steepness is a finite number"),
    ("multipliers", [], "multipliers has one entry a layer"),
    ("multipliers.0.bend2", [], "multipliers[0].bend2 is a list of one or more finite numbers"),
    ("joint", [], "joint is an object with named fields"),
    ("joint.signal", [[1.5]], "joint.signal is a list of one or more pairs of finite numbers"),
    ("joint.drift", LOST, "there is a field 'drift' in joint"),
    ("root.0", [0.0], "root[0] is a pair of finite numbers"),
    ("splits", [0.5], "splits is a list of whole numbers from 0 to 2"),
    ("splits", [3], "splits is a list of whole numbers from 0 to 2"),
    ("certified", LOST, "there is a field 'certified'"),
]  # fmt: skip
OVERFULL = [
    ("multipliers.0.slope", [0.0] * 65, "multipliers[0].slope has at most 64 entries, not 65"),
    ("joint.drift", [[9.0, 0.0]] * 65, "joint.drift has at most 64 entries, not 65"),
    ("splits", [0] * 65_537, "splits has at most 65,536 entries, not 65,537"),
    (f"{first}.r.a", [1.0] * 131_073, "program.layers[0].r.a has at most 131,072 units, not 131,073"),
    (f"{first}.r.c.1", 0.0, "every unit of program.layers[0].r does something, and c[1] is 0"),
    (
        f"{first}.product.square.a.0",
        0,
        "every unit of program.layers[0].product.square does something, and a[0] is 0",
    ),
]
UNKNOWN = {
    "problem": "problem", "program": "program", "program.loss": "program.loss", first: "program.layers[0]",
    f"{first}.product": "program.layers[0].product", f"{first}.r": "program.layers[0].r", "lemmas": "lemmas",
    "lemmas.r[1]": "lemmas.r[1]", "layers.1": "layers[1]", "errors": "errors",
    "multipliers.1": "multipliers[1]",
}  # fmt: skip


@pytest.mark.slow
def test_what_is_true_has_the_shape():
    for construction in ("lean", "paper", "softmax"):
        for given in ({}, {"loss": "logistic"}, {"loss": "huber"}, {"output": "linear"}, {"N": 1}):
            found, posed = made(construction, **given)
            layer = CONSTRUCTIONS[construction].layer
            assert certificate_shape.flaw(found, posed, construction, layer) is None


@pytest.mark.parametrize(("path", "new", "words"), FLAWS, ids=[flaw[2] for flaw in FLAWS])
def test_a_flaw_is_named(path, new, words):
    found, posed = made()
    put(path, new)(found)
    assert refusal(found, posed, "lean") == words
    try:
        alone = checker.check(found, posed, "lean")
    except Refused as claim:
        assert not PYTHON.search(str(claim))
    else:  # what the checker has no use for changes nothing
        assert alone == made()[0]["certified"]


@pytest.mark.parametrize(("path", "new", "words"), OVERFULL, ids=[flaw[2] for flaw in OVERFULL])
def test_what_is_too_much_or_does_nothing_is_refused_before_the_checker_sees_it(
    monkeypatch, path, new, words
):
    found, posed = made()
    put(path, new)(found)
    unused = replace(CONSTRUCTIONS["lean"], check=lambda *_: pytest.fail("the checker was asked"))
    monkeypatch.setattr("icgd.verify.certificate.proof.CONSTRUCTIONS", {"lean": unused})
    assert refusal(found, posed, "lean") == words


def test_all_sums_and_cells_together_are_limited(monkeypatch):
    found, posed = made()
    units = sum(len(relus["a"]) for relus in certificate_shape.sums(found["program"]))
    nodes = 2 * len(found["splits"])
    assert units > 10
    for name, value, words in (
        (
            "ALL_UNITS",
            units - 1,
            f"the sums of program have at most {units - 1:,} units together, not {units:,}",
        ),
        ("ALL_NODES", nodes - 1, f"splits times layers is at most {nodes - 1:,}, not {nodes:,}"),
    ):
        monkeypatch.setattr(certificate_shape, name, value + 1)
        assert refusal(found, posed, "lean") is None
        monkeypatch.setattr(certificate_shape, name, value)
        assert refusal(found, posed, "lean") == words
        monkeypatch.undo()


@pytest.mark.parametrize("construction", ["lean", "softmax"])
def test_the_prover_issues_nothing_beyond_the_same_limits(monkeypatch, construction):
    found, _ = made(construction)
    nodes = len(found["splits"])
    monkeypatch.setattr(certificate_shape, "MOST_CELLS", nodes)
    assert certified(Problem.parse(SMALL), construction)
    monkeypatch.setattr(certificate_shape, "MOST_CELLS", nodes - 1)
    with pytest.raises(ProblemError, match=f"splits has at most {nodes - 1} entries, not {nodes}"):
        certified(Problem.parse(SMALL), construction)


@pytest.mark.parametrize("path", UNKNOWN)
@pytest.mark.parametrize("name", ["foo", "z[3]", "r[0]", "u[01]"])
def test_a_field_that_there_is_not_is_named(path, name):
    found, posed = made()
    added(path, name)(found)
    assert refusal(found, posed, "lean") == f"there is no field {name!r} in {UNKNOWN[path]}"


def test_a_field_at_the_top_that_there_is_not_is_named():
    found, posed = made()
    assert refusal(found | {"foo": 1}, posed, "lean") == "there is no field 'foo'"
    long = refusal(found | {"\x1b[31m" * 1000: 1}, posed, "lean")
    assert len(long) < 100 and "\x1b" not in long


@pytest.mark.parametrize(("kind", "new", "words"), [
    ("z", None, "z[1] is computed where it is read"),
    ("g", None, "g[1] is computed where it is read"),
    ("update", None, "update[1] is computed where it is read"),
    ("update", {}, "there is a field 'a' in program.layers[0].update"),
    ("g", 3, "program.layers[0].g is an object with named fields"),
])  # fmt: skip
def test_flaws_of_softmax_are_named(kind, new, words):
    found, posed = made("softmax")
    put(f"{first}.{kind}", new)(found)
    assert refusal(found, posed, "softmax") == words
    with pytest.raises(Refused):
        softmax_checker.check(found, posed)


def test_a_logistic_loss_has_a_steepness_and_a_slope():
    relus = "program.loss.relus"
    for path, words in (("steepness", "a finite number"), (relus, "an object with named fields")):
        found, posed = made(loss="logistic")
        put(path, None)(found)
        assert refusal(found, posed, "lean") == f"{path} is {words}"


def test_a_certificate_for_something_else_says_so_whatever_its_shape():
    found, posed = made()
    softmax, _ = made("softmax")
    deep, _ = made(N=3)
    assert refusal(softmax, posed, "lean").startswith("construction = lean is what is proved")
    assert refusal(deep, posed, "lean") == "N = 2 is what is proved (the certificate has N = 3)"
    assert refusal(found, posed | {"N": 10**6}, "lean").startswith("N = 1000000 is what is proved")


def test_an_activation_that_only_the_prover_reads_is_named():
    found, posed = made()
    found["problem"]["activation"] = "sinc(t)"
    words = "sinc(t) is a formula that the checker can read"
    assert refusal(found, posed | {"activation": "sinc(t)"}, "lean") == words


def test_ranges_that_would_fill_the_memory_are_refused():
    """A table of a function up to z takes z / 2 parts in each of its bins."""
    found, posed = made()
    found["layers"][0]["z"] = 1e12
    assert refusal(found, posed, "lean") == "z[1] is in its range, at most 2^17"


def test_a_field_nested_without_end_is_refused():
    found, posed = made()
    inner = found["steepness"] = []
    for _ in range(5000):
        inner.append([])
        inner = inner[0]
    assert refusal(found, posed, "lean") == "steepness is a finite number"
    with pytest.raises(Refused, match="can be read"):
        checker.check(found, posed, "lean")


def test_the_command_line_says_one_sentence(capsys, tmp_path):
    found, _ = made()
    path = tmp_path / "certificate.json"
    for damage, words in ((put("multipliers.1", LOST), "multipliers has one entry a layer"),
                          (added("layers.0"), "there is no field 'foo' in layers[0]")):  # fmt: skip
        damaged = copy.deepcopy(found)
        damage(damaged)
        path.write_text(json.dumps(damaged))
        assert cli.main(["check", str(path), *OPTIONS, "--json", "-"]) == cli.FAILED
        assert json.loads(capsys.readouterr().out)["refusal"] == words


def test_it_shares_no_code_with_the_prover_and_is_small():
    text = Path(certificate_shape.__file__).read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [x.name for x in node.names]
            assert {name.split(".")[0] for name in names} <= {"__future__", "collections", "typing", "re"}
    assert len(text.splitlines()) <= 200
