"""`pytest verify/`: the auditor's entry.  Its options are the theorem's letters."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from bounds.budget import Construction
from bounds.problem import Problem
from construct.relu_icgd import check_construction
from verify.relu_icgd import Verification, claim_keys, save_counterexample, verify

DEFAULT: tuple[Construction, ...] = ("lean", "paper")


def pytest_addoption(parser: pytest.Parser) -> None:
    """--N 3 --K 4 ... as on the command line of icgd, and how hard to look."""
    group = parser.getgroup("icgd", "the problem whose claims are tested")
    for field in fields(Problem):
        kind = {"int": int, "float": float}.get(str(field.type), str)
        group.addoption(
            f"--{field.name}", type=kind, default=None, help=f"letter {field.name} of the problem"
        )
    group.addoption(
        "--construction",
        choices=get_args(Construction),
        help="lean, paper or exact (default: lean and paper)",
    )
    group.addoption("--samples", type=int, default=20_000, help="random prompts in each sweep")
    group.addoption("--effort", type=float, default=0.3, help="length of the attack")
    group.addoption("--icgd-seed", type=int, default=0, help="seed of all random work")


def posed(config: pytest.Config) -> Problem:
    """The problem that the options pose."""
    given = {field.name: config.getoption(f"--{field.name}") for field in fields(Problem)}
    return Problem.parse({name: value for name, value in given.items() if value is not None})


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each construction and claim."""
    if {"construction", "claim"} <= set(metafunc.fixturenames):
        chosen = metafunc.config.getoption("--construction")
        constructions = DEFAULT if chosen is None else (chosen,)
        problem = posed(metafunc.config)
        for construction in constructions:
            check_construction(problem, construction)
        metafunc.parametrize(
            ("construction", "claim"), [(c, key) for c in constructions for key in claim_keys(problem, c)]
        )


@pytest.fixture(scope="session")
def verifications() -> dict[str, Verification]:
    """What was found out about each construction, once a session."""
    return {}


@pytest.fixture
def verification(
    request: pytest.FixtureRequest, construction: Construction, verifications: dict[str, Verification]
) -> Verification:
    """The verification of one construction, done when first asked for."""
    if construction not in verifications:
        config = request.config
        verifications[construction] = verify(
            posed(config),
            construction,
            samples=config.getoption("--samples"),
            effort=config.getoption("--effort"),
            seed=config.getoption("--icgd-seed"),
        )
    return verifications[construction]


@pytest.fixture
def replay_command(verification: Verification, tmp_path_factory: pytest.TempPathFactory) -> str | None:
    """The command that shows the counterexample again, if there is one."""
    if verification.counterexample is None:
        return None
    folder = Path(tmp_path_factory.getbasetemp()) / "counterexamples"
    return save_counterexample(verification.counterexample, folder)
