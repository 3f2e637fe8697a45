"""Types of the JSON document of a study, as `icgd study` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from typing_extensions import TypedDict

from icgd.verify.results import Cell

StudyNumber: TypeAlias = float | int | Literal["inf", "-inf", "nan"]
"""A number; a word stands for a value that JSON cannot express."""


class StudyTableDocument(TypedDict):
    """A table of results; each row has one cell per column."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str


class StudyCurveDocument(TypedDict):
    """A curve of a study.  low, high: its intervals, or empty.  published: read off a paper's figure."""

    label: str
    x: Sequence[float]
    y: Sequence[StudyNumber]
    low: Sequence[StudyNumber]
    high: Sequence[StudyNumber]
    published: bool


class StudyFigureDocument(TypedDict):
    """A figure of a study as data.  shown: whether reports draw it.  logarithmic: such as "xy"."""

    key: str
    title: str
    x: str
    y: str
    curves: Sequence[StudyCurveDocument]
    logarithmic: str
    shown: bool


class StudyDocument(TypedDict):
    """A study and what it found, as `icgd study` writes it.  theorems: those that it is about."""

    study: str
    title: str
    source: str
    theorems: list[str]
    task: str
    scales: dict[str, str]
    scale: str
    seed: int
    trained_on: str
    said: list[str]
    tables: list[StudyTableDocument]
    figures: list[StudyFigureDocument]
