"""The network's output is the step error, as autograd finds it, of matrices that a certificate is about."""

from fractions import Fraction

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from flint import arb

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.construct.block.given_block import GivenBlock
from icgd.construct.exports.onnx_graph import OnnxGraph
from icgd.construct.relu_icgd import build
from icgd.construct.softmax_icgd import build as build_softmax
from icgd.verify.benchmark_set.ball_run import exact_balls, run_in_balls
from icgd.verify.benchmark_set.error_network import InputLayout, exact_step, write_error_network
from icgd.verify.benchmark_set.rounding_room import FUNCTION_ERROR, Rounded, rounding_room
from icgd.verify.certificate.proof import mismatch
from icgd.verify.descent import descend
from icgd.verify.search.prompts import random_prompts

SMALL = {"N": 2, "K": 2, "d": 2, "d_out": 1, "n": 2, "eps": 0.3}


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def prompts(problem, count=20):
    return random_prompts(problem, count, torch.Generator().manual_seed(1))


def test_the_output_is_the_step_error(tmp_path):
    for made in (build(Problem(**SMALL | {"activation": "sigmoid"})), build_softmax(Problem(**SMALL))):
        block, path = GivenBlock.of_block(made), tmp_path / "x.onnx"
        write_error_network(path, block.tensors, block.declaration, block.problem)
        prompt = prompts(block.problem)
        wanted = (made.step(prompt) - descend(block.problem, prompt, 1)[1]).detach().numpy()
        X, run = InputLayout(block.problem).flat(prompt), session(path)
        found = np.concatenate([run.run(None, {"X": x[None]})[0] for x in X])
        assert np.abs(found - wanted).max() < 1e-14 < 1e-4 < np.abs(wanted).max()
        for x, e in zip(X[:2], found, strict=False):  # the file over the reals, by other code
            exact = run_in_balls(path, x[None])[0]
            assert all(abs(float(ball) - float(value)) < 1e-14 for ball, value in zip(exact, e, strict=True))
            assert all(ball.rad() < 1e-40 for ball in exact)


def test_the_matrices_in_the_file_are_those_of_the_certificate(tiny_set, tiny):
    held = onnx.load(tiny_set[0] / "networks" / "tiny.onnx").graph.initializer
    tensors = {
        one.name.removesuffix(".T"): torch.from_numpy(onnx.numpy_helper.to_array(one).copy()).mT
        for one in held
        if one.name.startswith("layer.")
    }
    block = GivenBlock(tensors, tiny.problem, tiny.block.declaration)
    assert mismatch(tiny.certificate, block.literal()) is None
    tensors["layer.00.W1"][0, 0] += 1e-9
    assert mismatch(tiny.certificate, GivenBlock(tensors, tiny.problem, tiny.block.declaration).literal())


def test_the_exact_step_is_computed_within_its_room(tmp_path):
    generator = np.random.default_rng(1)
    for letters in (
        SMALL,
        {"N": 1, "K": 1, "d": 1, "n": 3, "B_x": 9.0, "B_y": 20.0, "activation": "sigmoid"},
    ):
        problem = Problem(**letters)
        graph, size = OnnxGraph("exact step"), InputLayout(problem).size
        graph.node("Identity", exact_step(graph, problem), name="E")
        path = tmp_path / "exact.onnx"
        graph.write(path, {"X": (1, size)}, {"E": (1, problem.D_w)}, {})
        X = InputLayout(problem).flat(prompts(problem, 30))
        X = np.concatenate([X, np.sign(X) * np.abs(X).max(axis=0)])
        room, run, largest = rounding_room(problem), session(path), 0.0
        for x in X[generator.permutation(len(X))[:30]]:
            exact = run_in_balls(path, x[None])[0]
            for ball, value in zip(exact, run.run(None, {"X": x[None]})[0][0], strict=True):
                largest = max(largest, float(abs(ball - float(value)).upper()))
        assert 0 < largest <= room < 1e-11


def test_rounded_numbers_stay_within_their_bounds():
    """Sums and products of floats that are off, against exact rationals, with the errors at their worst."""
    generator = np.random.default_rng(2)
    for _ in range(200):
        k, size, off = (
            int(generator.integers(1, 9)),
            generator.uniform(0.1, 9, 2),
            10.0 ** generator.uniform(-9, 0, 2),
        )
        true = np.sign(generator.normal(size=(2, k))) * size[:, None]
        held = true + np.sign(true) * off[:, None]
        a, b = (Rounded(float(s), float(e) * (1 + 1e-9)) for s, e in zip(size, off, strict=True))
        dot = Fraction(float(held[0] @ held[1])) - sum(
            Fraction(float(x)) * Fraction(float(y)) for x, y in true.T
        )
        assert abs(dot) <= a.times(b, k).error
        plus = (
            Fraction(float(held[0, 0] + held[1, 0]))
            - Fraction(float(true[0, 0]))
            - Fraction(float(true[1, 0]))
        )
        assert abs(plus) <= a.plus(b).error
    assert Rounded(2.0).times(Rounded(3.0), 4).size >= 24 and Rounded(2.0).plus(Rounded(3.0)).size >= 5


def test_functions_of_the_runtime_are_as_near_as_is_taken_for_granted(tmp_path):
    points = np.concatenate([np.linspace(-40, 40, 500), np.geomspace(1e-9, 1, 500)])[None]
    for op, true in (("Tanh", lambda z: z.tanh()), ("Sigmoid", lambda z: 1 / (1 + (-z).exp()))):
        graph, path = OnnxGraph(op), tmp_path / f"{op}.onnx"
        graph.node(op, "X", name="E")
        graph.write(path, {"X": points.shape}, {"E": points.shape}, {})
        (found,) = session(path).run(None, {"X": points})
        for z, value in zip(exact_balls(points)[0], found[0], strict=True):
            assert abs(true(z) - arb(float(value))) <= FUNCTION_ERROR


def test_steps_that_are_not_written_are_refused(tmp_path):
    for letters, said in (
        ({"loss": "logistic"}, "activation tanh, loss logistic"),
        ({"activation": "sin"}, "activation sin, loss squared"),
        ({"output": "linear"}, "output = linear"),
    ):
        with pytest.raises(ProblemError, match=said):
            write_error_network(tmp_path / "x.onnx", {}, None, Problem(**letters))
