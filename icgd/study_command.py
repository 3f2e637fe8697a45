"""The command `study`: runs an experiment of a paper with the baselines and measures that it lacked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from icgd.bounds.estimate import Estimate
from icgd.bounds.letters import ProblemError, real
from icgd.bounds.printable import printable
from icgd.commands import KEPT
from icgd.construct.machine.device import check_device
from icgd.construct.machine.files import check_writable, write_atomically
from icgd.reports.command.audit import emit
from icgd.reports.command.console import console_for
from icgd.reports.command.file_names import refuse_own_name
from icgd.reports.command.forecast import announce
from icgd.reports.command.options import Json
from icgd.reports.command.progress_lines import lines_or_bars
from icgd.reports.command.terminal import show_grid
from icgd.reports.document.document import closing
from icgd.reports.document.heading import headed
from icgd.reports.document.studies import study_text
from icgd.verify.results import Grid
from icgd.verify.study.studies import STUDIES, find_study
from icgd.verify.study.study import Study, StudyOptions, StudyResult, folder_of

STUDY_FOLDER = Path("out/study")


def study_command(
    name: Annotated[str | None, typer.Argument(help="a study; default: list them all")] = None,
    scale: Annotated[str, typer.Option(help="how large: tiny, small or paper")] = "tiny",
    minutes: Annotated[
        float | None, typer.Option(help="stop after so many, and keep what is done; run it again to go on")
    ] = None,
    as_trained: Annotated[
        bool, typer.Option("--as-trained", help="train nothing: judge the models in the folder")
    ] = False,
    changed: Annotated[
        str, typer.Option("--with", metavar="WORDS", help='changes of the scale: "blocks=4 tokens=joint"')
    ] = "",
    seed: Annotated[int, typer.Option(help="seed of all random work")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    out: Annotated[Path, typer.Option(help="folder for checkpoints and results")] = STUDY_FOLDER,
    json_to: Json = None,
) -> int:
    """Run a published experiment again, with more baselines.

    It trains, measures and judges.

    A study that was ended goes on when run again; on a CPU its results are then the same, byte by byte.
    """
    began, console = time.perf_counter(), console_for(json_to)
    if name is None:
        show_grid(console, study_table())
        emit({"studies": [about(one) for one in STUDIES.values()]} | closing(began), json_to)
        return KEPT
    chosen = find_study(name)
    if minutes is not None:
        minutes = real("minutes", minutes, 1e-9, 1e5, "a positive number of minutes is needed")
    if not 0 <= seed < 2**31:
        raise ProblemError("seed", seed, "a whole number from 0 to 2147483647 is needed")
    options = StudyOptions(
        scale=scale,
        seed=seed,
        device=check_device(device),
        out=out,
        minutes=minutes,
        as_trained=as_trained,
        changes=_changes(changed),
        progress=lines_or_bars(),
        say=_say,
    )
    chosen.check_options(options)
    folder = folder_of(chosen.name, options)
    check_writable(folder / "result.json", out)
    refuse_own_name(json_to, folder, ("*.json", "*.csv", "*.npz"))
    _announce(chosen, options)
    found = chosen.run(options)
    if found is None:
        _say("not finished: run the same command again to go on")
        emit({"study": name, "scale": scale, "finished": False} | closing(began), json_to)
        return KEPT
    document = about(chosen) | found.as_dict() | {"finished": True} | closing(began)
    # Seconds say nothing of a study that was stopped, and would be all that differs after it.
    kept = {name: value for name, value in document.items() if name != "seconds"}
    write_atomically(folder / "result.json", study_text(headed(kept)) + "\n")
    write_atomically(folder / "result.csv", found.as_csv())
    show_study(console, chosen, found)
    console.print(f"wrote {folder / 'result.json'} and result.csv", highlight=False, markup=False)
    emit(document, json_to)
    return KEPT


def _announce(study: Study, options: StudyOptions) -> None:
    """Say on the standard error stream what is run and what it costs; raises ProblemError for too much."""
    _say(f"{study.title}, scale {options.scale}: {study.scales[options.scale]}")
    estimate: Estimate = study.estimate(options)
    if options.device.startswith("cuda"):
        _say(f"about {estimate.seconds / 3600:.2g} GPU hours on one H100, estimated")
    announce(estimate)


def _changes(words: str) -> dict[str, str]:
    """The changes of "name=value ..." by name; raises ProblemError for other words, or a name twice."""
    found: dict[str, str] = {}
    for word in words.replace(",", " ").split():
        name, sign, value = word.partition("=")
        if not sign or not value or name in found or not value.replace(".", "").replace("-", "").isalnum():
            raise ProblemError("with", word, "words such as blocks=4 are needed, each name once")
        found[name] = value
    return found


def about(study: Study) -> dict[str, Any]:
    """What a study is, as plain values."""
    return {
        "study": study.name,
        "title": study.title,
        "source": study.source,
        "theorems": list(study.theorems),
        "task": study.task,
        "models": list(study.models),
        "baselines": list(study.baselines),
        "measures": list(study.measures),
        "scales": dict(study.scales),
    }


def study_table() -> Grid:
    """The table of all studies."""
    rows = tuple((one.name, one.title, one.source, ", ".join(one.scales)) for one in STUDIES.values())
    return Grid("Studies", ("name", "what", "source", "scales"), rows, "icgd study NAME --scale SCALE")


def show_study(console: Console, study: Study, found: StudyResult) -> None:
    """Print what a study found: its tables, then its sentences."""
    for grid in found.tables:
        show_grid(console, grid)
    for sentence in found.said:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    console.print(f"{study.source}; {found.trained_on}", style="dim", highlight=False, markup=False)


def _say(sentence: str) -> None:
    print(printable(sentence), file=sys.stderr, flush=True)


STUDYING: Mapping[str, Callable[..., int]] = {"study": study_command}
"""The command about studies."""
