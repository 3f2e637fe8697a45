"""Types of a report's JSON document: every key and the type of its value.

Reports of earlier versions may lack keys that are required here, so their readers use `get`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypeAlias

from typing_extensions import TypedDict

from icgd.bounds.hypotheses import HypothesisStatus
from icgd.reports.document.study_shape import StudyDocument
from icgd.verify.ledger.entries import Bearing, Kind, Severity
from icgd.verify.ledger.tally import Fate
from icgd.verify.results import Cell
from icgd.verify.verdict import VerdictDocument

Word: TypeAlias = Literal["inf", "-inf", "nan"]
DocumentNumber: TypeAlias = float | int | Word
"""A number; a word stands for a value that JSON cannot express."""

SCHEMA = 2
"""The version of the documents' keys; 2: claims have the same key everywhere, and a proof names its means."""

NumberSection: TypeAlias = Literal["problem", "census", "step_error", "plan", "certificate"]
"""A part of a theorem's document whose numbers have names."""


class ConstantDocument(TypedDict):
    """The value of a symbol in a bound."""

    value: DocumentNumber
    meaning: str


class BoundDocument(TypedDict):
    """A claim: its quantity is related (<= or ==) to the value of an expression in its constants.

    statement, latex: the claim and the expression in LaTeX.
    """

    title: str
    statement: str
    hypotheses: list[str]
    expression: str
    latex: str
    value: DocumentNumber
    relation: Literal["<=", "=="]
    quantity: str
    source: str
    constants: dict[str, ConstantDocument]


class HypothesisDocument(TypedDict):
    """A hypothesis judged on the problem.  holds: what still holds if it fails."""

    name: str
    statement: str
    status: HypothesisStatus
    why: str
    holds: str


class GridDocument(TypedDict):
    """A table of results; each row has one cell per column."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str


class CurveDocument(TypedDict):
    """One line of a plot: y over x."""

    label: str
    x: Sequence[float]
    y: Sequence[DocumentNumber]


class PlotDocument(TypedDict):
    """A figure as data.  log: the axes that are logarithmic, such as "xy"."""

    title: str
    x: str
    y: str
    log: str
    curves: Sequence[CurveDocument]


class Certified(TypedDict, total=False):
    """The bound a second time, under the name `certified`; only if a checker accepted a certificate of it."""

    certified: DocumentNumber | None


class OffMargin(TypedDict, total=False):
    """A bound that covers only prompts outside the gate's margin."""

    bound_off_margin: DocumentNumber


class StepErrorDocument(Certified, OffMargin):
    """What is known of norm2(err) of one step: sampled <= attacked <= bound <= allowed."""

    sampled: DocumentNumber
    attacked: DocumentNumber
    bound: DocumentNumber | None
    allowed: DocumentNumber


class TermDocument(TypedDict):
    """One local error of a plan: its share of the bound, and the pieces and ReLUs spent on it.

    relus: of one function; uses: how often that function occurs.
    """

    tolerance: float | None
    bound: DocumentNumber
    share: float
    pieces: int | None
    fewest: int | None
    relus: int | None
    uses: int | None


class PlanDocument(Certified):
    """A tolerance plan.  bound: on norm2(err)/eta.  recurrence: the bound that the plain recurrence gives."""

    units: int
    fewest_units: int
    bound: float
    recurrence: DocumentNumber
    terms: dict[str, TermDocument]


class TrajectoryDocument(TypedDict):
    """Steps compared with exact descent; losses and distances begin with step 0, errors with step 1."""

    source: str
    start: str
    prompts: int
    steps: int
    L: int
    errors: Sequence[DocumentNumber]
    loss: Sequence[DocumentNumber]
    exact_loss: Sequence[DocumentNumber]
    apart: Sequence[DocumentNumber]


class SearchDocument(TypedDict):
    """How much was searched.  admitted: how many of the random prompts the claim covers."""

    prompts: int
    admitted: int
    attacked_tokens: int


class ProvingDocument(TypedDict, total=False):
    """How a certificate was found; absent where somebody's matrices were recognised.

    units_before: ReLUs that the plain recurrence needs.
    """

    units_before: int
    proving_seconds: float
    checking_seconds: float


class CertificateDocument(ProvingDocument):
    """The check of a certificate, which is in a file of its own.  float32: a bound, or why there is none."""

    accepted: bool
    refusal: str | None
    bound: DocumentNumber
    float32: float | str
    weights: str
    cells: int
    trusted: list[str]


class EnclosureDocument(TypedDict):
    """An interval for the error on one prompt, over the reals and in float64."""

    prompt: str
    row: int
    real: list[float]
    deployed: list[float]


class HashesDocument(TypedDict):
    """SHA-256 of the certificate's file and of the weights that it certifies."""

    certificate: str
    weights: str


class SlotDocument(TypedDict):
    """A slot: named coordinates of the stream."""

    name: str
    start: int
    size: int


class SublayerDocument(TypedDict):
    """The attention or MLP of one layer, and the slots that it reads and writes."""

    layer: int
    kind: Literal["attention", "mlp"]
    heads: int
    units: int
    reads: Sequence[str]
    writes: Sequence[str]


