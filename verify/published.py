"""The lemmas of arXiv 2411.16549, measured: on the `paper` block, and under local errors of the worst signs.

The second kind of test needs no transformer.  Each function of the network is off by the local error that the
lemmas allow it, with signs of its own in every unit, on tokens from the whole domain of the theorem: all rows
of V_j in the ball of radius B_v, not only in our box.  Signs follow the gradient of the step error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.published import Local, Published, published
from icgd.bounds.published_claims import LEMMAS
from icgd.bounds.relu_icgd import violated
from icgd.bounds.step_error.plan import Plan, plan
from icgd.construct.block.assembly import assemble
from icgd.construct.block.elementwise import torch_callable
from icgd.construct.block.transformer import Transformer
from icgd.construct.prompt import Prompt, split_weights
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.search.sweep import one_step_errors
from icgd.verify.verdict import Status, Verdict

_TOKENS = 4096
_PROMPTS = 64
_ASCENTS = 3
_ROUNDING = 2.0**-42
"""How far rounding may move a measured quantity, relative to the largest number that it is made of."""

ENTRIES: Mapping[str, str] = {
    "lemma-2": "2411.16549/lemma-2-interval",
    "lemma-3": "2411.16549/lemma-3-interval",
    "lemma-4": "2411.16549/lemma-4-interval",
    "lemma-6": "2411.16549/lemma-6-columns",
    "tolerances": "2411.16549/theorem-1-power",
}
"""What is wrong with the printed form, by claim: entries of the ledger."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """Single examples, each at weights of its own: V_1..V_N, x and y."""

    V: list[Float[Tensor, "B _ _"]]
    x: Float[Tensor, "B d"]
    y: Float[Tensor, "B d_out"]


@dataclass(frozen=True, eq=False)
class Backpropagated:
    """One forward and backward pass: p(0..N); z, r'(z), s and the gradient's blocks for j = 1..N; u."""

    p: list[Float[Tensor, "B _"]]
    z: list[Float[Tensor, "B _"]]
    dr: list[Float[Tensor, "B _"]]
    u: Float[Tensor, "B d_out"]
    s: list[Float[Tensor, "B _"]]

    @property
    def gradient(self) -> Float[Tensor, "B D_w"]:
        """The gradient of l/2 in w."""
        blocks = (s[:, :, None] * p[:, None, :] / 2 for s, p in zip(self.s, self.p, strict=False))
        return torch.cat([block.flatten(1) for block in blocks], dim=1)


def backpropagated(
    problem: Problem, tokens: Tokens, errors: Sequence[Sequence[Tensor]] | None = None
) -> Backpropagated:
    """Definitions 1 to 3 and (3.20), where errors[0], [1] and [2] are added to r, r' and u."""
    loss, N = problem.loss, problem.N
    p, z, dr = [tokens.x], [], []
    for j, V in enumerate(tokens.V, start=1):
        r = problem.activation_at(j).r
        z.append(torch.einsum("bki,bi->bk", V, p[-1]))
        off = (errors[0][j - 1], errors[1][j - 1]) if errors else (0.0, 0.0)
        p.append(torch_callable(r)(z[-1]) + off[0])
        dr.append(torch_callable(r.derivative)(z[-1]) + off[1])
    u = torch_callable(loss.phi)(p[-1] - loss.rho * tokens.y) - loss.sigma * tokens.y
    u = u + errors[2][0] if errors else u
    s = [dr[-1] * u]
    for j in range(N - 1, 0, -1):
        s.append(dr[j - 1] * torch.einsum("bki,bk->bi", tokens.V[j], s[-1]))
    return Backpropagated(p, z, dr, u, s[::-1])


