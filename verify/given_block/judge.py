"""Judges a transformer that others built: what always works, and the proof where the matrices allow one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.progress import Progress, silent
from icgd.construct.block.census import layer_counts
from icgd.construct.block.given_block import Declaration, GivenBlock
from icgd.construct.machine.device import check_arithmetic
from icgd.construct.machine.tensor_files import TensorHeader
from icgd.construct.prompt import Prompt
from icgd.verify.data.columns import Names
from icgd.verify.data.real_prompts import prompts_from_table
from icgd.verify.data.sources import load_table
from icgd.verify.data.table import DataTable
from icgd.verify.given_block.measures import MEASURES, allowances, measured, rows_at_once
from icgd.verify.given_block.prompt_ascent import CLIMBS, PromptsFound, best_of, climb_prompts, joined
from icgd.verify.given_block.recovery import Recovery, recover, upward
from icgd.verify.given_block.which_descent import Factor, factor_grid, factors_in_words, factors_of, stays
from icgd.verify.results import Results, Sandwich, use_grid
from icgd.verify.search.ascent import Round
from icgd.verify.search.counterexample import Counterexample, shrink
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.verdict import Means, Status, Verdict, VerdictNumber

CLAIM = "judge"
"""What the keys of these claims begin with."""

JUDGED_PROMPTS = 5_000
_PROPERTY_PROMPTS = 128
REAL_PROMPTS = 64
"""How many prompts are cut from a table."""

_SHRUNK = 200
"""At most so many evaluations make a counterexample simpler; each runs every matrix."""


@dataclass(frozen=True, eq=False, kw_only=True)
class BlockResults(Results):
    """Everything found out about a block that others built.

    sampled, attacked: the largest norm2(err) over random prompts, and after the ascents; None where prompts
    are too long to be run.
    certified: the proved bound on it, where there is one.  allowed: eta*eps.
    recovery: the program of the matrices, and its proof.  factors: which descent a step comes near to.
    counterexamples: the smallest prompt found against each failed claim.
    """

    sampled: float | None
    attacked: float | None
    certified: float | None
    allowed: float
    recovery: Recovery
    factors: tuple[Factor, ...] = ()
    counterexamples: Mapping[str, Counterexample] = field(default_factory=dict)

    @property
    def is_certified(self) -> bool:
        """Whether a checker accepted a certificate of the program of these matrices."""
        return self.certified is not None

    @property
    def sandwich(self) -> Sandwich | None:
        """Every number about the error of a step; None where no prompt was run."""
        if self.sampled is None or self.attacked is None:
            return None
        return Sandwich(self.sampled, self.attacked, self.certified, self.allowed)

    @property
    def trusted(self) -> tuple[str, ...]:
        """What its proof by certificate relies on; empty if it has none."""
        return self.recovery.trusted

    @property
    def proved(self) -> bool:
        """Whether the step error is proved."""
        return any(one.claim == f"{CLAIM}/step-error" and one.status == "proved" for one in self.verdicts)

    @property
    def conclusion(self) -> str:
        """What the block is, what its step computes, and what failed, in two to four sentences."""
        sizes = "A block of {layers:,} layers, at most {heads:,} heads and width {width:,}.".format(
            **self.census
        )
        failed = [one.claim.removeprefix(f"{CLAIM}/") for one in self.verdicts if one.status == "failed"]
        share = f"{(self.attacked or 0.0) / self.allowed:.1%} of eta*eps"
        if self.proved:
            searched = (
                "No prompt was run." if self.attacked is None else f"The largest error found is {share}."
            )
            said = (
                "One step is descent on the network that the letters pose, for every prompt in the radii and "
                f"every w in W: norm2(err) <= eta * {upward(self.recovery.bound or 0.0)}, proved by "
                f"certificate. {searched}"
            )
        elif failed and "step-error" in failed:
            said = f"One step is not the descent that the letters pose: an error is {share}."
            if self.factors:
                said += f" {factors_in_words(int(self.problem.as_dict()['n']), self.factors)}."
        else:
            said = (
                f"Nothing found contradicts that one step is descent, within {share}. That is no proof: "
                f"{self.recovery.why}."
            )
            if still := [f"V{one.layer}" for one in self.factors if stays(one)]:
                said += f" {' and '.join(still)} does not move: eps allows that."
        return f"{sizes} {said}" + (f" Failed: {', '.join(failed)}." if failed else "")

    def __repr__(self) -> str:
        kept = ", ".join(f"{one.claim.removeprefix(CLAIM + '/')} {one.status}" for one in self.verdicts)
        share = "not searched" if self.attacked is None else f"{self.attacked / self.allowed:.3g} of eta*eps"
        return f"<{share}; {kept}>"


def judge_block(
    block: GivenBlock,
    *,
    samples: int = JUDGED_PROMPTS,
    effort: float = 1.0,
    seed: int = 0,
    construction: str | None = None,
    data: str | DataTable | None = None,
    table: str = "",
    inputs: Names = None,
    targets: Names = None,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> BlockResults:
    """One verdict for each of `MEASURES`, after random prompts, ascents, and a proof where there is one.

    samples: random prompts.  effort: scales the ascents, 0 for none.  construction: the only program to try.
    data: a table from which real prompts are cut, too; table: how its text is laid out, in the words of
    `Layout`.  Raises DataError for a bad one.
    """
    check_arithmetic(device)
    problem, generator = block.problem, seeded(seed)
    rows = None if data is None else load_table(data, table)
    cut = None
    if rows is not None:
        cut = prompts_from_table(
            problem,
            rows,
            inputs,
            targets,
            count=REAL_PROMPTS,
            generator=seeded(seed),
            weights="random",
            device=device,
        )
    real = None if cut is None else cut.prompt
    recovery = recover(block, construction, progress)
    try:
        rows_at_once(block)
    except ProblemError as reason:
        if recovery.bound is None:
            raise
        return _proved_alone(block, recovery, seed, f"not run on prompts, as they are too long ({reason})")
    block.to(device)
    found = _swept(block, samples, generator, device, progress)
    if real is not None:
        errors = torch.cat([measured(block, "step-error", real), found.errors])
        found = best_of(PromptsFound(joined([real, found.prompt]), errors), CLIMBS[0].points)
    sampled, attacked, tried = float(found.errors[0]), found, 0
    if effort > 0:
        rounds = tuple(
            Round(max(16, round(r.points * min(1.0, effort))), max(1, round(r.iterations * effort)), r.step)
            for r in CLIMBS
        )
        attacked = climb_prompts(block, found, generator, rounds, progress)
        tried = attacked.tried
    some = random_prompts(problem, min(_PROPERTY_PROMPTS, samples), generator, device)
    few = joined([*([real] if real is not None else []), some, attacked.prompt])
    verdicts, broken = [], {}
    with progress("properties", len(MEASURES)) as advance:
        for name, limit in allowances(block, few).items():
            at = attacked.prompt if name == "step-error" else few
            amounts = measured(block, name, at)
            row = int(amounts.argmax())
            worst = max(sampled, float(amounts[row])) if name == "step-error" else float(amounts[row])
            if name == "step-error":
                limit = _proved_limit(problem, limit, recovery)
            failed = worst > limit
            if failed:
                broken[name] = _smallest(block, name, at[row : row + 1], limit)
            searched = f"{samples:,} random prompts"
            if rows is not None:
                searched += f", {REAL_PROMPTS} of {rows.source}"
            if tried:
                searched += f" and {tried:,} on ascents through the matrices"
            where = searched if name == "step-error" else f"{few.batch} prompts"
            verdicts.append(_verdict(block, name, worst, limit, where, recovery, broken.get(name)))
            advance(1)
    factors = factors_of(block, few)
    if "step-error" in broken:
        told = factors_in_words(problem.n, factors)
        verdicts[0] = replace(verdicts[0], evidence=f"{verdicts[0].evidence}; {told}")
    return BlockResults(
        problem=problem,
        seed=seed,
        verdicts=tuple(verdicts),
        construction=recovery.construction,
        census=layer_counts(block),
        certificate=recovery.certificate,
        grids=[
            *([use_grid(cut.use)] if cut else []),
            *([factor_grid(block, factors)] if factors else []),
        ],
        data=cut.use if cut else None,
        sampled=sampled,
        attacked=max(sampled, float(attacked.errors[0])),
        certified=None if recovery.bound is None else problem.eta * recovery.bound,
        allowed=problem.eta * problem.eps,
        recovery=recovery,
        factors=factors,
        counterexamples=broken,
    )


def _proved_limit(problem: Problem, limit: float, recovery: Recovery) -> float:
    """The limit of a step error with the room of rounding in it, lowered to the bound where one is proved."""
    if recovery.bound is None:
        return limit
    return min(limit, problem.eta * recovery.bound + limit - problem.eta * problem.eps)


def _proved_alone(block: GivenBlock, recovery: Recovery, seed: int, reason: str) -> BlockResults:
    """The results where no prompt can be run, but the step error is proved."""
    problem = block.problem
    step, *others = (f"{CLAIM}/{name}" for name in MEASURES)
    proof = Verdict(
        step, "proved", f"{_proof_in_words(recovery)}; {reason}", means="certificate", about="given"
    )
    return BlockResults(
        problem=problem,
        seed=seed,
        verdicts=(proof, *(Verdict(one, "inapplicable", reason, about="given") for one in others)),
        construction=recovery.construction,
        census=layer_counts(block),
        certificate=recovery.certificate,
        sampled=None,
        attacked=None,
        certified=problem.eta * (recovery.bound or 0.0),
        allowed=problem.eta * problem.eps,
        recovery=recovery,
    )


def _swept(
    block: GivenBlock,
    samples: int,
    generator: torch.Generator,
    device: torch.device | str,
    progress: Progress,
) -> PromptsFound:
    """The worst of `samples` random prompts, the largest error first."""
    batch, done, kept = max(1, min(samples, rows_at_once(block), 2000)), 0, list[PromptsFound]()
    with progress("sweep", samples) as advance:
        while done < samples:
            prompt = random_prompts(block.problem, min(batch, samples - done), generator, device)
            errors = measured(block, "step-error", prompt)
            kept.append(best_of(PromptsFound(prompt, errors), CLIMBS[0].points))
            done += prompt.batch
            advance(prompt.batch)
    errors = torch.cat([one.errors for one in kept])
    return best_of(PromptsFound(joined([one.prompt for one in kept]), errors), CLIMBS[0].points)


def _smallest(block: GivenBlock, name: str, prompt: Prompt, limit: float) -> Counterexample:
    """A simpler prompt on which the measure is still too large."""
    left = _SHRUNK

    def fails(candidate: Prompt) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and float(measured(block, name, candidate)[0]) > limit

    smallest = shrink(prompt, fails)
    amount = float(measured(block, name, smallest)[0])
    return Counterexample(block.problem, block.name, f"{CLAIM}/{name}", smallest.to("cpu"), amount, limit)


def _verdict(
    block: GivenBlock,
    name: str,
    worst: float,
    limit: float,
    where: str,
    recovery: Recovery,
    broken: Counterexample | None,
) -> Verdict:
    problem, measure = block.problem, MEASURES[name]
    if measure.exact:
        evidence = f"{measure.what}: at most {worst:.2g} ({limit:.2g} is rounding) on {where}"
    else:
        share = worst / (problem.eta * problem.eps)
        evidence = (
            f"{measure.what}, over eta: at most {worst / problem.eta:.3g} of eps = {problem.eps:.3g} "
            f"({share:.1%}) on {where}"
        )
    proved = name == "step-error" and recovery.bound is not None and not broken
    if name == "step-error":
        evidence += f"; {_proof_in_words(recovery)}"
    if broken:
        evidence += f"; smallest counterexample: {_told(broken)}"
    status: Status = "failed" if broken else "proved" if proved else "held"
    numbers: dict[str, VerdictNumber] = {"largest": worst, "allowed": limit}
    if proved and recovery.bound is not None:
        numbers["bound"] = problem.eta * recovery.bound
    means: Means | None = "certificate" if proved else None
    return Verdict(f"{CLAIM}/{name}", status, evidence, means=means, about="given", numbers=numbers)


def _told(broken: Counterexample) -> str:
    return broken.describe().replace("norm2(err) = ", "it is ", 1)


def _proof_in_words(recovery: Recovery) -> str:
    if recovery.bound is None:
        kind = f"the matrices are those of {recovery.construction}: " if recovery.construction else ""
        return f"not proved: {kind}{recovery.why}"
    assert recovery.certificate is not None
    same = f"entry by entry the program of {recovery.construction}"
    if recovery.own:
        same = "part by part a network of the paper's kind, with sums of ReLUs of their author"
    return (
        f"the matrices are {same}, and an independent checker accepts the certificate of the weights "
        f"{recovery.certificate['weights'][:12]}: at most {upward(recovery.bound)} for "
        "every prompt in the radii and every w in W, rounding included"
    )


def judge_weights(
    source: Path | str | Mapping[str, Tensor] | nn.Module,
    problem: Problem | Mapping[str, Any] | None = None,
    *,
    stream: Mapping[str, tuple[int, int]] | None = None,
    attention: str | None = None,
    diagonal: tuple[str, ...] | None = None,
    header: TensorHeader | None = None,
    **options: Any,
) -> BlockResults:
    """Judge a safetensors file, tensors by name, or a module; see docs/judging.md.

    problem: the letters, for the loss with 1/(2n); default: those in the metadata of a file.  stream: slots
    as [start, stop).  header: of the file, if it was read before.  options: as in `judge_block`.
    Raises ProblemError where the parts do not fit together.
    """
    problem = None if problem is None else Problem.taken(problem)
    return judge_block(block_from(source, problem, stream, attention, diagonal, header), **options)


def block_from(
    source: Path | str | Mapping[str, Tensor] | nn.Module,
    problem: Problem | None = None,
    stream: Mapping[str, tuple[int, int]] | None = None,
    attention: str | None = None,
    diagonal: tuple[str, ...] | None = None,
    header: TensorHeader | None = None,
) -> GivenBlock:
    """The block of a file, of tensors by name, of a module with such parameters, or of one of ours."""
    if isinstance(source, GivenBlock):
        return source
    if isinstance(source, str | Path):
        masked = None if diagonal is None else frozenset(diagonal)
        return GivenBlock.read(
            Path(source),
            problem,
            None,
            header=header,
            stream=stream,
            attention=attention,
            diagonal=masked,
        )
    if isinstance(source, nn.Module) and hasattr(source, "literal"):
        ours = GivenBlock.of_block(source)  # type: ignore[arg-type]
        if problem is None or problem == ours.problem:
            return ours
        return GivenBlock(ours.tensors, problem, ours.declaration)
    tensors = source.state_dict() if isinstance(source, nn.Module) else source
    if problem is None or stream is None:
        raise ProblemError("judge", "tensors", "they need a problem and a stream, such as {'x': (0, 2), ...}")
    said = Declaration(stream, attention or "relu", frozenset(diagonal or ()))
    return GivenBlock(tensors, problem, said)


def replay_on(block: GivenBlock, saved: Counterexample) -> Verdict:
    """Judge the claim of a saved counterexample again, on its prompt alone; what is allowed is computed."""
    name = saved.claim.removeprefix(f"{CLAIM}/")
    if name not in MEASURES:
        raise ProblemError("replay", saved.claim, f"the claims are {', '.join(MEASURES)}")
    if block.problem != saved.problem:
        raise ProblemError("replay", saved.claim, "it was found for other letters")
    amount = float(measured(block, name, saved.prompt)[0])
    limit = allowances(block, saved.prompt)[name]
    if name == "step-error" and amount <= limit:
        limit = _proved_limit(block.problem, limit, recover(block, None, silent))
    status: Status = "held" if amount <= limit else "failed"
    evidence = f"{MEASURES[name].what}: {amount:.6g} on the saved prompt, {limit:.6g} allowed"
    said = saved.recorded(amount, limit if name == "step-error" else saved.allowed)
    numbers = {"largest": amount, "allowed": limit}
    return Verdict(saved.claim, status, evidence + said, about="given", numbers=numbers)
