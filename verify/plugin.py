"""A pytest plugin: each claim of each theorem is a test, for the problem that `--icgd` poses.

    pytest verify/ --icgd "N=2 K=3" -k "relu and lean"                 # in a clone
    pytest -p icgd.verify.plugin --pyargs icgd.verify -k looped        # anywhere that icgd is installed
    pytest -p icgd.verify.plugin tests/                                # your own tests, with `icgd_judge`
    pytest verify/ --icgd "theorem=./mine.py m=4" -k mine              # a theorem of your own

A claim that is proved, counted, held or vacuous passes; an inapplicable one is skipped with its reason; a
failed one prints its evidence and the command that replays it, without a traceback.  With the word strict in
--icgd what is vacuous or open fails, too.  Every verdict is in the table at the end and in the properties of
--junitxml, where each theorem is a suite.  With pytest-xdist each verification runs once and its
claims stay together, so that `-n auto` uses all cores; see `pytest_xdist_make_scheduler`.
"""

from __future__ import annotations

import math
import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args, get_type_hints

import pytest

from icgd.bounds.letters import ProblemError
from icgd.verify.catalogue import find_theorem, theorems, theorems_with_letter
from icgd.verify.junit_suites import SUITE, split_suites
from icgd.verify.requests import Found, Request, all_requests
from icgd.verify.results import Results
from icgd.verify.search.options import BRIEF, Search
from icgd.verify.sweeps.release import release
from icgd.verify.verdict import (
    LEDGER,
    STATUSES,
    Means,
    Status,
    Verdict,
    VerdictDocument,
    count_claims,
    in_words,
)

_REQUESTS = pytest.StashKey[tuple[Request, ...]]()
_LETTERS = pytest.StashKey[Mapping[str, Any]]()
_SEARCH = pytest.StashKey[Search]()
_FOUND = pytest.StashKey[dict[str, Found]]()
_STRICT = pytest.StashKey[bool]()


class ClaimTest(NamedTuple):
    """One claim as a test: the verification that judges it, and its key, which is the id of the test."""

    request: Request
    key: str


# Options.


def pytest_addoption(parser: pytest.Parser) -> None:
    """A single option, to avoid clashes with other plugins: --icgd "N=2 K=3 samples=1000 certify strict"."""
    options = ", ".join(option.name for option in fields(Search))
    parser.getgroup("icgd", "the problem whose claims are tested").addoption(
        "--icgd",
        action="append",
        default=[],
        metavar="'N=2 K=3 ...'",
        help=f"letters of any theorem; options of icgd verify ({options}); strict: what is vacuous or "
        "open fails, too; theorem=FILE.py for your own",
    )


def read(words: Iterable[str]) -> tuple[dict[str, Any], Search]:
    """Letters and search options from words such as N=2 and certify; loads the files of theorems.

    Raises ProblemError.
    """
    given = [(name, sign, value) for name, sign, value in (word.partition("=") for word in words)]
    for name, _, value in given:
        if name == "theorem":
            find_theorem(value)
    kinds: dict[str, Any] = {"theorem": str}
    for theorem in theorems().values():
        kinds |= {letter: kind for letter, kind in theorem.letters.kinds().items() if letter not in kinds}
    options = get_type_hints(Search)
    letters: dict[str, Any] = {}
    chosen: dict[str, Any] = dict(BRIEF)
    for name, sign, value in given:
        if name in options:
            typed = _typed(name, value if sign else "", options[name])
            several = isinstance(getattr(Search, name), tuple)
            chosen[name] = (*chosen.get(name, ()), typed) if several else typed
        elif name not in kinds:
            hint = f"there is no such letter; the letters are {', '.join(sorted(kinds))}"
            raise ProblemError(name, value, hint)
        elif name != "theorem":
            letters[name] = _typed(name, value, kinds[name])
    return letters, Search(**chosen)


def _typed(name: str, value: str, kind: Any) -> Any:
    """The value of a word, converted to the type of its letter or option; a flag needs no value."""
    kind = next((one for one in get_args(kind) if one is not type(None)), kind)
    if kind is bool:
        if value not in ("", "true", "false"):
            raise ProblemError(name, value, "it is a flag: write it alone, or with =true or =false")
        return value != "false"
    try:
        return kind(value)
    except ValueError:
        raise ProblemError(name, value, f"a value of type {kind.__name__} is needed") from None