def wide_tokens(problem: Problem, count: int, generator: torch.Generator) -> Tokens:
    """Tokens of the theorem's domain, norm2(v_jk) <= B_v: half of them with rows that add up.

    In these, all rows of V_j are one vector up to signs, which is along the signs of the outputs before.
    """
    at: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    V, aligned = [], torch.arange(count)[:, None, None] % 2 == 0
    flat = torch.arange(count)[:, None, None] % 4 == 0  # one coordinate carries the whole row
    into = torch.randn(count, 1, problem.d, **at)
    x = torch.nn.functional.normalize(into[:, 0], dim=-1) * problem.B_x
    for j, (before, after) in enumerate(pairwise(problem.dims), start=1):
        rows = torch.randn(count, after, before, **at)
        first = torch.zeros(count, 1, before, dtype=torch.float64)
        first[..., 0] = into[..., 0].sign()
        same = torch.where(flat, first, into if j == 1 else into.sign())
        out = torch.randn(count, after, 1, **at).sign()
        rows = torch.nn.functional.normalize(torch.where(aligned, out * same, rows), dim=-1)
        size = 10 ** (-1.5 * torch.rand(count, 1, 1, **at)) if j == 1 else 1.0
        keep = torch.rand(count, 1, 1, **at) < 0.5
        V.append(rows * torch.where(keep, torch.ones_like(rows[:, :1, :1]), size) * problem.B_v)
        into = out.transpose(1, 2)
    y = torch.nn.functional.normalize(torch.randn(count, problem.d_out, **at), dim=-1) * problem.B_y
    return Tokens(V, x, y)


def worst_signs(
    problem: Problem, tokens: Tokens, local: Local, generator: torch.Generator
) -> list[list[Tensor]]:
    """Local errors of full size with signs that enlarge the step error, unit by unit."""
    count, exact = len(tokens.x), backpropagated(problem, tokens).gradient
    sizes = [(local.r, problem.dims[1:]), (local.dr, problem.dims[1:]), (local.u, problem.dims[-1:])]
    errors = []
    for e, dims in sizes:
        random = [
            torch.randn(count, width, generator=generator, dtype=torch.float64).sign() for width in dims
        ]
        coherent = torch.arange(count)[:, None] % 3 == 0
        errors.append([e * torch.where(coherent, 1.0, signs) for signs in random])
    for _ in range(_ASCENTS):
        with torch.enable_grad():
            free = [[e.detach().requires_grad_() for e in kind] for kind in errors]
            off = backpropagated(problem, tokens, free).gradient - exact
            flat = [e for kind in free for e in kind]
            pulls = iter(torch.autograd.grad((off**2).sum(), flat, materialize_grads=True))
        errors = [
            [torch.where((pull := next(pulls)) == 0, old, pull.sign() * size[0]) for old in kind]
            for kind, size in zip(errors, sizes, strict=True)
        ]
    return errors


@dataclass(frozen=True)
class Ratios:
    """Largest measured value over its bound for each lemma, and over the printed bound where that differs.

    reach: the largest |z|.
    """

    found: Mapping[str, float]
    printed: Mapping[str, float]
    reach: float


def ratios(
    problem: Problem, made: Published, exact: Backpropagated, seen: Backpropagated, off: Tensor | None
) -> Ratios:
    """How much of each bound the difference of two passes uses; off: that of the gradients, if known."""
    e, printed = made.local, published(problem)
    c = {name: float(made[name]) for name in ("E_r", "E_{r'}", "E_l", "P", "B_s", "B_r", "B_l", "B_{r'}")}
    E = [float(made[name]) for name in ("E_s^r", "E_s^{r'}", "E_s^l")]
    C = [float(made[name]) for name in ("C_r", "C_{r'}", "C_l")]

    def of(difference: Tensor, bound: float, size: float) -> float:
        return float(difference.abs().max()) / (bound + _ROUNDING * (1 + size))

    def norms(difference: Tensor) -> Tensor:
        return torch.linalg.vector_norm(difference, dim=-1)

    pairs = list(zip(seen.s, exact.s, strict=True))
    apart = [(norms(a - b), (a - b)) for a, b in pairs]
    of_s = sum(a * b for a, b in zip(E, e, strict=True))
    as_printed = sum(
        float(printed[name]) * b for name, b in zip(("E_s^r", "E_s^{r'}", "E_s^l"), e, strict=True)
    )
    wide = c["P"] * c["B_s"]
    found = {
        "lemma-2": max(
            of(norms(a - b), made.outputs(j) * e.r, c["P"] * c["B_r"])
            for j, (a, b) in enumerate(zip(seen.p[1:], exact.p[1:], strict=True), start=1)
        ),
        "lemma-3": max(
            of(a - b, e.dr + c["E_{r'}"] * e.r, c["B_{r'}"]) for a, b in zip(seen.dr, exact.dr, strict=True)
        ),
        "lemma-4": of(seen.u - exact.u, e.u + c["E_l"] * e.r, c["B_l"]),
        "lemma-6": max(
            *(of(norm, c["P"] * of_s, wide) for norm, _ in apart),
            *(of(norms(a), wide, wide) for a in seen.s),
        ),
    }
    other = {
        "lemma-6": max(
            *(of(each, as_printed, wide) for _, each in apart),
            *(of(a, float(printed["B_s"]), float(printed["B_s"])) for a in seen.s),
        )
    }
    if off is not None:
        total = sum(a * b for a, b in zip(C, e, strict=True)) / 2
        found["tolerances"] = of(off, total, wide * c["P"] * c["B_r"])
    return Ratios(found, other, max(float(z.abs().max()) for z in (*seen.z, *exact.z)))


