"""Planted errors are where they should be, and nowhere else; one of floats alone is 0 over the reals."""

import numpy as np
import onnxruntime

from icgd.construct.block.given_block import GivenBlock
from icgd.verify.benchmark_set.ball_run import run_in_balls
from icgd.verify.benchmark_set.error_network import write_error_network
from icgd.verify.benchmark_set.planted import (
    SPIKE_WIDTH,
    PlantedBlock,
    float_only_block,
    spiked_block,
)

HEIGHT, AT = 0.05, 0.123


def written(path, planted, problem):
    write_error_network(path, planted.tensors, planted.declaration, problem)
    return path


def test_a_spike_is_as_wide_and_as_high_as_it_should_be(tiny, tmp_path):
    block, last = tiny.block, len(tiny.block.layers) - 1
    spiked = spiked_block(block, block.stream.x[0], AT, last, HEIGHT)
    plain = written(tmp_path / "plain.onnx", PlantedBlock(block.tensors, block.declaration), tiny.problem)
    path = written(tmp_path / "spiked.onnx", spiked, tiny.problem)
    for off, share in ((0.0, 1.0), (0.5, 0.5), (-0.5, 0.5), (1.0, 0.0), (-1.5, 0.0), (1e6, 0.0)):
        x = np.array([[0.3, -0.7, AT + off * SPIKE_WIDTH, 0.4]])
        added = (run_in_balls(path, x) - run_in_balls(plain, x))[0, 0]
        assert abs(float(added) - share * HEIGHT) < 1e-7 * HEIGHT, off  # AT - WIDTH is rounded to 1e-17


def test_an_error_of_floats_alone_is_nothing_over_the_reals(tiny, tmp_path):
    plain = written(
        tmp_path / "plain.onnx", PlantedBlock(tiny.block.tensors, tiny.block.declaration), tiny.problem
    )
    path = written(
        tmp_path / "planted.onnx", float_only_block(tiny.block, tiny.block.stream.x[0]), tiny.problem
    )
    run = {
        one: onnxruntime.InferenceSession(one, providers=["CPUExecutionProvider"]) for one in (plain, path)
    }
    wrong = {0.02: -0.02, 0.05: 2.0**-4 - 0.05, 2.0**-4: 0.0, -0.3: 0.0}
    for query, added in wrong.items():
        x = np.array([[0.3, -0.7, query, 0.4]])
        in_floats = run[path].run(None, {"X": x})[0] - run[plain].run(None, {"X": x})[0]
        assert abs(in_floats[0, 0] - added) < 1e-12, query
        over_reals = (run_in_balls(path, x) - run_in_balls(plain, x))[0, 0]
        assert over_reals.contains(0) and over_reals.rad() < 1e-40
    planted = float_only_block(tiny.block, tiny.block.stream.x[0])
    again = GivenBlock(planted.tensors, tiny.problem, planted.declaration)
    H = again.pack(tiny.prompt(np.array([[0.3, -0.7, 0.02, 0.4]])))
    assert again.stream.D - 1 in again.stream.scratch and (again(H)[..., -1] == 0).all()
