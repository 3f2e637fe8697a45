"""The options of a verification, for every command, for pytest and for Python: samples, effort, data, ..."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from icgd.bounds.letters import ProblemError
from icgd.construct.machine.device import check_device
from icgd.verify.search.tables import BUNDLED


@dataclass(frozen=True, kw_only=True)
class Search:
    """The options of a verification; each field is an option of that name on the command line and in pytest.

    An annotation has the type, the meaning, and the placeholder in help texts where it is not the type.
    Raises ProblemError for an impossible value.
    """

    construction: Annotated[str | None, "of the theorem; none: its default"] = None
    seed: Annotated[int, "seed of all random work"] = 0
    samples: Annotated[int, "random prompts in the sweep"] = 100_000
    effort: Annotated[float, "length of the attack, 0 for none"] = 1.0
    start: Annotated[str, "w(0): random, or zero as in the theorem"] = "random"
    data: Annotated[str | None, "real prompts to follow", f"{'|'.join(BUNDLED)}|FILE.csv"] = None
    inputs: Annotated[str | None, "columns that are x, separated by commas"] = None
    targets: Annotated[str | None, "columns that are y, separated by commas"] = None
    prompts: Annotated[int, "prompts to cut from the data"] = 64
    certify: Annotated[bool, "also prove the step error"] = False
    device: Annotated[str, "cpu or cuda"] = "cpu"
    out: Annotated[Path, "folder for counterexamples and certificates"] = Path("out")

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ProblemError("samples", self.samples, "at least one prompt is needed")
        if not 0 <= self.effort <= 1000:
            raise ProblemError("effort", self.effort, "a number from 0 (no attack) to 1000 is needed")
        if self.start not in ("random", "zero"):
            raise ProblemError("start", self.start, "either zero or random is needed")
        if not -(2**63) <= self.seed < 2**63:
            raise ProblemError("seed", self.seed, "a 64-bit whole number is needed")
        for name, columns in (("inputs", self.inputs), ("targets", self.targets)):
            if columns and self.data is None:
                raise ProblemError(name, columns, "columns are chosen from --data, which is missing")
        check_device(self.device)

    def only(self, taken: frozenset[str]) -> Search:
        """The options for a theorem that takes only these; all others are at their defaults."""
        return Search(**{name: value for name, value in self.given.items() if name in taken | EVERYWHERE})

    @property
    def given(self) -> dict[str, Any]:
        """The options that are not at their defaults."""
        values = {one.name: (getattr(self, one.name), one.default) for one in fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}


BRIEF: Mapping[str, Any] = {"samples": 20_000, "effort": 0.3}
"""A shorter search, for reports and for pytest."""

EVERYWHERE = frozenset({"seed", "device", "out"})
"""Options that every theorem takes."""
