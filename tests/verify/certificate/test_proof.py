"""Proofs: made, checked and compared with the matrices, in Python and by the command line."""

import copy
import json
import re
from dataclasses import replace
from functools import cache

import pytest

from icgd import cli
from icgd.bounds.functions.relu_sum import ReluSum
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.softmax_icgd import halved, plan_softmax
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.construct.machine import memory
from icgd.construct.softmax_icgd import build as build_softmax
from icgd.verify.certificate import proof
from icgd.verify.certificate.constructions import CONSTRUCTIONS
from icgd.verify.certificate.issue import certificate, posed_letters
from icgd.verify.certificate.proof import certified, judge, mismatch, prove, refusal
from icgd.verify.certificate.softmax_program import softmax_certificate
from icgd.verify.relu_icgd import verify

SMALL = {"N": 1, "K": 2, "d": 2, "n": 3, "eps": 0.2}
OPTIONS = [part for name, value in SMALL.items() for part in (f"--{name}", str(value))]
QUICK = ["--samples", "200", "--effort", "0"]


@cache
def made(construction="lean", N=2):
    return plan(Problem.parse(SMALL | {"N": N}), construction)


@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_what_is_built_is_proved(construction):
    made_ = made(construction)
    found = prove(made_, assemble(made_))
    assert found.refusal is None
    assert 0 < found.bound == made_.bound == found.certificate["certified"] <= made_.problem.eps
    assert isinstance(found.float32, str) or found.bound < found.float32 <= made_.problem.eps
    assert found.units_before > made_.units and found.proving > 0 and found.checking > 0
    assert found.trusted == CONSTRUCTIONS[construction].trusted


def damaged(construction):
    """A transformer with one weight of one part changed by 1e-6 of itself, and the layer it is in."""
    transformer = assemble(made(construction))
    index = 1
    layer = transformer.layer(index)
    part = next(
        part
        for part in (*layer.heads, *layer.ridges)
        if getattr(part, "relus", None) and part.relus.units > 1
    )
    relus = part.relus
    c = relus.c.copy()
    c[1] *= 1 + 1e-6
    part.relus = ReluSum(relus.a, relus.b, c, relus.constant)
    return transformer, index


@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_a_damaged_weight_is_named(construction):
    transformer, index = damaged(construction)
    found = prove(made(construction), transformer)
    assert found.refusal is not None
    matrix = r"head \d+ V" if construction == "paper" else "W2"
    shown = rf"^layer {index}, {matrix} \(\d+, \d+\) is \S+, not \S+ as in the certificate$"
    assert re.match(shown, found.refusal), found.refusal
    assert mismatch(found.certificate, transformer.literal()) == found.refusal
    assert mismatch(found.certificate, assemble(made(construction)).literal()) is None


def test_a_layer_missing_or_of_another_construction():
    found = certificate(made())
    literal = list(assemble(made()).literal())
    assert "layer" in (mismatch(found, literal[:-1]) or "")
    assert mismatch(found, assemble(made("paper")).literal()) is not None
    other = assemble(made(), n=4)  # nothing but the factor (n+1)/(2n) of the update changes
    assert "head 0 V" in (mismatch(found, other.literal()) or "")


def test_refusals_are_sentences():
    found, posed = certificate(made()), posed_letters(made().problem)
    assert refusal(found, posed, "lean") is None
    assert "paper" in (refusal(found, posed, "paper") or "")
    assert "eps" in (refusal(found, posed | {"eps": 0.1}, "lean") or "")
    for broken in ({}, found | {"layers": []}, found | {"errors": None}, {**found, "program": 3}):
        assert refusal(broken, posed, "lean")


