"""The rows of a sweep on disk, a file for each by its key, so that a sweep that was ended goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icgd.construct.machine.files import write_atomically
from icgd.verify.sweeps.task import Task


@dataclass(frozen=True)
class RowStore:
    """A folder of rows; several sweeps may share it, also at the same time."""

    folder: Path

    def path(self, task: Task) -> Path:
        """The file of one row, in one of 256 folders."""
        return self.folder / task.key[:2] / f"{task.key[2:]}.json"

    def get(self, task: Task) -> dict[str, Any] | None:
        """The row of a task; None where there is none, or its file is damaged or answers another."""
        try:
            found = json.loads(self.path(task).read_text(encoding="utf-8"))
            row = found["row"] if found["asked"] == task.asked else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return row if isinstance(row, dict) and "outcome" in row else None

    def put(self, task: Task, row: dict[str, Any]) -> None:
        """Keep a row; a reader sees all of it or nothing."""
        write_atomically(self.path(task), json.dumps({"asked": task.asked, "row": row}) + "\n")
