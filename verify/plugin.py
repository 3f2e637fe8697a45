"""A pytest plugin: each claim of each theorem is a test, and its options are the theorems' letters.

    pytest verify/ --N 2 --K 3 -k "relu and lean"           # in a clone
    pytest -p icgd.verify.plugin --pyargs icgd.verify -k looped       # anywhere that icgd is installed
    pytest -p icgd.verify.plugin tests/                          # your own tests, which may use `icgd_judge`

A claim that is proved, held or vacuous passes, one that is inapplicable is skipped with its reason, and one
that failed prints its evidence and the command that replays it, without a traceback.  Every verdict is in
the table at the end and in the properties of --junitxml.  With pytest-xdist each verification runs once and
its claims stay together, so that `-n auto` fills the cores; see `pytest_xdist_make_scheduler`.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

from icgd.bounds.problem import ProblemError
from icgd.bounds.step_error.budget import Construction
from icgd.verify.catalogue import meanings
from icgd.verify.requests import Found, Run, Search, asked_for, takers
from icgd.verify.verdict import Status, Verdict

OPTIONS: Mapping[str, tuple[Any, str]] = {
    "samples": (20_000, "random prompts in the sweep of relu-icgd"),
    "effort": (0.3, "length of the attack of relu-icgd, 0 for none"),
    "icgd-seed": (0, "seed of all random work"),
    "icgd-device": ("cpu", "cpu or cuda"),
    "icgd-out": ("out", "folder for counterexamples"),
}
"""Options besides letters, --construction and --certify: default and meaning."""

_RUNS = pytest.StashKey[tuple[Run, ...]]()
_SEARCH = pytest.StashKey[Search]()
_FOUND = pytest.StashKey[dict[str, Found]]()


class Asked(NamedTuple):
    """A claim that is a test: of which verification, its key, and the id of the test."""

    run: Run
    key: str
    id: str


# Options.


def pytest_addoption(parser: pytest.Parser) -> None:
    """--N 3 --K 4 ... as on the command line of icgd, and how hard to look."""
    group = parser.getgroup("icgd", "the problem whose claims are tested")
    for letter, (kind, meaning) in meanings().items():
        names = dict.fromkeys((f"--{letter}", f"--{letter.replace('_', '-')}"))
        group.addoption(*names, type=kind, dest=f"icgd_letter_{letter}", help=meaning.replace("%", "%%"))
    for name, (default, meaning) in OPTIONS.items():
        group.addoption(f"--{name}", type=type(default), default=default, help=f"{meaning} [{default}]")
    choices = get_args(Construction)
    group.addoption("--construction", choices=choices, help="of relu-icgd (default: lean and paper)")
    group.addoption("--certify", action="store_true", help="prove the step error of relu-icgd, too")


def _option(config: pytest.Config, name: str) -> Any:
    """An option's value; its default where the plugin was loaded too late for the command line."""
    return config.getoption(name.replace("-", "_"), OPTIONS[name][0])


def _letters(config: pytest.Config) -> dict[str, Any]:
    """The letters that were given."""
    given = {letter: config.getoption(f"icgd_letter_{letter}", None) for letter in meanings()}
    return {letter: value for letter, value in given.items() if value is not None}


def pytest_configure(config: pytest.Config) -> None:
    """Raises pytest.UsageError where the options are impossible, before anything is collected."""
    try:
        config.stash[_SEARCH] = Search(
            samples=_option(config, "samples"),
            effort=_option(config, "effort"),
            seed=_option(config, "icgd-seed"),
            device=_option(config, "icgd-device"),
            out=Path(_option(config, "icgd-out")),
            certify=config.getoption("certify", False),
        )
        config.stash[_RUNS] = asked_for(_letters(config), config.getoption("construction", None))
    except ProblemError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_FOUND] = {}


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Which theorems take the letters that were given: the others keep their defaults."""
    given = [f"{name} = {value} for {', '.join(takers(name))}" for name, value in _letters(config).items()]
    return [f"icgd: {line}" for line in (f"seed {config.stash[_SEARCH].seed}", *given)]


# Collection.


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `icgd_claim` runs for each claim, one that takes `icgd_run` for each verification."""
    runs = metafunc.config.stash[_RUNS]
    if "icgd_claim" in metafunc.fixturenames:
        asked = [Asked(run, key, label) for run in runs for label, key in run.claims().items()]
        metafunc.parametrize("icgd_claim", asked, ids=[one.id for one in asked])
    elif "icgd_run" in metafunc.fixturenames:
        metafunc.parametrize("icgd_run", runs, ids=[run.name for run in runs])


