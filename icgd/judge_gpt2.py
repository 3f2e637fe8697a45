"""The body of `icgd judge` for a GPT-2: what its predictions are nearest to; nothing of it is proved."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from icgd.bounds.letters import ProblemError
from icgd.judge_options import JudgeOptions
from icgd.judge_report import finish_judging
from icgd.reports.command.console import console_for
from icgd.reports.command.forecast import announce
from icgd.reports.command.predictor import measuring, predictor_document, show_predictor
from icgd.reports.command.progress_bars import bars
from icgd.verify.given_predictor.given_gpt2 import gpt2_from, gpt2_task
from icgd.verify.given_predictor.judge import judge_predictor


def judge_gpt2_file(asked: JudgeOptions) -> int:
    """Measure a GPT-2 against gradient descent and its rivals, show what was found, return the exit code."""
    asked.refuse_options("gpt2", ("config", "heads", "kind", "trust_pickle"), ("d", "n"))
    if asked.replay_file:
        raise ProblemError("replay", asked.replay_file, "no counterexample is about a file of kind gpt2")
    config = asked.given["config"]
    model = gpt2_from(
        asked.weights,
        None if config is None else Path(config),
        heads=asked.given["heads"],
        header=asked.header,
    )
    samples = {} if asked.samples is None else {"prompts": asked.samples}
    task = gpt2_task(model, {**asked.letters, **samples})
    announce(measuring(model, task))
    found = judge_predictor(model, task, seed=asked.seed, progress=bars())
    console = console_for(asked.json_to)
    show_predictor(console, found, str(asked.weights), time.perf_counter() - asked.began)
    digest = hashlib.sha256(asked.weights.read_bytes()).hexdigest()
    source = {"weights": {"file": str(asked.weights), "sha256": digest}}
    return finish_judging(console, asked, "gpt2", found, source | predictor_document(found))