def local_errors(planned: Plan) -> Local:
    """The largest local error of each kind in a plan, rounding included."""

    def largest(*kinds: str) -> float:
        return max((e for term, e in planned.errors.items() if term.kind in kinds), default=0.0)

    return Local(largest("r"), largest("dr"), largest("u"))


def as_tokens(problem: Problem, prompt: Prompt) -> Tokens:
    """Every example of every prompt as a token of its own."""
    V = [v.repeat_interleave(prompt.n, dim=0) for v in split_weights(problem, prompt.w)]
    return Tokens(V, prompt.x.flatten(0, 1), prompt.y.flatten(0, 1))


def inside(judged: Transformer, prompt: Prompt) -> Backpropagated:
    """What the `paper` block holds in its slots after the update, for every example; z is not among them."""
    before_clearing = [judged.layer(index) for index in range(len(judged.layers) - 1)]
    opened = Transformer(judged.name, judged.problem, judged.stream, before_clearing)
    held = opened.run(judged.stream.open(prompt)).tokens
    N = judged.problem.N

    def slot(name: str) -> Tensor:
        return held[name][:, :-1].flatten(0, 1)

    layers = range(1, N + 1)
    p = [prompt.x.flatten(0, 1), *(slot(f"p{j}") for j in layers)]
    dr, s = ([slot(f"{name}{j}") for j in layers] for name in ("dr", "s"))
    return Backpropagated(p, [], dr, slot(f"u{N}"), s)


def lemma_verdicts(
    theorem: str, planned: Plan, judged: Transformer, generator: torch.Generator
) -> list[Verdict]:
    """One verdict for each of `LEMMAS`.

    planned, judged: of our own `paper` block.  Inapplicable where r breaks a hypothesis.
    """
    problem = planned.problem
    try:
        if why := violated(problem):
            raise ProblemError("activation", problem.activation.name, why)
        made, printed = published(problem, repaired=True), published(problem)
        on_block = published(problem, repaired=True, local=local_errors(planned))
    except ProblemError as error:
        return [Verdict(f"{theorem}/{name}", "inapplicable", str(error)) for name in LEMMAS]
    prompt = random_prompts(judged.problem, _PROMPTS, generator)
    tokens, held = as_tokens(problem, prompt), inside(judged, prompt)
    block = ratios(problem, on_block, backpropagated(problem, tokens), held, None)
    wide = wide_tokens(problem, _TOKENS, generator)
    errors = worst_signs(problem, wide, made.local, generator)
    exact, seen = backpropagated(problem, wide), backpropagated(problem, wide, errors)
    off = torch.linalg.vector_norm(seen.gradient - exact.gradient, dim=-1)
    free = ratios(problem, made, exact, seen, off)
    said = _printed(problem, printed, made, free)
    verdicts = []
    for name in ("lemma-2", "lemma-3", "lemma-4", "lemma-5", "lemma-6", "tolerances"):
        if name == "lemma-5":
            verdicts.append(_products(theorem, tokens, held))
            continue
        parts = {"signs": free.found[name]} | ({"block": block.found[name]} if name in block.found else {})
        words = [
            f"as repaired, at most {parts['signs']:.3g} of the bound on {_TOKENS:,} tokens with the worst "
            "signs found"
        ]
        if "block" in parts:
            words.append(f"{parts['block']:.3g} inside the paper block on {len(tokens.x):,} tokens")
        status: Status = "held" if max(parts.values()) <= 1 else "failed"
        verdicts.append(Verdict(f"{theorem}/{name}", status, "; ".join([*words, *said.get(name, ())])))
    return [*verdicts, _other_sizes(theorem, problem)]


