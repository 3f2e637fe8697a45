"""JSON Schemas (draft 2020-12) of everything that icgd writes as JSON, made from the types in our own source.

The generated files are in reports/schemas, so that reading one needs neither these types nor pydantic:

    python -m icgd.reports.document.schemas     # writes them again; a test asks for it
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from typing_extensions import TypedDict, is_typeddict

from icgd.construct.machine.files import write_atomically
from icgd.reports.document import command_shape as made
from icgd.reports.document.benchmark_shape import BenchmarkSetOutput, ClaimOutput
from icgd.reports.document.file_shape import CertificateFile, LinearCounterexampleFile
from icgd.reports.document.schema_files import SCHEMA_FOLDER, SCHEMAS
from icgd.reports.document.shape import SCHEMA, AuditDocument
from icgd.reports.document.studies import study_text
from icgd.verify.search.counterexample import Saved

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _read_before_312(kind: Any) -> Any:
    """The same type with TypedDicts that pydantic reads before Python 3.12, too.

    The checker has those of `typing`, as it depends on nothing; none of them has optional keys.
    """
    if is_typeddict(kind):
        hints = get_type_hints(kind, include_extras=True)
        made_anew: Any = TypedDict  # mypy knows only types that are written down
        again = made_anew(kind.__name__, {name: _read_before_312(one) for name, one in hints.items()})
        again.__doc__ = kind.__doc__
        return again
    inside = tuple(map(_read_before_312, get_args(kind)))
    if not inside:
        return kind
    made_of: Any = Union if get_origin(kind) is UnionType else get_origin(kind)
    return made_of[inside[0] if len(inside) == 1 else inside]


WRITTEN: Mapping[str, Any] = {
    "audit": AuditDocument | made.TheoremOutput,
    "report": AuditDocument,
    "findings": made.FindingsOutput | made.QuestionsOutput,
    "verify": made.TheoremOutput | made.ReplayOutput,
    "bounds": made.BoundsOutput,
    "build": made.BuildOutput,
    "export": made.ExportOutput,
    "benchmark-set": BenchmarkSetOutput | ClaimOutput,
    "zoo": made.ZooOutput | made.ZooModelOutput,
    "check": made.CheckOutput,
    "judge": made.JudgedBlockOutput
    | made.JudgedLinearOutput
    | made.JudgedPredictorOutput
    | made.ReplayOutput,
    "sweep": made.SweepOutput,
    "plot": made.PlotOutput,
    "study": made.StudyOutput | made.StudyFile | made.UnfinishedStudyOutput | made.StudiesOutput,
    "certificate": _read_before_312(CertificateFile),
    "counterexample": Saved | LinearCounterexampleFile,
}
"""The type of each document, by the name of its schema."""


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a document as this release writes it: a key that it does not name is an error."""
    from pydantic import TypeAdapter  # takes a fifth of a second to load
    from pydantic.json_schema import GenerateJsonSchema

    class Untitled(GenerateJsonSchema):
        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

    found = _plainer(TypeAdapter(WRITTEN[name]).json_schema(schema_generator=Untitled))
    for part in (found, *found.get("$defs", {}).values()):
        if "schema" in part.get("properties", {}):
            part["properties"]["schema"] = {"const": SCHEMA}
    about = {"$schema": DIALECT, "$id": f"urn:icgd:schema:{SCHEMA}:{name}", "title": SCHEMAS[name]}
    return about | {key: value for key, value in found.items() if key != "title"}


def _plainer(part: Any) -> Any:
    """The same schema, closed to other keys; a whole number is a number, and need not be named beside it."""
    if isinstance(part, list):
        numbers = {"type": "number"} in part
        return [_plainer(one) for one in part if not (numbers and one == {"type": "integer"})]
    if not isinstance(part, dict):
        return part
    found = {key: _plainer(one) for key, one in part.items()}
    return found | {"additionalProperties": False} if "properties" in found else found


def write_schemas(folder: Path = SCHEMA_FOLDER) -> None:
    """Write a file NAME.json for every schema."""
    for name in SCHEMAS:
        write_atomically(folder / f"{name}.json", study_text(json_schema(name)) + "\n")


if __name__ == "__main__":
    write_schemas()
