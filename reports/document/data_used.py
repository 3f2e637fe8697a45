"""Builds the part of a document that says which rows and columns of a table were used, and how."""

from __future__ import annotations

from icgd.reports.document.shape import DataDocument
from icgd.verify.data.use import DataUse


def data_document(use: DataUse) -> DataDocument:
    """What was done with a table: its columns with their scaling, its rows, and what is doubtful."""
    return {
        "source": use.source,
        "sha256": use.sha256,
        "read_as": use.read_as,
        "rows": use.rows,
        "dropped": use.dropped,
        "used": use.used,
        "prompts": use.prompts,
        "examples": use.examples,
        "columns": [
            {
                "name": one.name,
                "role": one.role,
                "centre": one.centre,
                "unit": one.unit,
                "factor": one.factor,
                "smallest": one.smallest,
                "largest": one.largest,
            }
            for one in use.columns
        ],
        "chosen": list(use.chosen),
        "warnings": list(use.warnings),
    }