def _printed(
    problem: Problem, printed: Published, made: Published, free: Ratios
) -> dict[str, tuple[str, ...]]:
    """What the printed constants are, and where the tokens go beyond them, by claim."""

    def beyond(value: float, limit: float) -> str:
        return f"{value:.4g}" + (", beyond it" if value > limit * (1 + 1e-9) else "")

    R_1, R_2, R_3 = (float(printed[name]) for name in ("R_1", "R_2", "R_3"))
    said = {
        "lemma-2": f"R_1 as printed is {R_1:.4g} and |z| reaches {beyond(free.reach, R_1)}",
        "lemma-3": f"R_2 as printed, from r' alone, is {R_2:.4g} and |z| reaches {beyond(free.reach, R_2)}",
        "lemma-4": f"R_3 is {R_3:.4g} as printed and {float(made['R_3']):.4g} repaired",
        "lemma-6": f"coordinates use {free.printed['lemma-6']:.3g} of the printed bounds",
        "tolerances": (
            f"C_l, C_r, C_r' sum to {2 * made.per_unit:.4g}, and to {2 * printed.per_unit:.4g} as printed"
        ),
    }
    return {name: (f"{text} ({ENTRIES[name]})",) for name, text in said.items()}


def _products(theorem: str, tokens: Tokens, held: Backpropagated) -> Verdict:
    """Lemma 5: the slots s(j) of the block against the products of its own slots."""
    worst = 0.0
    for j, s in enumerate(held.s, start=1):
        g = held.u if j == len(held.s) else torch.einsum("bki,bk->bi", tokens.V[j], held.s[j])
        size = 1 + held.dr[j - 1].abs() * g.abs()
        worst = max(worst, float(((s - held.dr[j - 1] * g).abs() / size).max()))
    status: Status = "held" if worst <= _ROUNDING else "failed"
    evidence = f"s(j) is the product of r'(z) and V^T s(j+1) in the block's slots to {worst:.2g}, by rounding"
    return Verdict(f"{theorem}/lemma-5", status, f"{evidence} ({len(tokens.x):,} tokens)")


def _other_sizes(theorem: str, problem: Problem) -> Verdict:
    """Theorem 4 on a smaller problem with another output size: its layers and its step error."""
    key = f"{theorem}/theorem-4"
    d = min(problem.d, 3)
    posed = replace(problem, N=min(problem.N, 2), K=min(problem.K, 3), n=min(problem.n, 8), d=d, d_out=d + 1)
    try:
        built = assemble(plan(posed, "paper"))
    except ProblemError as error:
        return Verdict(key, "inapplicable", str(error))
    errors = one_step_errors(built, random_prompts(posed, 1000, seeded(0)))
    allowed, layers = posed.eta * posed.eps, len(built.layers)
    kept = float(errors.max()) <= allowed and layers == 2 * posed.N + 4
    evidence = (
        f"d = {posed.d}, d_out = {posed.d_out}, N = {posed.N}, K = {posed.K}: {layers} layers and a step "
        f"error of at most {float(errors.max()):.3g} of {allowed:.3g} allowed, on 1,000 random prompts"
    )
    return Verdict(key, "held" if kept else "failed", evidence)
