"""Every file that icgd reads, damaged and forged: one sentence, no hang, no change of meaning accepted."""

import json
import tomllib
from fractions import Fraction

import numpy as np
import pytest
import safetensors.numpy

from icgd import Problem, ProblemError, build, theorem
from icgd.construct.block.given_block import GivenBlock
from icgd.construct.block.weights import save_weights
from icgd.verify.certificate.issue import certificate_text, load_certificate, posed_letters
from icgd.verify.certificate.proof import certified, misshapen, refusal
from icgd.verify.ledger.entries import LedgerError, parse_entries
from icgd.verify.search.counterexample import Counterexample
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.search.sweep import sweep
from tests.forged_files import fuzzed

SMALL = Problem(N=1, K=1, d=1, n=2, L=1, eps=0.5)


def test_a_counterexample_says_what_its_file_says_or_is_refused(tmp_path, any_shapes):
    prompt = random_prompts(SMALL, 1, seeded(0))
    honest = Counterexample(SMALL, "lean", "relu-icgd/lean/step-error", prompt, 0.1, 0.05)
    for mutant, found in fuzzed(tmp_path / "a.json", honest.text.encode(), 2000, Counterexample.load):
        said = json.loads(mutant)
        assert found.problem == Problem(**said["problem"]) and found.construction == said["construction"]
        named = said["claim"].partition("/")[0]  # the command finds the theorem of that name, or none
        assert found.claim == f"{named}/{found.construction}/step-error"
        for name, width in (("x", found.problem.d), ("y", found.problem.d_out), ("query", None), ("w", None)):
            read, written = (
                getattr(found.prompt, name)[0].numpy(),
                np.array(said["prompt"][name], dtype=float),
            )
            assert np.isfinite(read).all()
            if width:
                assert read.shape == (found.problem.n, width)
                written = np.tile(written, (-(-len(read) // len(written)), 1))[: len(read)]
                limit = found.problem.B_x if name == "x" else found.problem.B_y
                assert np.linalg.norm(read, axis=1).max() <= limit * (1 + 1e-15)
            assert np.array_equal(read, written), name


@pytest.fixture(scope="module")
def certificate():
    return certificate_text(certified(SMALL, "lean")).encode()


@pytest.mark.slow
def test_a_certificate_that_is_accepted_proves_what_is_true(tmp_path, certificate):
    worst = sweep(build(SMALL), 20_000, seeded(0)).largest / SMALL.eta
    posed, program = posed_letters(SMALL), json.loads(certificate)["program"]

    def judged(path):
        if reason := refusal(load_certificate(path), posed, "lean"):
            raise ProblemError("certificate", path, reason)
        return load_certificate(path)

    for _, found in fuzzed(tmp_path / "c.json", certificate, 200, judged):
        assert found["program"] == program and found["problem"] == SMALL.as_dict()
        assert worst <= found["certified"] <= SMALL.eps


def test_the_shape_of_a_certificate_is_held_without_a_checker(tmp_path, certificate):
    posed = posed_letters(SMALL)

    def shaped(path):
        if reason := misshapen(load_certificate(path), posed, "lean"):
            raise ProblemError("certificate", path, reason)
        return load_certificate(path)

    for mutant, found in fuzzed(tmp_path / "c.json", certificate, 2000, shaped):
        assert found == json.loads(mutant)


def test_a_block_is_what_its_file_holds_or_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(build(SMALL), path)
    honest = path.read_bytes()
    for mutant, found in fuzzed(path, honest, 2000, GivenBlock.read):
        tensors = safetensors.numpy.load(mutant)
        assert tensors.keys() == found.tensors.keys()
        for name, tensor in tensors.items():
            read = found.tensors[name].numpy()
            assert np.isfinite(read).all() and np.array_equal(read, tensor.astype(float)), name
        length = int.from_bytes(mutant[:8], "little")
        metadata = json.loads(mutant[8 : 8 + length])["__metadata__"]
        assert found.problem == Problem(**json.loads(metadata["problem"]))
        slots = json.loads(metadata["stream"])
        assert {name: list(ends) for name, ends in found.declaration.stream.items()} == slots
        assert found.attention == metadata["attention"]


def test_a_ledger_of_findings_is_read_or_refused(tmp_path, pytestconfig):
    folder = pytestconfig.rootpath / "verify" / "ledger"
    text = (folder / "2306.00297.toml").read_text("utf-8")
    head, *entries = text.split("[[finding]]")
    honest = "[[finding]]".join([head, *entries[:1]]).encode()
    assert len(entries) > 1

    def read(path):
        return parse_entries(path.read_bytes().decode("utf-8", "replace"), "mine.toml")

    for mutant, (paper, (finding, *_)) in fuzzed(tmp_path / "l.toml", honest, 300, read, LedgerError):
        said = tomllib.loads(mutant.decode("utf-8", "replace"))
        assert paper.title == said["paper"]["title"] and finding.statement == said["finding"][0]["statement"]


def test_what_a_file_says_is_allowed_changes_no_verdict(tmp_path, monkeypatch):
    """eta*eps bounds the honest error here, and no word of the file can make it fail, or a wrong one hold."""
    replay = theorem("relu-icgd").replay
    prompt = random_prompts(SMALL, 1, seeded(0))
    path = tmp_path / "a.json"
    said = json.loads(Counterexample(SMALL, "lean", "relu-icgd/lean/step-error", prompt, 0.1, 0.05).text)
    evidence = set()
    for allowed in (1e-12, 0, -1, 1e300, "inf", "nan"):
        path.write_text(json.dumps(said | {"allowed": allowed}))
        verdict = replay(Counterexample.load(path))
        evidence.add(verdict.evidence.partition(";")[0])
        assert verdict.status == "held" and "the file says an error 0.1" in verdict.evidence
    assert len(evidence) == 1
    wrong, honest = build(SMALL), build(SMALL).step
    monkeypatch.setattr(wrong, "step", lambda prompt: honest(prompt) + 0.1)
    for allowed in (1e300, "inf", "nan"):
        path.write_text(json.dumps(said | {"allowed": allowed}))
        verdict = replay(Counterexample.load(path), wrong)
        error = Fraction(verdict.evidence.split()[2])
        assert error > Fraction(SMALL.eta) * Fraction(SMALL.eps) and verdict.status == "failed"
