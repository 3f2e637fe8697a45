"""Files of weights of every kind, with prompts and what the literal reading makes of them."""

import pytest
import torch

from icgd.bounds.functional import FunctionalProblem
from icgd.bounds.looped import LoopedProblem
from icgd.bounds.preconditioned import PreconditionedProblem
from icgd.bounds.problem import Problem
from icgd.construct import functional, looped, preconditioned
from icgd.construct.block.dense import DenseTransformer
from icgd.construct.block.given_block import GivenBlock
from icgd.construct.block.weights import save_weights, write_tensors
from icgd.construct.exports.read_weights import read_weights
from icgd.construct.regression_tokens import stream
from icgd.construct.relu_icgd import build
from icgd.construct.softmax_icgd import build as build_softmax
from icgd.verify.search.prompts import random_prompts
from tests import numpy_linear_attention

LOOPS = 3


def generator():
    return torch.Generator().manual_seed(1)


def block_case(path, made):
    """Prompts of a block whose file is written, their tokens, and what the literal reading makes of these."""
    save_weights(made, path)
    prompt = random_prompts(made.problem, 5, generator())
    H = GivenBlock.of_block(made).pack(prompt)
    parts = [prompt.x, prompt.y, prompt.query, prompt.w]
    return {"parts": parts, "into": H, "out": DenseTransformer(made).block(H)}


def attention_case(path, made, predict, d, n):
    """The same of attention that predicts; `out` is the predictions."""
    made.save(path)
    x, y, query = (torch.randn(*s, generator=generator()).double() / 2 for s in ((5, n, d), (5, n), (5, d)))
    return {"parts": [x, y, query], "into": stream(x, y, query).mT, "out": predict(x, y, query)}


def alone_case(path, made):
    """A block of somebody else's: the tokens of one layer attend to themselves only, by softmax."""
    found = block_case(path, made)
    weights = read_weights(path)
    write_tensors(path, weights.tensors, {**weights.metadata, "diagonal": '["layer.01"]'})
    return found | {"out": read_weights(path).block()(found["into"])}


class OthersAttention:
    """Two heads that see the query, too, in a mean over all tokens; the label itself is the prediction."""

    P, Q = torch.randn(2, 2, 2, 4, 4, generator=generator()).double() / 2

    def save(self, path):
        said = {"M": "I", "divisor": "n+1", "prediction": "Z[-1, -1]"}
        write_tensors(path, {"P": self.P, "Q": self.Q}, said)

    def predict(self, *prompts):
        P, Q, *prompts = (one.numpy() for one in (self.P, self.Q, *prompts))
        found = [
            numpy_linear_attention.prediction(P, Q, *one, masked=False, divisor=len(one[0]) + 1, sign=1)
            for one in zip(*prompts, strict=True)
        ]
        return torch.tensor(found)


@pytest.fixture(scope="session")
def exported_cases(tmp_path_factory):
    """Name -> a file of weights with its prompts and the literal reading, for every kind of weights."""
    folder = tmp_path_factory.mktemp("exports")
    tiny = {"N": 2, "K": 2, "d": 2, "d_out": 1, "n": 3, "eps": 0.3}
    found = {}

    def add(name, case, *given):
        found[name] = {"file": folder / f"{name}.safetensors"} | case(folder / f"{name}.safetensors", *given)

    add("lean", block_case, build(Problem(**tiny)))
    add("paper", block_case, build(Problem(**tiny | {"eps": 0.9}), "paper"))
    add("softmax", block_case, build_softmax(Problem(**tiny)))
    linear = preconditioned.build(PreconditionedProblem(d=3, n=7, L=2, S="2,1,1/2"))
    add("preconditioned", attention_case, linear, linear, 3, 7)
    loop = looped.build(LoopedProblem(d=3, n=7, T=LOOPS))
    add("alone", alone_case, build_softmax(Problem(**tiny)))
    others = OthersAttention()
    add("others", attention_case, others, others.predict, 3, 7)
    add("looped", attention_case, loop, lambda x, y, q: loop.predict(x, y, q, loops=LOOPS)[-1], 3, 7)
    for normaliser in ("examples", "tokens"):
        made = functional.FunctionalTransformer(
            ("softmax", "exp", "linear", "relu", "quadratic"),
            [0.02] * 2,
            2,
            FunctionalProblem(d=2, n=6),
            normaliser=normaliser,
        )
        add(
            f"over {normaliser}",
            attention_case,
            made,
            lambda x, y, q, made=made: made.predict(x, y, q)[-1],
            2,
            6,
        )
    return found