class StreamDocument(TypedDict):
    """The slots of the stream, and the sub-layers that act on them, in order."""

    slots: Sequence[SlotDocument]
    sublayers: Sequence[SublayerDocument]


class StepDocument(TypedDict, total=False):
    """Keys that only a theorem on the error of steps has.  trusted: what proofs by certificate rely on.

    stream: only if it is drawn.  counterexample: SHA-256 of its file, if there is one.
    """

    plan: PlanDocument | None
    trajectory: TrajectoryDocument
    search: SearchDocument
    certificate: CertificateDocument | None
    enclosures: list[EnclosureDocument]
    stream: StreamDocument
    counterexample: str
    trusted: list[str]


class ScaledColumnDocument(TypedDict):
    """A column of a table: a prompt holds factor * (value - centre), and unit is 1 / factor or 0."""

    name: str
    role: str
    centre: DocumentNumber
    unit: DocumentNumber
    factor: DocumentNumber
    smallest: DocumentNumber
    largest: DocumentNumber


class DataDocument(TypedDict):
    """A table from which prompts were cut.

    sha256: of its file, if it is one.  dropped: rows left out for a missing value; used: the others.
    chosen: what was chosen because nobody named it.  warnings: what is doubtful, with counts.
    """

    source: str
    sha256: str | None
    read_as: str
    rows: int
    dropped: int
    used: int
    prompts: int
    examples: int
    columns: Sequence[ScaledColumnDocument]
    chosen: Sequence[str]
    warnings: Sequence[str]


class OfData(TypedDict, total=False):
    """The table, where prompts were cut from one."""

    data: DataDocument


class TheoremDocument(StepDocument, OfData):
    """One theorem on one problem.

    chosen: values of the letters that were left to the theorem.  census: sizes counted from the matrices.
    command: the command that computes this again.
    """

    theorem: str
    title: str
    source: str
    problem: dict[str, int | float | str]
    options: str
    chosen: Mapping[str, float]
    construction: str | None
    census: dict[str, DocumentNumber]
    bounds: dict[str, BoundDocument]
    hypotheses: list[HypothesisDocument]
    step_error: StepErrorDocument | None
    hashes: HashesDocument | None
    grids: list[GridDocument]
    plots: list[PlotDocument]
    verdicts: list[VerdictDocument]
    versions: dict[str, str]
    seed: int
    seconds: float
    command: str


class FindingDocument(TypedDict):
    """An entry of the ledger, computed again; see icgd.verify.ledger.entries.Entry.

    text, repair, not_claimed: contain the computed numbers.
    """

    key: str
    theorem: str
    statement: str
    place: str
    quotation: str
    source: str
    claim: str
    headline: NotRequired[str]
    bearing: Bearing
    severity: Severity
    kind: Kind
    text: str
    repair: str
    not_claimed: str
    numbers: dict[str, int | float | str | bool]
    reproduces: bool
    differences: list[str]
    replay: str
    seconds: float


class QuestionDocument(TypedDict):
    """A question that reviewers asked; see icgd.verify.ledger.questions.Question.

    answer: contains the computed numbers.  claims: keys of the claims and findings that they come from.
    """

    key: str
    theorem: str
    question: str
    asked_by: str
    answer: str
    claims: list[str]
    numbers: dict[str, int | float | str | bool]
    reproduces: bool
    differences: list[str]
    seconds: float


class PaperDocument(TypedDict):
    """A paper, and which text of it was read."""

    title: str
    authors: list[str]
    version: str
    read: Literal["full text", "abstract"]


class TallyDocument(TypedDict):
    """Published statements counted by what became of them, and the sentence that says so."""

    statements: int
    fates: dict[Fate, int]
    vacuous: int
    sentence: str


class FindingsDocument(TypedDict):
    """Findings, the gravest first, the statements they judge counted, and the number that reproduce."""

    findings: list[FindingDocument]
    papers: dict[str, PaperDocument]
    tally: TallyDocument
    bearings: dict[Bearing, int]
    severities: dict[Severity, int]
    reproduced: int


class QuestionsDocument(TypedDict):
    """Questions with their answers, and the number of answers that reproduce."""

    questions: list[QuestionDocument]
    reproduced: int


class JudgedDocument(TypedDict, total=False):
    """What a report about one judged transformer says first.

    heading: its title.  conclusion: what the transformer is, in two or three sentences.
    """

    heading: str
    conclusion: str


class AuditDocument(JudgedDocument):
    """Everything that an audit found; PDF and HTML are made from this alone.

    schema: `SCHEMA`, or absent in reports of earlier versions.  release: of icgd, likewise.
    theorems: by name, such as relu-icgd/lean.
    verdicts: those of all theorems.  numbers: by macro name.  studies: kept results about these theorems.
    """

    schema: int
    release: NotRequired[str]
    command: str
    theorems: dict[str, TheoremDocument]
    findings: list[FindingDocument]
    papers: NotRequired[dict[str, PaperDocument]]
    tally: TallyDocument
    questions: list[QuestionDocument]
    studies: NotRequired[list[StudyDocument]]
    verdicts: list[VerdictDocument]
    numbers: dict[str, float]
    versions: dict[str, str]
    seed: int
    seconds: float