def test_certificates_of_any_construction_are_judged_in_one_call():
    problem = Problem.parse(SMALL | {"N": 2})
    for construction in ("lean", "paper", "softmax"):
        found = certified(problem, construction)
        for asked in (None, construction):
            judgement = judge(found, problem, asked)
            assert (judgement.construction, judgement.refusal, judgement.apart) == (construction, None, None)
            assert judgement.bound == found["certified"] <= problem.eps
            assert judgement.trusted == CONSTRUCTIONS[construction].trusted
        lowered = judge(found | {"certified": found["certified"] * 0.9}, problem)
        assert lowered.bound is None and "bound in the cell" in (lowered.refusal or "")
        other = "lean" if construction != "lean" else "paper"
        assert "construction" in (judge(found, problem, other).refusal or "")
        assert "eps" in (judge(found, replace(problem, eps=0.1)).refusal or "")
    nothing = judge({}, problem)
    assert nothing.refusal and nothing.bound is None
    assert judge({"construction": "exact"}, problem).refusal
    with pytest.raises(ProblemError, match="certified"):
        certified(Problem.parse(SMALL | {"activation": "relu"}), "exact")


@pytest.mark.parametrize("construction", ["lean", "paper", "softmax"])
def test_matrices_that_would_not_fit_are_refused_before_they_are_made(construction, monkeypatch):
    problem = Problem.parse(SMALL | {"N": 2})
    found = certified(problem, construction)
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    way = replace(CONSTRUCTIONS[construction], assemble=lambda *_: pytest.fail("the transformer was built"))
    monkeypatch.setattr(proof, "CONSTRUCTIONS", {construction: way})
    with pytest.raises(ProblemError, match=r"would take about .* [KM]iB and 1e\+03 B is free"):
        judge(found, problem)
    lowered = found | {"certified": found["certified"] * 0.9}
    assert "bound in the cell" in (judge(lowered, problem).refusal or "")  # that needs no matrices


@pytest.mark.parametrize(
    ("construction", "given"),
    [("lean", {"K": 6, "d": 5}), ("paper", {}), ("softmax", {}), ("softmax", {"N": 3, "loss": "huber"})],
)
def test_no_program_has_more_entries_than_its_memory_is_predicted_for(construction, given, monkeypatch):
    problem = Problem.parse(SMALL | {"N": 2} | given)
    program = certified(problem, construction)["program"]
    wanted = CONSTRUCTIONS[construction].matrices(program)
    entries, sizes = sum(len(layer.entries) for layer in wanted), []
    monkeypatch.setattr(memory, "refuse", lambda needed, *_: sizes.append(needed))
    memory.refuse_program(program, problem)
    assert entries * 400 <= sizes[0] <= 4 * entries * 400


def test_a_certificate_with_more_units_than_fit_is_refused(monkeypatch):
    """Every unit of a product stands in the matrices once for each entry of V, twice over."""
    problem = Problem.parse(SMALL | {"d": 9})
    found = certified(problem, "softmax")
    plain, sizes = found["program"]["layers"][0]["z"]["square"], []
    monkeypatch.setattr(memory, "refuse", lambda needed, *_: sizes.append(needed))
    memory.refuse_program(found["program"], problem)
    plain |= {key: plain[key] + [1.0] * 1000 for key in "abc"}
    memory.refuse_program(found["program"], problem)
    assert sizes[1] - sizes[0] >= 400 * 1000 * 2 * problem.D_w


def test_a_huge_problem_is_one_sentence_and_bad_input(capsys, tmp_path):
    letters_ = {"N": 2, "K": 10**6, "d": 10**6, "n": 2, "eps": 1e5, "output": "linear"}
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(certified(Problem.parse(letters_), "paper")))
    asked = [part for name, value in letters_.items() for part in (f"--{name}", str(value))]
    code, out, err = run(capsys, "check", str(path), *asked)
    assert code == cli.BAD_INPUT and out == "" and len(err.strip().splitlines()) == 1
    assert "the matrices of the program would take about" in err and "TiB" in err


def test_softmax_matrices_are_held_against_their_own_program():
    problem = Problem.parse(SMALL)
    found = softmax_certificate(plan_softmax(halved(problem)))
    assert mismatch(found, build_softmax(problem).literal()) is None
    assert mismatch(found, build_softmax(replace(problem, eta=0.2)).literal()).startswith("layer 5, head 0 V")
    assert mismatch(found, assemble(made(N=1)).literal()) is not None
    assert mismatch(certificate(made(N=1)), build_softmax(problem).literal()) is not None
    assert "has no matrices" in (mismatch(found | {"program": {}}, []) or "")
    without = copy.deepcopy(found)
    without["program"]["layers"][0]["z"] = None
    assert "has no matrices" in (mismatch(without, []) or "")


