"""The body of `icgd judge` for a block: what one step computes, and whether that is proved."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from icgd.bounds.letters import ProblemError
from icgd.commands import FAILED, KEPT
from icgd.construct.block.given_block import GivenBlock, parse_stream
from icgd.judge_options import JudgeOptions
from icgd.judge_report import finish_judging
from icgd.reports.command.audit import emit
from icgd.reports.command.console import console_for
from icgd.reports.command.forecast import announce
from icgd.reports.command.judging import (
    block_document,
    counterexample_files,
    judging,
    show_block,
)
from icgd.reports.command.progress_bars import bars
from icgd.reports.command.terminal import show_verdicts
from icgd.reports.document.document import closing
from icgd.verify.certificate.issue import certificate_text
from icgd.verify.given_block.judge import CLAIM, JUDGED_PROMPTS, judge_block, replay_on
from icgd.verify.search.counterexample import Counterexample
from icgd.verify.verdict import any_failed

_TABLE = ("data", "table", "inputs", "targets")
_OPTIONS = ("stream", "attention", "diagonal", "construction", "trust_pickle", *_TABLE)


def judge_block_file(asked: JudgeOptions) -> int:
    """Judge the literal matrices of one gradient step, show what was found out, and return the exit code."""
    asked.refuse_options("block", (*_OPTIONS, "kind"))
    console = console_for(asked.json_to)
    saved = Counterexample.load(asked.replay_file) if asked.replay_file else None
    stream, diagonal = asked.given["stream"], asked.given["diagonal"]
    block = GivenBlock.read(
        asked.weights,
        saved.problem if saved else None,
        asked.letters,
        header=asked.header,
        stream=None if stream is None else parse_stream(stream),
        attention=asked.given["attention"],
        diagonal=None if diagonal is None else frozenset(filter(None, diagonal.split(","))),
    )
    if saved:
        verdict = replay_on(block, saved)
        show_verdicts(console, [verdict])
        emit({"verdicts": [verdict.as_dict()]} | closing(asked.began), asked.json_to)
        return FAILED if any_failed([verdict]) else KEPT
    samples = JUDGED_PROMPTS if asked.samples is None else asked.samples
    announce(judging(block, samples, asked.effort))
    for name in _TABLE[1:]:
        if asked.given[name] and asked.given["data"] is None:
            raise ProblemError(name, asked.given[name], "it is about --data, which is missing")
    chosen = {name: asked.given[name] for name in ("construction", *_TABLE)}
    chosen["table"] = chosen["table"] or ""
    found = judge_block(
        block,
        samples=samples,
        effort=asked.effort,
        seed=asked.seed,
        device=asked.device,
        progress=bars(),
        **chosen,
    )
    replayed = replace(
        asked,
        letters={},
        samples=None,
        effort=1.0,
        seed=0,
        given={name: asked.given[name] for name in ("stream", "attention", "diagonal", "trust_pickle")},
    )
    verdicts = tuple(
        replace(one, replay=f"{replayed.command()} --replay {_file(asked.out, one.claim).as_posix()}")
        if one.status == "failed"
        else one
        for one in found.verdicts
    )
    found = replace(found, verdicts=verdicts)
    show_block(console, block, found, str(asked.weights), time.perf_counter() - asked.began)
    files = dict(counterexample_files(found))
    if found.certificate:
        files["certificate-judge.json"] = certificate_text(found.certificate)
    return finish_judging(console, asked, "block", found, block_document(block, found, asked.weights), files)


def _file(out: Path, claim: str) -> Path:
    return out / f"counterexample-judge-{claim.removeprefix(f'{CLAIM}/')}.json"