def pytest_itemcollected(item: pytest.Item) -> None:
    """Lets -k find a claim by its key and by the name of its verification, too."""
    asked = getattr(getattr(item, "callspec", None), "params", {}).get("icgd_claim")
    if isinstance(asked, Asked):
        item.extra_keyword_matches.update({asked.key, asked.run.name})


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With -n, the claims of one verification go to one worker, and all other tests one by one.

    So it is with --dist load, the default, and loadgroup.  In other modes two workers may want one
    verification: the first runs it, the others wait for its verdicts.
    """
    if config.getoption("dist") not in ("load", "loadgroup"):
        return None
    from xdist.scheduler import LoadGroupScheduling  # type: ignore[import-untyped]

    scopes = {label: run.name for run in config.stash[_RUNS] for label in (*run.claims(), run.name)}

    class ByVerification(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            label = nodeid.partition("[")[2].removesuffix("]")
            return scopes.get(label) or str(super()._split_scope(nodeid))

    return ByVerification(config, log)


# Verdicts.


@pytest.fixture
def icgd_found(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Run], dict[str, Verdict]]:
    """The verdicts of a verification by key; it runs once, even where several workers ask for it."""
    config = request.config
    known, search = config.stash[_FOUND], config.stash[_SEARCH]
    worker: Mapping[str, Any] | None = getattr(config, "workerinput", None)

    def verdicts(run: Run) -> dict[str, Verdict]:
        if run.name not in known and worker is None:
            known[run.name] = run.verify(search)
        elif run.name not in known and worker is not None:
            folder = tmp_path_factory.getbasetemp().parent / f"icgd-{worker['testrunuid']}"
            folder.mkdir(exist_ok=True)
            known[run.name] = run.verify_once(search, folder, int(worker["workercount"]))
        found = known[run.name]
        if found.crash:
            pytest.fail(f"{run.name} could not be verified\n{found.crash}", pytrace=False)
        return found.verdicts

    return verdicts


@pytest.fixture
def icgd_judge(request: pytest.FixtureRequest) -> Callable[..., None]:
    """icgd_judge(*verdicts) puts verdicts of any origin into the table and the XML, and passes or not.

    It fails where one of them failed, and skips where all are inapplicable.
    """

    def judge(*verdicts: Verdict) -> None:
        for one in verdicts:
            request.node.user_properties += one.as_dict().items()
        failed = [
            f"{one.claim}: {one.evidence}" + (f"\nreplay: {one.replay}" if one.replay else "")
            for one in verdicts
            if one.status == "failed"
        ]
        if failed:
            pytest.fail("\n".join(failed), pytrace=False)
        if verdicts and all(one.status == "inapplicable" for one in verdicts):
            pytest.skip("inapplicable: " + "; ".join(one.evidence for one in verdicts))

    return judge


# Summary.


def _rows(reporter: pytest.TerminalReporter) -> list[dict[str, str]]:
    """The verdicts that reports carry, from workers too, in the order of collection."""
    rows: list[dict[str, str]] = []
    for reports in reporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, value in report.user_properties:
                    if name == "claim":
                        rows.append({})
                    if rows and name in ("claim", "verdict", "evidence"):
                        rows[-1][name] = value
    rows = [row for row in rows if len(row) == 3]
    labels = [label for run in reporter.config.stash[_RUNS] for label in run.claims()] if rows else []
    order = {label: place for place, label in enumerate(labels)}
    return sorted(rows, key=lambda row: order.get(row["claim"], math.inf))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Nothing but inapplicable claims is no success: the exit code is then that of no tests."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus != pytest.ExitCode.OK or reporter is None or reporter.stats.get("passed"):
        return
    if _rows(reporter):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The claims table; evidence is cut to the terminal's width unless -v is given."""
    rows = _rows(terminalreporter)
    if not rows:
        return
    colours = {"proved": "green", "held": "green", "failed": "red"}
    width = max(len(row["claim"]) for row in rows)
    terminalreporter.section("claims")
    for row in rows:
        evidence = " ".join(row["evidence"].split())
        room = shutil.get_terminal_size().columns - width - 15
        if terminalreporter.config.get_verbosity() < 1 and len(evidence) > room:
            evidence = evidence[: max(room - 3, 0)] + "..."
        terminalreporter.write(f"{row['claim']:{width}} ")
        terminalreporter.write(f"{row['verdict']:12}", **{colours.get(row["verdict"], "yellow"): True})
        terminalreporter.write(f" {evidence}\n")
    counts = {status: sum(row["verdict"] == status for row in rows) for status in get_args(Status)}
    counted = ", ".join(f"{count} {status}" for status, count in counts.items())
    terminalreporter.write(f"{len(rows)} claim{'s' * (len(rows) != 1)}: {counted}\n", bold=True)
