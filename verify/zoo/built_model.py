"""Builds a model of the zoo: its transformer, a checked certificate of its matrices, what is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icgd.bounds.letters import Letters
from icgd.bounds.problem import Problem
from icgd.construct.exports.formats import FORMATS, export_weights
from icgd.construct.exports.plain_torch import TORCH_FILES, write_forward
from icgd.construct.exports.read_weights import read_weights
from icgd.construct.machine.files import write_atomically
from icgd.verify.certificate.constructions import CONSTRUCTIONS
from icgd.verify.certificate.issue import as_read, certificate_text
from icgd.verify.certificate.origin import digest_for
from icgd.verify.zoo.models import ZooModel

LENS_FOLDER = "transformer_lens"
"""The folder with the same model for TransformerLens, in that of a model."""

_CERTIFICATE = "certificate.json"


def model_places(model: ZooModel, folder: Path) -> tuple[Path, ...]:
    """Every file that `BuiltModel.write` writes there."""
    names = TORCH_FILES if model.exact else (*TORCH_FILES, _CERTIFICATE)
    lens = FORMATS.find("transformer-lens").places(folder / LENS_FOLDER)
    return (*(folder / name for name in names), *lens)


@dataclass(frozen=True)
class ZooSize:
    """What is counted of a built model, and the bound on norm2(err) of one step: 0 where it is exact.

    heads, units: the most of any layer.
    """

    layers: int
    heads: int
    width: int
    units: int
    parameters: int
    error: float


@dataclass(frozen=True, eq=False)
class BuiltModel:
    """A model of the zoo as it was built.

    certificate: of its matrices, accepted by the checker; None where steps are exact.  digest: of its file.
    trusted: what its proof relies on.
    """

    model: ZooModel
    problem: Letters
    transformer: Any
    size: ZooSize
    certificate: Mapping[str, Any] | None = None
    digest: str | None = None
    trusted: tuple[str, ...] = ()

    def write(self, folder: Path) -> tuple[Path, ...]:
        """Write weights, certificate, `forward.py` and the folder for TransformerLens; returns the paths."""
        made = self.model.of.model
        assert made is not None
        weights = folder / TORCH_FILES[0]
        weights.parent.mkdir(parents=True, exist_ok=True)
        made.save(self.transformer, weights, *([self.digest] if self.digest else []))
        paths = [weights, write_forward(folder)]
        if self.certificate is not None:
            paths.append(folder / _CERTIFICATE)
            write_atomically(paths[-1], certificate_text(self.certificate))
        return (*paths, *export_weights(read_weights(weights), "transformer-lens", folder / LENS_FOLDER))


def build_model(model: ZooModel) -> BuiltModel:
    """Build a model and have its certificate checked; raises ProblemError if that is not accepted."""
    problem, made = model.problem(), model.of.model
    assert made is not None
    if model.exact is not None:
        transformer = made.build(problem)
        counted = made.census(transformer)
        given = {"heads": 1, "width": getattr(problem, "d", 0) + 1, "mlp_width": 0, **counted}
        return BuiltModel(model, problem, transformer, _size(given, 0.0))
    assert model.construction is not None and isinstance(problem, Problem)
    way = CONSTRUCTIONS[model.construction]
    planned = way.plan(problem)
    transformer = way.assemble(planned)
    certificate = as_read(way.issue(planned))
    digest = digest_for(transformer, problem, certificate)
    size = _size(made.census(transformer), problem.eta * certificate["certified"])
    return BuiltModel(model, problem, transformer, size, certificate, digest, way.trusted)


def _size(counted: Mapping[str, int | float], error: float) -> ZooSize:
    names = ("layers", "heads", "width", "mlp_width", "parameters")
    layers, heads, width, units, parameters = (int(counted[name]) for name in names)
    return ZooSize(layers, heads, width, units, parameters, error)
