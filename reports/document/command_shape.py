"""Types of what `--json` of each command writes: every key and the type of its value.

Parts that reports share are in icgd.reports.document.shape; icgd.reports.document.schemas makes JSON Schemas.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypeAlias

from typing_extensions import TypedDict

from icgd.reports.document.shape import (
    BoundDocument,
    CurveDocument,
    DocumentNumber,
    FindingsDocument,
    GridDocument,
    HypothesisDocument,
    OfData,
    PlanDocument,
    QuestionsDocument,
    TheoremDocument,
)
from icgd.reports.document.study_shape import StudyDocument
from icgd.verify.verdict import VerdictDocument

LettersDocument: TypeAlias = dict[str, int | float | str]
"""Every letter of a problem with its value."""


class Headed(TypedDict):
    """What every document begins with.

    schema: the version of the keys.  release: the version of icgd and a digest of its sources and libraries.
    """

    schema: int
    release: str


class Closed(Headed):
    """What every document of a command ends with: versions of the libraries, seconds of the command."""

    versions: dict[str, str]
    seconds: float


class TheoremOutput(Headed, TheoremDocument):
    """icgd audit and icgd verify about one theorem."""


class ReplayOutput(Closed):
    """A saved counterexample judged again."""

    verdicts: list[VerdictDocument]


class BoundsOutput(Closed):
    """icgd bounds.  hypotheses, plan: where the theorem has them.  bounds: by the key of their claim."""

    problem: LettersDocument
    construction: str | None
    hypotheses: NotRequired[list[HypothesisDocument]]
    plan: NotRequired[PlanDocument]
    grids: list[GridDocument]
    bounds: dict[str, BoundDocument]


class BuildOutput(Closed):
    """icgd build.  census: sizes counted from the matrices."""

    problem: LettersDocument
    construction: str | None
    census: dict[str, DocumentNumber]


class FindingsOutput(Closed, FindingsDocument):
    """icgd findings.  letter: the text of a letter, where one was asked for."""

    letter: NotRequired[str]


class QuestionsOutput(Closed, QuestionsDocument):
    """icgd findings --questions."""


class ExportOutput(Closed):
    """icgd export.  kind: of the weights, such as block.  files: that were written."""

    format: str
    kind: str
    files: list[str]


class ZooModelDocument(TypedDict):
    """A model of the zoo.

    letters: those that are not at their defaults.  exact: the claim by which its steps are exact, or null.
    heads, units: the most of any layer.  error: the bound on norm2(err) of one step, 0 where it is exact.
    """

    name: str
    theorem: str
    construction: str | None
    says: str
    exact: str | None
    letters: LettersDocument
    layers: int
    heads: int
    width: int
    units: int
    parameters: int
    error: float


class ZooOutput(Closed):
    """icgd zoo."""

    models: list[ZooModelDocument]


class ZooSlotDocument(TypedDict):
    """A slot of a residual stream: coordinates start, ..., stop - 1, and a constant that is added there."""

    name: str
    start: int
    stop: int
    meaning: str
    constant: NotRequired[float]


class ZooModelOutput(Closed, ZooModelDocument):
    """icgd zoo NAME.  files: that were written."""

    slots: list[ZooSlotDocument]
    files: list[str]


class CoqDocument(TypedDict):
    """What coqc said of the export of a certificate; version: null where it is not installed."""

    version: str | None
    ok: bool
    bound: DocumentNumber | None
    eps: DocumentNumber | None
    settles: bool
    files: dict[str, bool]
    missing: list[str]
    assumptions: list[str]
    in_binary64: str | None
    trusted: list[str]
    seconds: float


class CheckOutput(Closed):
    """icgd check.  built_here, weights: "the same program", or where the program is another one.

    weights: only where a file of weights was given and the certificate is accepted.
    """

    problem: LettersDocument
    construction: str | None
    coq: CoqDocument | None
    accepted: bool
    refusal: str | None
    built_here: str | None
    weights: NotRequired[str]
    another_certificate: NotRequired[str]
    bound: DocumentNumber | None
    trusted: list[str]
    checking_seconds: float


class WeightsDocument(TypedDict):
    """The file that was judged."""

    file: str
    sha256: str


class JudgedStepDocument(TypedDict):
    """What is known of norm2(err) of one step of given matrices; null: nothing."""

    sampled: DocumentNumber | None
    attacked: DocumentNumber | None
    certified: DocumentNumber | None
    allowed: DocumentNumber


class DescentFactorDocument(TypedDict):
    """A matrix of the network: how many times -eta grad it moves, and the share of its move left over."""

    matrix: str
    factor: DocumentNumber | None
    unexplained: DocumentNumber | None


class JudgedBlockOutput(Closed, OfData):
    """icgd judge about a block.  own_sums: whether its sums of ReLUs are its own.  not_proved: why."""

    weights: WeightsDocument
    conclusion: str
    problem: LettersDocument
    construction: str | None
    own_sums: bool
    not_proved: str | None
    attention: str
    census: dict[str, DocumentNumber]
    step_error: JudgedStepDocument
    descent: list[DescentFactorDocument]
    verdicts: list[VerdictDocument]
    trusted: list[str]
    seed: int


class RadiiDocument(TypedDict):
    """The prompts that are covered: n examples, norm2(x) <= B_x, |y| <= B_y."""

    n: int
    B_x: float
    B_y: float


class NearestDescentDocument(TypedDict):
    """A descent with matrices A, one a layer, and how far predictions are from it."""

    A: list[list[list[DocumentNumber]]]
    sampled: DocumentNumber | None
    attacked: DocumentNumber | None
    certified: DocumentNumber | None


class ExpectedLossDocument(TypedDict):
    """The expected loss: in rationals, as a text, or why not; and its mean over samples +- half_width."""

    exact: str | None
    gradient: DocumentNumber | None
    sampled: DocumentNumber
    half_width: DocumentNumber
    not_exact: str | None


class JudgedLinearOutput(Closed):
    """icgd judge about linear attention.  descent: where proved, the matrices A, in rationals as texts."""

    weights: WeightsDocument
    conclusion: str
    layout: str
    masked: bool
    divide_by: str
    census: dict[str, DocumentNumber]
    radii: RadiiDocument
    descent: list[list[list[str]]] | None
    nearest: dict[str, NearestDescentDocument]
    expected_loss: ExpectedLossDocument
    regression_weights: list[DocumentNumber]
    names: list[str]
    reference: str | None
    verdicts: list[VerdictDocument]
    seed: int


class IntervalDocument(TypedDict):
    """A mean with its bootstrap interval."""

    mean: DocumentNumber
    low: DocumentNumber
    high: DocumentNumber


class ReferenceDocument(TypedDict):
    """A reference at one length of prompts: its parameters, the distance to it, and its own error."""

    reference: str
    in_words: str
    parameters: list[DocumentNumber]
    distance: IntervalDocument
    error: IntervalDocument


class LengthDocument(TypedDict):
    """Answers to prompts of n examples.  spread: the variance of the answers.  error: mean squared."""

    n: int
    spread: DocumentNumber
    error: IntervalDocument
    references: list[ReferenceDocument]


class SensitivityDocument(TypedDict):
    """The cosine of its gradients with those of a reference; null where one of them is zero."""

    reference: str
    query: IntervalDocument | None
    labels: IntervalDocument | None


class ShiftDocument(TypedDict):
    """Answers to prompts of another distribution; not_run: why it was not tried."""

    prompts: str
    error: IntervalDocument | None
    distances: dict[str, IntervalDocument]
    errors_of_references: dict[str, IntervalDocument]
    not_run: str | None


class JudgedPredictorOutput(Closed):
    """icgd judge about a GPT-2, of which nothing is proved.

    nearest: references that cannot be told apart.  unexplained: share of the variance that they leave.
    moves: how far answers move when a part of the prompt changes, as a share of their spread.
    """

    weights: WeightsDocument
    conclusion: str
    proved: bool
    remarks: list[str]
    predictor: str
    called_with: str
    problem: LettersDocument
    nearest: list[str]
    runner_up: str | None
    unexplained: DocumentNumber
    distances: dict[str, IntervalDocument]
    lengths: list[LengthDocument]
    sensitivities: list[SensitivityDocument]
    gradients_by: str
    moves: dict[str, DocumentNumber]
    out_of_distribution: dict[str, ShiftDocument]
    verdicts: list[VerdictDocument]
    seed: int


SweptRow: TypeAlias = dict[str, int | float | str | None]
"""A problem of a sweep by column; which columns there are depends on the theorem and on --with."""

Outcome = Literal["done", "refused", "crashed"]


SweptWith = TypedDict("SweptWith", {"with": str})  # "with" is no name of a field in Python
"""What was done with each problem besides its bounds, by words."""


class SweepOutput(Closed, SweptWith):
    """icgd sweep.  outcomes: how many rows ended how.  rows: in the order of the grid."""

    theorem: str
    grid: str
    outcomes: dict[Outcome, int]
    rows: list[SweptRow]


class PlotOutput(Closed):
    """icgd plot.  logarithmic: the axes that are, such as "xy".  left_out: rows without a number there."""

    title: str
    x: str
    y: str
    logarithmic: str
    curves: list[CurveDocument]
    left_out: int


class StudyAbout(TypedDict):
    """What a study is."""

    study: str
    title: str
    source: str
    theorems: list[str]
    task: str
    models: list[str]
    baselines: list[str]
    measures: list[str]
    scales: dict[str, str]


class StudiesOutput(Closed):
    """icgd study without a name: all studies."""

    studies: list[StudyAbout]


class UnfinishedStudyOutput(Closed):
    """icgd study, ended before its end: the same command goes on."""

    study: str
    scale: str
    finished: Literal[False]


class StudyFile(Headed, StudyDocument):
    """What a study found, in result.json of its folder.  settings: each study has its own."""

    versions: dict[str, str]
    models: list[str]
    baselines: list[str]
    measures: list[str]
    settings: dict[str, object]
    finished: Literal[True]


class StudyOutput(StudyFile):
    """icgd study: what is in its file, and the seconds of this command."""

    seconds: float