def pytest_configure(config: pytest.Config) -> None:
    """Raises pytest.UsageError where the options are impossible, before anything is collected."""
    try:
        words = [word for option in config.getoption("icgd", []) for word in shlex.split(option)]
        flags = [word.partition("=")[2] for word in words if word.partition("=")[0] == "strict"]
        config.stash[_STRICT] = any(_typed("strict", flag, bool) for flag in flags)
        letters, search = read(word for word in words if word.partition("=")[0] != "strict")
        config.stash[_REQUESTS] = all_requests(letters, search.construction, search)
    except ValueError as error:  # a ProblemError, or an unbalanced quotation mark
        raise pytest.UsageError(str(error)) from None
    config.stash[_LETTERS], config.stash[_SEARCH], config.stash[_FOUND] = letters, search, {}


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Which theorems take the given letters; the others keep their defaults."""
    letters = config.stash[_LETTERS]
    given = [
        f"{name} = {value} for {', '.join(theorems_with_letter(name))}" for name, value in letters.items()
    ]
    return [f"icgd: {line}" for line in (f"seed {config.stash[_SEARCH].seed}", *given)]


# Collection.


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with the fixture `icgd_claim` runs once per claim, with `icgd_request` once per verification."""
    requests = metafunc.config.stash[_REQUESTS]
    if "icgd_claim" in metafunc.fixturenames:
        claims = [ClaimTest(one, key) for one in requests for key in one.claim_keys()]
        metafunc.parametrize("icgd_claim", claims, ids=[claim.key for claim in claims])
    elif "icgd_request" in metafunc.fixturenames:
        metafunc.parametrize("icgd_request", requests, ids=[one.name for one in requests])


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let -k also find a claim by its key and by the name of its verification; name the suite of a test."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    claim, request = params.get("icgd_claim"), params.get("icgd_request")
    if isinstance(claim, ClaimTest):
        item.extra_keyword_matches.update({claim.key, claim.request.name})
        request = claim.request
    if isinstance(request, Request):
        item.user_properties.append((SUITE, request.theorem.name))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With -n, the claims of one verification go to one worker; all other tests are spread one by one.

    This holds for --dist load, the default, and loadgroup.  In other modes several workers may need one
    verification: the first runs it, and the others wait for its verdicts.
    """
    if config.getoption("dist") not in ("load", "loadgroup"):
        return None
    from xdist.scheduler import LoadGroupScheduling  # type: ignore[import-untyped]

    scopes = {label: one.name for one in config.stash[_REQUESTS] for label in (*one.claim_keys(), one.name)}

    class ByVerification(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            label = nodeid.partition("[")[2].removesuffix("]")
            return scopes.get(label) or str(super()._split_scope(nodeid))

    return ByVerification(config, log)


# Verdicts.


@pytest.fixture
def icgd_found(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Request], dict[str, Verdict]]:
    """The verdicts of a verification by key; it runs once, even where several workers need it."""
    config = request.config
    known, search = config.stash[_FOUND], config.stash[_SEARCH]
    worker: Mapping[str, Any] | None = getattr(config, "workerinput", None)

    def verdicts(asked: Request) -> dict[str, Verdict]:
        if asked.name not in known and worker is None:
            known[asked.name] = asked.verify(search)
        elif asked.name not in known and worker is not None:
            folder = tmp_path_factory.getbasetemp().parent / f"icgd-{worker['testrunuid']}"
            folder.mkdir(exist_ok=True)
            known[asked.name] = asked.verify_once(search, folder, int(worker["workercount"]))
        found = known[asked.name]
        if found.crash:
            pytest.fail(f"{asked.name} could not be verified\n{found.crash}", pytrace=False)
        return found.verdicts

    return verdicts


@pytest.fixture
def icgd_judge(request: pytest.FixtureRequest) -> Callable[..., None]:
    """icgd_judge(*verdicts) puts any verdicts, or those of results, into the table and the XML.

    So `icgd_judge(icgd.judge("model.safetensors"))` makes a test of somebody's transformer.  The test fails
    where one of them failed, or in a strict run is vacuous; it is skipped where all are inapplicable, and
    passes otherwise.
    """
    bad = {"bad", "care"} if request.config.stash[_STRICT] else {"bad"}

    def judge(*judged: Verdict | Results) -> None:
        if other := [one for one in judged if not isinstance(one, Results | Verdict)]:
            kind = type(other[0]).__name__
            pytest.fail(f"icgd_judge takes verdicts, or what icgd.judge returns, not {kind}", pytrace=False)
        lists = [one.verdicts if isinstance(one, Results) else (one,) for one in judged]
        if not any(lists):
            pytest.fail("nothing was claimed, so nothing was tested: assert what you expect", pytrace=False)
        verdicts = [one for some in lists for one in some]
        for one in verdicts:
            request.node.user_properties += _properties(one)
        failed = [
            f"{one.claim}: {one.evidence}" + (f"\nreplay: {one.replay}" if one.replay else "")
            for one in verdicts
            if STATUSES[one.status].tone in bad
        ]
        if failed:
            pytest.fail("\n".join(failed), pytrace=False)
        if verdicts and all(STATUSES[one.status].tone == "aside" for one in verdicts):
            pytest.skip("; ".join(f"{one.status}: {one.evidence}" for one in verdicts))

    return judge


@pytest.fixture
def icgd_strict(request: pytest.FixtureRequest) -> bool:
    """Whether a test is to fail also where something is vacuous or open: --icgd strict."""
    return request.config.stash[_STRICT]


def _properties(verdict: Verdict) -> list[tuple[str, Any]]:
    """A verdict as properties of a test: its document, with each of its numbers under a name of its own."""
    document = verdict.as_dict()
    numbers = document.pop("numbers", {})
    return [*document.items(), *((f"numbers.{name}", value) for name, value in numbers.items())]


# Summary.


def _rows(reporter: pytest.TerminalReporter) -> list[dict[str, str]]:
    """The verdicts in the reports, those of workers included, in the order of collection."""
    rows: list[dict[str, str]] = []
    for reports in reporter.stats.values():
        for report in reports:
            found: list[dict[str, str]] = []
            for name, value in report.user_properties if getattr(report, "when", None) == "call" else ():
                if name == "claim":
                    found.append({})
                if found:
                    found[-1][name] = value
            rows += found
    rows = [row for row in rows if {"claim", "verdict", "evidence"} <= row.keys()]
    keys = [key for one in reporter.config.stash[_REQUESTS] for key in one.claim_keys()] if rows else []
    order = {key: place for place, key in enumerate(keys)}
    return sorted(rows, key=lambda row: order.get(row["claim"], math.inf))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """If all claims are inapplicable, the exit code is the one for "no tests collected"."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus != pytest.ExitCode.OK or reporter is None or reporter.stats.get("passed"):
        return
    if _rows(reporter):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give every theorem a suite of its own in the file of --junitxml, with seed, version and letters."""
    written = config.getoption("xmlpath", None)
    path = config.invocation_params.dir / os.path.expandvars(Path(written or "").expanduser())
    if not written or hasattr(config, "workerinput") or not path.is_file() or _REQUESTS not in config.stash:
        return
    ran = {"seed": str(config.stash[_SEARCH].seed), "version": release()}
    split_suites(path, {one.theorem.name: ran | _posed(one) for one in config.stash[_REQUESTS]})


def _posed(request: Request) -> dict[str, str]:
    """The letters as --icgd takes them; why those given do not pose the theorem, where they do not."""
    letters = shlex.join(f"{name}={value}" for name, value in request.problem.as_dict().items())
    return {"letters": letters} if request.refusal is None else {"not_posed": str(request.refusal)}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of claims; evidence is cut to the width of the terminal unless -v is given."""
    rows = _rows(terminalreporter)
    if not rows:
        return
    colours = {"good": "green", "fair": "green", "aside": "yellow", "care": "yellow", "bad": "red"}
    width = max(len(row["claim"]) for row in rows)
    said = [in_words(cast(Status, row["verdict"]), cast(Means | None, row.get("means"))) for row in rows]
    widest = max(map(len, said))
    terminalreporter.section("claims")
    for row, status in zip(rows, said, strict=True):
        evidence = " ".join(row["evidence"].split())
        room = shutil.get_terminal_size().columns - width - widest - 3
        if terminalreporter.config.get_verbosity() < 1 and len(evidence) > room:
            evidence = evidence[: max(room - 3, 0)] + "..."
        terminalreporter.write(f"{row['claim']:{width}} ")
        colour = colours[STATUSES[cast(Status, row["verdict"])].tone]
        terminalreporter.write(f"{status:{widest}}", **{colour: True})
        terminalreporter.write(f" {evidence}\n")
    claims = [row for row in rows if not row["claim"].startswith(LEDGER)]
    for line in count_claims(cast(list[VerdictDocument], claims)):
        terminalreporter.write(f"{line}\n", bold=True)
    if findings := [row for row in rows if row["claim"].startswith(LEDGER)]:
        lost = sum(row["verdict"] == "failed" for row in findings)
        terminalreporter.write(
            f"{len(findings)} finding{'s' * (len(findings) != 1)}: {lost} not reproduced\n", bold=True
        )
