"""Types of what `icgd benchmark-set --json` writes."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from icgd.reports.document.command_shape import Closed, LettersDocument


class BenchmarkNetworkDocument(TypedDict):
    """A certified network.  bound: proved, on norm2(E).  found: an entry of E that is reached."""

    construction: str
    problem: LettersDocument
    bound: float
    found: float


class BenchmarkInstanceDocument(TypedDict):
    """A property of a network, whose answer is known.

    type: float64 or real.  sha256, property_sha256: of the files of network and property.  judged,
    over_reals: of the counterexample of a property that is sat: what it is in words, and whether it is one
    over the reals.
    """

    name: str
    network: str
    type: str
    answer: str
    why: str
    sha256: str
    property_sha256: str
    judged: NotRequired[str]
    over_reals: NotRequired[bool]


class BenchmarkSetOutput(Closed):
    """icgd benchmark-set.  networks: by name, those with a certificate."""

    networks: dict[str, BenchmarkNetworkDocument]
    instances: list[BenchmarkInstanceDocument]


class ClaimOutput(Closed):
    """icgd benchmark-set --judge.

    counterexample: whether the claim is one.  said: the same in words.  answer: known of the instance.
    inside: whether the input is in the domain.  in_float64, over_reals: whether it breaks the property there;
    null where balls do not decide.  computed, exact: the output in float64, and as balls.
    """

    instance: str
    answer: str
    counterexample: bool
    said: str
    inside: bool
    in_float64: bool
    over_reals: bool | None
    computed: list[float]
    exact: list[str]