def test_exact_has_no_proof_to_give():
    found = verify(
        Problem.parse(SMALL | {"activation": "relu"}), "exact", samples=50, seed=0, effort=0.0, certify=True
    )
    assert found.step.proof is None
    proved = [verdict.claim for verdict in found.verdicts if verdict.as_dict()["verdict"] == "proved"]
    assert "relu-icgd/lean/step-error" not in proved
    with pytest.raises(ProblemError, match="certified"):
        prove(plan(Problem.parse(SMALL | {"activation": "relu"}), "exact"), assemble(made()))


# The command line.


def run(capsys, *arguments):
    code = cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def step_error_verdict(document):
    """That on the bound of what is built; `paper` has another on the theorem's own eta*eps."""
    key = f"relu-icgd/{document['construction']}/step-error"
    (verdict,) = (one for one in document["verdicts"] if one["claim"] == key)
    return verdict


@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_certify_writes_what_check_accepts(capsys, tmp_path, construction):
    chosen = ["--construction", construction]
    asked = ["verify", *OPTIONS, *QUICK, *chosen, "--certify", "--out", str(tmp_path), "--json", "-"]
    code, out, _ = run(capsys, *asked)
    document = json.loads(out)
    assert code == cli.KEPT
    assert step_error_verdict(document)["verdict"] == "proved"
    assert document["certificate"]["accepted"] and document["certificate"]["refusal"] is None
    path = tmp_path / f"certificate-{construction}.json"
    assert json.loads(path.read_text())["weights"] == document["certificate"]["weights"]

    code, out, _ = run(capsys, "check", str(path), *OPTIONS, *chosen, "--json", "-")
    judged = json.loads(out)
    assert code == cli.KEPT and judged["accepted"] and judged["bound"] == document["certificate"]["bound"]
    assert judged["trusted"] == list(CONSTRUCTIONS[construction].trusted)

    tighter = [*OPTIONS[:-1], "0.1"]
    code, out, _ = run(capsys, "check", str(path), *tighter, *chosen, "--json", "-")
    judged = json.loads(out)
    assert code == cli.FAILED and not judged["accepted"] and judged["bound"] is None
    assert judged["refusal"].startswith("eps = 0.1")

    found = json.loads(path.read_text())
    found["certified"] /= 2
    path.write_text(json.dumps(found))
    code, out, _ = run(capsys, "check", str(path), *OPTIONS, *chosen)
    assert code == cli.FAILED and "refused" in out


def test_without_certify_nothing_is_proved(capsys, tmp_path):
    code, out, _ = run(capsys, "verify", *OPTIONS, *QUICK, "--out", str(tmp_path), "--json", "-")
    document = json.loads(out)
    assert code == cli.KEPT and document["certificate"] is None
    assert step_error_verdict(document)["verdict"] != "proved"
    assert not list(tmp_path.glob("certificate*"))


def test_an_activation_only_the_prover_knows_is_no_traceback(capsys, tmp_path):
    asked = ["verify", *OPTIONS, *QUICK, "--activation", "sinh(t)/2", "--certify", "--out", str(tmp_path)]
    code, _, err = run(capsys, *asked, "--json", "-")
    assert code in (cli.KEPT, cli.FAILED, cli.BAD_INPUT) and "Traceback" not in err


@pytest.mark.parametrize("content", [None, "", "{", "[1]", "\x00"])
def test_no_certificate_is_bad_input_in_one_line(capsys, tmp_path, content):
    path = tmp_path / "certificate.json"
    if content is not None:
        path.write_text(content)
    code, out, err = run(capsys, "check", str(path), *OPTIONS)
    assert code == cli.BAD_INPUT
    assert out == "" and len(err.strip().splitlines()) == 1 and err.startswith("icgd: ")
    assert "certificate" in err
