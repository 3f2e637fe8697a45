"""The looped block: chunks, batches and precision do not matter, and tokens influence only what they may."""

import copy

import pytest
import torch

from icgd.bounds.problem import Problem
from icgd.construct.block import transformer as module
from icgd.construct.block.dense import DenseTransformer
from icgd.construct.block.heads import Read
from icgd.construct.block.stream import Stream
from icgd.construct.block.transformer import Layer, Transformer
from icgd.construct.prompt import Prompt, stack_weights
from icgd.construct.relu_icgd import build
from icgd.verify.search.prompts import random_prompts

CASES = {
    "lean": Problem(N=2, K=3, d=2, d_out=1, n=150, eps=0.2, eta=0.5, L=3),
    "paper": Problem.parse(
        {"N": 2, "K": 2, "d": 3, "n": 150, "eps": 0.5, "eta": 0.5, "L": 3, "loss": "huber"}
    ),
    "exact": Problem.parse({"N": 3, "K": 3, "d": 2, "n": 150, "eta": 0.5, "L": 3, "activation": "relu"}),
}


@pytest.fixture(params=list(CASES))
def case(request):
    problem = CASES[request.param]
    return build(problem, request.param), random_prompts(problem, 5, torch.Generator().manual_seed(3))


def after_run(transformer, prompt):
    state = transformer.run(transformer.stream.open(prompt))
    return stack_weights([state.shared[f"V{j}"] for j in range(1, transformer.problem.N + 1)])


def close(a, b, tolerance=1e-13):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


@pytest.mark.parametrize("chunk", [1, 700, 1 << 16])
def test_pieces_of_a_prompt_give_what_the_whole_gives(case, monkeypatch, chunk):
    transformer, prompt = case
    seen = []
    tokens = Transformer._tokens
    monkeypatch.setattr(
        Transformer,
        "_tokens",
        lambda self, state: seen.append(state.tokens["x"].shape[:2]) or tokens(self, state),
    )
    whole = after_run(transformer, prompt)
    seen.clear()
    monkeypatch.setattr(module, "_CHUNK", chunk)
    close(transformer.step(prompt), whole)
    assert sum(rows * length for rows, length in seen) == 5 * 151
    assert len(seen) == {1: 5 * 3, 700: 5, 1 << 16: 1}[chunk]


def test_order_of_the_batch_does_not_matter(case):
    transformer, prompt = case
    order = torch.tensor([4, 2, 0, 3, 1])
    close(transformer.step(prompt[order]), transformer.step(prompt)[order])
    one_by_one = torch.cat([transformer.step(prompt[i : i + 1]) for i in range(5)])
    close(one_by_one, transformer.step(prompt))


def test_order_of_the_examples_does_not_matter(case):
    transformer, prompt = case
    order = torch.randperm(prompt.n, generator=torch.Generator().manual_seed(0))
    turned = Prompt(prompt.x[:, order], prompt.y[:, order], prompt.query, prompt.w)
    close(transformer.step(turned), transformer.step(prompt))


def test_the_query_never_reaches_the_weights(case):
    transformer, prompt = case
    other = Prompt(prompt.x, prompt.y, -prompt.query.flip(0) * 0.37, prompt.w)
    assert torch.equal(transformer.step(other), transformer.step(prompt))
    assert torch.equal(after_run(transformer, other), after_run(transformer, prompt))
    stream, dense = transformer.stream, DenseTransformer(transformer)
    blocks = [dense.block(stream.pack(stream.open(each)))[..., stream.weights] for each in (prompt, other)]
    close(blocks[0], blocks[1], 1e-13)


def test_examples_do_reach_the_weights(case):
    transformer, prompt = case
    other = Prompt(prompt.x, prompt.y.flip(1), prompt.query, prompt.w)
    assert (transformer.step(other) - transformer.step(prompt)).abs().max() > 1e-6


def test_the_state_given_is_left_as_it_was(case):
    transformer, prompt = case
    state = transformer.stream.open(prompt)
    names = list(state.tokens), list(state.shared)
    before = transformer.stream.pack(state)
    transformer.run(state)
    assert (list(state.tokens), list(state.shared)) == names
    assert torch.equal(transformer.stream.pack(state), before)


def test_forward_loops_the_block_L_times(case):
    transformer, prompt = case
    stream = transformer.stream
    looped = transformer(stream.pack(stream.open(prompt)))
    iterates = transformer.simulate(prompt)
    assert iterates.shape == (4, 5, transformer.problem.D_w)
    assert torch.equal(iterates[0], prompt.w)
    close(stream.pack(stream.open(prompt.with_weights(iterates[3]))), looped)  # scratch is 0 as well
    assert torch.equal(iterates[2], transformer.step(prompt.with_weights(iterates[1])))
    assert torch.equal(transformer.simulate(prompt, 1), iterates[:2])


def test_every_step_uses_the_same_layers(case):
    transformer, _ = case
    longer = build(Problem(**{**vars(transformer.problem), "L": 40}), transformer.name)
    assert len(longer.layers) == len(transformer.layers)
    assert sum(b.numel() for b in longer.buffers()) == sum(b.numel() for b in transformer.buffers())


def test_float32(case):
    transformer, prompt = case
    single = copy.deepcopy(transformer).to(torch.float32)
    found = single.step(prompt.to("cpu", torch.float32))
    assert found.dtype == torch.float32
    # On `exact` a pre-activation inside the margin is magnified by 1 / MARGIN; elsewhere nothing is.
    error = (found.double() - transformer.step(prompt)).abs().max()
    assert error < 1e-4
    assert {b.dtype for b in transformer.buffers() if b.is_floating_point()} <= {torch.float64}


def test_state_dict_round_trip(case):
    transformer, prompt = case
    saved = {name: value.clone() for name, value in transformer.state_dict().items()}
    other = copy.deepcopy(transformer)
    for buffer in other.buffers():
        buffer.zero_()
    other.load_state_dict(saved)
    assert torch.equal(other.step(prompt), transformer.step(prompt))


@pytest.mark.needs("a CUDA device")
def test_on_a_gpu(case):
    transformer, prompt = case
    moved = copy.deepcopy(transformer).to("cuda")
    close(moved.step(prompt.to("cuda")).cpu(), transformer.step(prompt), 1e-12)


def test_weights_that_differ_between_tokens_are_refused(case):
    transformer, prompt = case
    H = transformer.stream.pack(transformer.stream.open(prompt))
    H[0, 0, transformer.stream.weights.start] += 1
    with pytest.raises(ValueError, match="dense reading"):
        transformer(H)


def test_exactly_one_layer_sums_over_examples():
    problem = CASES["lean"]
    good = build(problem)
    with pytest.raises(ValueError, match="not 0"):
        Transformer("lean", problem, good.stream, [good.layer(0)])
    with pytest.raises(ValueError, match="not 2"):
        Transformer("lean", problem, good.stream, [good.layer(-1), good.layer(-1)])


def test_literal_layers_come_in_order():
    problem = Problem(N=1, K=1, d=1, n=2, eps=0.5)
    stream = Stream(problem, (("z1", 1),))
    built = build(problem)
    assert len(list(built.literal())) == len(built.layers)
    first = built.layer(0).attention[0]
    assert isinstance(first, Read) and first.query == "x"
    assert Layer([]).literal(stream).sublayers == 0
