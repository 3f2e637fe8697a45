"""Judging what others built: undamaged blocks hold, ours are proved from the file, each damage is named."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

import icgd
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.construct.block.given_block import GivenBlock
from icgd.construct.block.weights import save_weights
from icgd.construct.relu_icgd import build
from icgd.construct.softmax_icgd import build as build_softmax
from icgd.verify.given_block.judge import judge_weights, replay_on
from icgd.verify.given_block.measures import FACE_ROOM, MEASURES, measured
from icgd.verify.search.counterexample import Counterexample
from tests.durations import mostly_slow
from tests.numpy_layers import layers_by_hand

QUICK = {"samples": 200, "effort": 0.1}
SMALL = Problem(N=2, K=2, d=2, d_out=1, n=3, eps=0.3)


def failed(found):
    return {one.claim.removeprefix("judge/") for one in found.verdicts if one.status == "failed"}


def of_the_step(found):
    return next(one for one in found.verdicts if one.claim == "judge/step-error")


def built(construction, problem=SMALL):
    return build_softmax(problem) if construction == "softmax" else build(problem, construction)


@pytest.mark.parametrize("construction", ["lean", "paper", "softmax"])
@pytest.mark.parametrize("named", [True, False])
def test_our_files_are_proved_from_the_file_alone(construction, named, tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(built(construction), path)
    if not named:
        with safe_open(path, "np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = {name: text for name, text in file.metadata().items() if name != "construction"}
        save_file(tensors, path, metadata)
    found = judge_weights(path, **QUICK)
    assert of_the_step(found).said == "proved by certificate" and failed(found) == set()
    assert found.construction == construction and found.proved
    assert found.sampled <= found.attacked <= found.certified <= found.allowed
    assert "One step is descent" in found.conclusion and "proved" in repr(found)


def test_the_exact_construction_is_recognised_without_a_certificate():
    posed = Problem.parse(SMALL.as_dict() | {"activation": "relu"})
    found = judge_weights(built("exact", posed), **QUICK)
    assert found.construction == "exact" and found.certificate is None
    assert "only outside the gate's margin" in of_the_step(found).evidence


@pytest.mark.parametrize(
    ("N", "K", "more"),
    [(1, 1, {}), (1, 2, {"eta": 2.0}), (2, 2, {}), (2, 1, {"n": 1}), (3, 1, {"eps": 0.9})],
)
def test_layers_by_hand_hold(N, K, more):
    found = judge_by_hand(N=N, K=K, **more)
    assert failed(found) == set()
    assert of_the_step(found).status == "held" and "not proved" in of_the_step(found).evidence
    assert all(abs(one.factor - 1) < 0.05 and one.unexplained < 0.05 for one in found.factors)


def judge_by_hand(**letters):
    tensors, metadata = layers_by_hand(**letters)
    ranges = {name: tuple(ends) for name, ends in json.loads(metadata["stream"]).items()}
    return icgd.judge(
        {name: torch.from_numpy(one) for name, one in tensors.items()},
        Problem.parse(json.loads(metadata["problem"])),
        stream=ranges,
        diagonal=json.loads(metadata["diagonal"]),
        **QUICK,
    )


T, M = layers_by_hand()
STREAM = json.loads(M["stream"])
LAST = max(name for name in T)[:8]
"""The layer that updates w, projects it and clears the scratch."""


def entry(name, index, value):
    def damage(tensors, metadata):
        old = np.copy(tensors[name][index])
        tensors[name][index] = value(old) if callable(value) else value
        assert not np.array_equal(tensors[name][index], old)

    return damage


def whole(name, change):
    def damage(tensors, metadata):
        tensors[name] = np.ascontiguousarray(change(tensors[name]))

    return damage


def told(name, value):
    def damage(tensors, metadata):
        metadata[name] = value if isinstance(value, str) else json.dumps(value)

    return damage


def lost(name):
    return lambda tensors, metadata: [part.pop(name, None) for part in (tensors, metadata)]


def swapped(one, other):
    def damage(tensors, metadata):
        for part in ("Q", "K", "V"):
            a, b = f"layer.{one:02d}.{part}", f"layer.{other:02d}.{part}"
            tensors[a], tensors[b] = tensors[b], tensors[a]

    return damage


def posed(**letters):
    return told("problem", json.loads(M["problem"]) | letters)


def slot(**ranges):
    return told("stream", STREAM | ranges)


def keys_without_mask(tensors, metadata):
    K, t, one = tensors[f"{LAST}.K"], STREAM["t"][0], STREAM["one"][0]
    K[:, 0, one] = np.where(K[:, 0, t] == 1, 1, -K[:, 0, one])
    K[:, 0, t] = 0.0


def cleared_no_more(tensors, metadata):
    tensors[f"{LAST}.W2"][-1] = 0.0


def projected_no_more(tensors, metadata):
    tensors[f"{LAST}.W2"][STREAM["V1"][0] : STREAM["V1"][1]] = 0.0
    tensors[f"{LAST}.W2"][STREAM["V2"][0] : STREAM["V2"][1]] = 0.0


def differs_by_token(tensors, metadata):
    W1, W2 = np.zeros((1, T[f"{LAST}.W1"].shape[1])), np.zeros((T[f"{LAST}.W2"].shape[0], 1))
    W1[0, STREAM["t"][0]], W2[STREAM["V1"][0], 0] = 1.0, 1e-6
    tensors[f"{LAST}.W1"] = np.concatenate([tensors[f"{LAST}.W1"], W1])
    tensors[f"{LAST}.W2"] = np.concatenate([tensors[f"{LAST}.W2"], W2], axis=1)


REBUILT = []
"""Damages that build all of it again: true blocks, of other letters or with coarser sums."""


def rebuilt(**letters):
    def damage(tensors, metadata):
        made, _ = layers_by_hand(**letters)
        tensors.update(made)

    REBUILT.append(damage)
    return damage


STEP = "step-error"
MUTANTS = {
    # what it does, then the claim that must fail, or words of the refusal
    "the sign of the step": (whole(f"{LAST}.V", lambda V: -V), STEP),
    "the sign of one row of a score": (entry("layer.00.Q", (5, 0), lambda q: -q), STEP),
    "two layers change places": (swapped(2, 3), STEP),
    "Q transposed": (whole("layer.00.Q", lambda Q: Q.transpose(0, 2, 1)), STEP),
    "K and V exchanged": (
        lambda tensors, _: tensors.update({"layer.00.K": T["layer.00.V"], "layer.00.V": T["layer.00.K"]}),
        STEP,
    ),
    "the factor (n+1)/n is missing": (rebuilt(scale=-0.05), STEP),
    "a loss with 1/n": (rebuilt(scale=-0.1 * 4 / 3), STEP),
    "a step twice as long": (rebuilt(eta=0.2), STEP),
    "fits that end too early": (rebuilt(radius=0.5, beyond=0.0), STEP),
    "fits with two pieces": (rebuilt(pieces=2), STEP),
    "a head less": (whole("layer.02.V", lambda V: V * (np.arange(len(V)) != 0)[:, None, None]), STEP),
    "a gate counted twice": (whole("layer.02.V", lambda V: 2 * V), STEP),
    "an offset that is too small": (
        whole(f"{LAST}.K", lambda K: np.where(np.abs(K) >= 64, K / 2**12, K)),
        STEP,
    ),
    "no mask between tokens": (told("diagonal", []), STEP),
    "another kind of attention": (told("attention", "softmax"), STEP),
    "another activation": (posed(activation="sigmoid"), STEP),
    "another loss": (posed(loss="logistic"), STEP),
    "another step size": (posed(eta=0.15), STEP),
    "another number of examples": (posed(n=9), STEP),
    "one and t change places": (slot(one=STREAM["t"], t=STREAM["one"]), STEP),
    "x where the scratch is": (slot(x=[12, 14]), STEP),
    "noise 1e-3 in the clearing": (entry(f"{LAST}.W1", (-1, -1), lambda w: w + 1e-3), "scratch-clear"),
    "a coordinate is not cleared": (cleared_no_more, "scratch-clear"),
    "no projection": (projected_no_more, "stays-in-W"),
    "faces half as far": (whole(f"{LAST}.W1", lambda W: np.where(np.abs(W) % 1, W / 2, W)), STEP),
    "the query counts": (keys_without_mask, "query-masked"),
    "w differs between tokens": (differs_by_token, "tokens-agree"),
    "x is changed": (entry(f"{LAST}.W2", (STREAM["x"][0], 0), 1e-3), "data-kept"),
    "noise 1e-3 in one": (entry("layer.03.V", (0, 0, 0), 1e-3), "data-kept"),
    "a missing tensor": (lost("layer.01.K"), r"tensor = layer.01.K: it is missing, and Q and V are there"),
    "a missing layer": (
        lambda tensors, _: [tensors.pop(f"layer.02.{part}") for part in "QKV"],
        r"tensor = layer.02: it has no matrices",
    ),
    "a tensor more": (lambda tensors, _: tensors.update(P=np.zeros((2, 2))), r"tensor = P: the tensors of"),
    "not a number": (entry("layer.00.K", (1, 2, 3), np.nan), r"layer.00.K\[1, 2, 3\] = nan"),
    "infinite": (entry(f"{LAST}.W2", (0, 1), -np.inf), r"W2\[0, 1\] = -inf: every entry must be"),
    "integers": (whole("layer.00.Q", lambda Q: Q.astype(np.int64)), r"layer.00.Q is I64"),
    "W1 transposed": (whole(f"{LAST}.W1", lambda W: W.T), rf"{LAST}.W1 = shape"),
    "another width": (whole("layer.01.Q", lambda Q: Q[:, :, :-1]), r"layer.01.Q = shape"),
    "a file for a wider network": (posed(K=3), r"stream.V1 = \d+:\d+: it needs 6 coordinates"),
    "a file for a deeper network": (posed(N=3), r"stream.V2 = 6:8: it needs 4 coordinates"),
    "a slot twice": (slot(y=STREAM["one"]), r"stream.\w+ = .*it overlaps the slot"),
    "no stream": (lost("stream"), r"its metadata name no slots"),
    "no kind of attention": (lost("attention"), r"its metadata name no kind of attention"),
    "a letter that does not exist": (posed(R=3), r"R = 3: there is no such letter"),
    "too few layers": (told("layers", "3"), r"layers = 3: there are tensors of layer"),
    "an unknown attention": (told("attention", "odd"), r"attention = odd"),
}


def damaged(name, path):
    tensors, metadata = layers_by_hand()
    MUTANTS[name][0](tensors, metadata)
    save_file({key: np.ascontiguousarray(one) for key, one in tensors.items()}, path, metadata)
    return path


@pytest.mark.parametrize("name", mostly_slow(MUTANTS))
def test_each_damage_is_caught_by_name(name, tmp_path):
    path, expected = damaged(name, tmp_path / "model.safetensors"), MUTANTS[name][1]
    if expected not in MEASURES:
        with pytest.raises(ProblemError, match=expected) as error:
            judge_weights(path, **QUICK)
        assert "\n" not in str(error.value)
        return
    found = judge_weights(path, **QUICK)
    assert expected in failed(found)
    broken = found.counterexamples[expected]
    assert broken.error > broken.allowed
    again = replay_on(GivenBlock.read(path), broken)
    assert again.status == "failed" and "the file says" not in again.evidence


def test_there_are_many_mutants():
    assert len(MUTANTS) >= 40


@pytest.mark.parametrize(
    ("name", "reading"),
    [
        ("the sign of the step", "the sign of the step is wrong"),
        ("the factor (n+1)/n is missing", "the factor (n+1)/n of the mean over n+1 tokens is missing"),
        ("a loss with 1/n", "as for a loss with 1/n instead of 1/(2n)"),
    ],
)
def test_a_well_known_mistake_is_called_by_its_name(name, reading, tmp_path):
    found = judge_weights(damaged(name, tmp_path / "m"), **QUICK)
    assert all(row[-1] == reading for row in found.grids[0].rows)
    assert reading in of_the_step(found).evidence


@pytest.mark.parametrize("change", [1e-3, 1e-15])
def test_a_small_change_of_our_matrices_is_named_and_not_proved(change):
    block = GivenBlock.of_block(built("lean"))
    tensors = {name: one.clone() for name, one in block.tensors.items()}
    row, column = (tensors["layer.01.Q"][0] != 0).nonzero()[0].tolist()
    tensors["layer.01.Q"][0, row, column] += change
    found = judge_weights(GivenBlock(tensors, block.problem, block.declaration), **QUICK)
    verdict = of_the_step(found)
    assert verdict.status == "held" and found.certificate is None
    assert f"layer 1, head 0 Q ({row}, {column})" in verdict.evidence


def test_matrices_of_ours_under_another_stream_are_not_proved():
    block = GivenBlock.of_block(built("lean", Problem(N=1, K=1, d=1, n=2, eps=0.3)))
    stream = dict(block.declaration.stream)
    stream["x"], stream["y"] = stream["y"], stream["x"]
    moved = GivenBlock(block.tensors, block.problem, replace(block.declaration, stream=stream))
    found = judge_weights(moved, **QUICK)
    assert of_the_step(found).status == "failed" and "the slot x is 1:2, not 0:1" in found.recovery.why


def test_other_letters_than_those_of_the_matrices_are_not_proved():
    found = judge_weights(built("lean"), replace(SMALL, eta=0.2), **QUICK)
    assert of_the_step(found).status == "failed" and found.certificate is None


def test_the_same_seed_gives_the_same_verdicts():
    one, other = (judge_by_hand(N=1, K=1) for _ in range(2))
    assert one.attacked == other.attacked and one.verdicts == other.verdicts


def test_what_the_error_is_agrees_with_the_definition_of_our_own_blocks():
    from icgd.verify.search.prompts import random_prompts, seeded
    from icgd.verify.search.sweep import one_step_errors

    block = GivenBlock.of_block(built("lean", replace(SMALL, eta=3.0)))
    prompt = random_prompts(block.problem, 200, seeded(5))
    ours, theirs = one_step_errors(block, prompt), measured(block, "step-error", prompt)
    # The box of somebody's Proj may be smaller by a share of FACE_ROOM.
    assert torch.allclose(ours, theirs, rtol=0, atol=FACE_ROOM * math.sqrt(prompt.w.shape[1]))


def test_a_counterexample_is_read_back(tmp_path):
    found = judge_weights(damaged("the sign of the step", tmp_path / "m"), **QUICK)
    found.counterexamples["step-error"].save(tmp_path / "c.json")
    saved = Counterexample.load(tmp_path / "c.json")
    assert replay_on(GivenBlock.read(tmp_path / "m"), saved).status == "failed"
    right = GivenBlock.read(tmp_path / "m", letters={})
    with pytest.raises(ProblemError, match="found for other letters"):
        replay_on(GivenBlock(right.tensors, replace(right.problem, eps=0.2), right.declaration), saved)


def test_a_block_for_very_long_prompts_is_proved_without_running_one():
    made = built("lean", Problem(N=1, K=1, d=1, n=100_000, eps=0.3))
    found = judge_weights(made)
    assert found.proved and found.attacked is None and "No prompt was run" in found.conclusion
    assert {one.status for one in found.verdicts[1:]} == {"inapplicable"} and "not searched" in repr(found)
    block = GivenBlock.of_block(made)
    wrong = GivenBlock(block.tensors, replace(block.problem, eta=0.2), block.declaration)
    with pytest.raises(ProblemError, match="the prompts do not fit"):
        judge_weights(wrong)


def test_tensors_without_a_problem_are_refused():
    with pytest.raises(ProblemError, match="they need a problem and a stream"):
        icgd.judge({"layer.00.W1": torch.zeros(1, 3)})
