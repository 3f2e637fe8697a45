"""Types of the files that runs write beside their reports: certificates and counterexamples."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from icgd.reports.document.command_shape import LettersDocument
from icgd.reports.document.shape import DocumentNumber
from icgd.verify.checker.program import Program
from icgd.verify.checker.softmax_program import SoftmaxProgram


class LemmaFile(TypedDict):
    """A sum of ReLUs: for |t| <= reach it is within error of its function."""

    reach: float
    error: float


class LayerRangesFile(TypedDict):
    """Bounds on what layer j of the network computes on any covered prompt, for any network of W."""

    p_in: float
    z: float
    r: float
    curvature: float
    dr_low: float
    dr_high: float
    g: float
    s: float
    s_norm: float
    jerk: float


class MultipliersFile(TypedDict):
    """The multipliers of a layer's envelopes, by quantity."""

    slope: list[float]
    slope2: list[float]
    bend2: list[float]


class JointFile(TypedDict):
    """The pairs of multipliers of the joint envelope."""

    signal: list[tuple[float, float]]
    drift: list[tuple[float, float]]


class CertificateFile(TypedDict):
    """A proof that one step errs by at most eta * certified, as icgd check reads it: docs/certificates.md.

    weights: SHA-256 of program.  lemmas, errors: by the term that they are about, such as z[1].
    lip: only for a loss given by a formula.  root, splits: the cells that cover every network of W.
    """

    format: str
    problem: LettersDocument
    construction: str
    arithmetic: str
    statement: str
    program: Program | SoftmaxProgram
    weights: str
    lemmas: dict[str, LemmaFile]
    layers: list[LayerRangesFile]
    errors: dict[str, float]
    steepness: float | None
    lip: NotRequired[float]
    multipliers: list[MultipliersFile]
    joint: JointFile | None
    root: list[tuple[float, float]]
    splits: list[int]
    certified: float


class LinearPromptFile(TypedDict):
    """A prompt of linear attention: rows of x; a label for each; the query."""

    x: list[list[float]]
    y: list[float]
    query: list[float]


class LinearCounterexampleFile(TypedDict):
    """A prompt against a claim about linear attention.

    amount: how far predictions differ there.  A: of the descent, a matrix a layer; null: of a reference.
    """

    claim: str
    amount: DocumentNumber
    allowed: DocumentNumber
    prompt: LinearPromptFile
    A: list[list[list[float]]] | None
