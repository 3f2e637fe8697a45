"""An audit in Python: everything about one theorem on one problem, within reach of the tab key."""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, cast

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from icgd.bounds.claims import Claim
from icgd.bounds.html_table import html_table
from icgd.bounds.hypotheses import Hypothesis
from icgd.bounds.letters import Letters, ProblemError
from icgd.bounds.listing import Listing, listing
from icgd.construct.machine.files import write_atomically
from icgd.reports.command.audit import (
    answer_questions,
    command_line,
    settle_findings,
    verify_one,
)
from icgd.reports.command.run_files import write_run_files
from icgd.reports.document.document import audit_document
from icgd.reports.document.shape import AuditDocument, TheoremDocument
from icgd.reports.figures.figures import Sketch, sketches
from icgd.reports.figures.style import STYLE
from icgd.reports.html.inline_svg import inline
from icgd.reports.html.page import display_bound
from icgd.reports.mathematics.mathml import worded
from icgd.reports.report import Report, write_report
from icgd.verify.catalogue import command_name, find_theorem
from icgd.verify.ledger.entries import entries, select
from icgd.verify.ledger.settled import Settled
from icgd.verify.results import Results
from icgd.verify.search.options import Search
from icgd.verify.theorem import Theorem
from icgd.verify.verdict import Verdict, any_failed


@dataclass(frozen=True, eq=False)
class AuditFigure:
    """A figure of an audit.  key: of the theorem and the figure.  title, caption: plain text.

    figure: of matplotlib.
    """

    key: str
    title: str
    caption: str
    figure: Figure

    @property
    def said(self) -> str:
        """Its title."""
        return self.title

    @property
    def detail(self) -> str:
        """Its caption."""
        return self.caption

    def as_row(self) -> dict[str, str]:
        """The figure as a row of a table."""
        return {"figure": self.key, "title": self.title, "caption": self.caption}

    def save(self, path: Path | str) -> None:
        """Write it as .pdf, .svg or .png, by the name of the file; raises ProblemError for another name."""
        kind = Path(path).suffix[1:].lower()
        if kind not in ("pdf", "svg", "png"):
            raise ProblemError("path", path, "a name that ends in .pdf, .svg or .png is needed")
        write_atomically(Path(path), self._as_file(kind))

    def _as_file(self, kind: str) -> bytes:
        held = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            self.figure.savefig(held, format=kind, dpi=200, facecolor="none" if kind == "svg" else "white")
        return held.getvalue()

    def __repr__(self) -> str:
        return f"<figure {self.key}: {self.title}>"

    def _repr_html_(self) -> str:
        name = re.sub(r"\W+", "-", self.key)
        drawn = inline(self._as_file("svg").decode(), name, self.title)
        drawn = Markup(re.sub(r"var\(--ink-(\w{6})\)", r"#\1", drawn))  # a report defines these colours
        # On white, since the lines are dark whatever the theme of the notebook.
        return (
            f'<figure style="margin:0;max-width:42em"><div style="background:#fff;padding:.6em">{drawn}</div>'
            f"<figcaption>{worded(self.caption)}</figcaption></figure>"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """Everything that `icgd audit` finds out about one theorem on one problem.

    results: with every number.  document: the same as plain values, as --json writes it.
    files: name -> text of its certificate and its counterexample, if any.
    command: the command line that finds out the same.
    """

    results: Results
    document: TheoremDocument
    files: Mapping[str, str]
    command: str
    _asked: str

    @property
    def theorem(self) -> Theorem:
        """The theorem."""
        return find_theorem(self._asked)

    @property
    def problem(self) -> Any:
        """The letters."""
        return self.results.problem

    @property
    def bounds(self) -> Listing[Claim]:
        """What is claimed, with every constant: `bounds["heads"].value`."""
        return self.results.bounds

    @property
    def verdicts(self) -> Listing[Verdict]:
        """What was concluded on each claim: `verdicts["lean/heads"].said`."""
        return listing(self.results.verdicts)

    @property
    def hypotheses(self) -> Listing[Hypothesis]:
        """What the theorem assumes, each checked on this problem."""
        return listing(self.results.hypotheses)

    @property
    def kept(self) -> bool:
        """Whether no claim failed."""
        return not any_failed(self.results.verdicts)

    @cached_property
    def findings(self) -> Listing[Settled]:
        """What icgd found out about the published statement, computed again: a minute for some theorems."""
        return listing(settle_findings(select(entries(), theorem=self.theorem.name)))

    @cached_property
    def transformer(self) -> Any:
        """The transformer that was judged; raises ProblemError for a theorem about another's."""
        if (model := self.theorem.model) is None:
            name = self.theorem.name
            raise ProblemError("transformer", name, "it is about the transformer of another theorem")
        return model.build(self.problem, **self.theorem.chosen(self.results.construction))

    @cached_property
    def figures(self) -> Listing[AuditFigure]:
        """Every figure of the report."""
        part = self._name
        alone = cast(AuditDocument, {"theorems": {part: self.document}, "seed": self.results.seed})
        with matplotlib.rc_context(STYLE):
            return listing(_figure(one, self.theorem.name) for one in list(sketches(alone)))

    def figure(self, name: str) -> AuditFigure:
        """The figure of this key, or the only one with these words in it; raises ProblemError otherwise.

        name: such as "budget"; `figures` lists them.
        """
        words = _slug(name)
        keys = {one.key.partition("/")[2]: one for one in self.figures}
        found = [key for key in keys if words == key] or [key for key in keys if words and words in key]
        if len(found) != 1:
            near = found or difflib.get_close_matches(words, keys, cutoff=0.3) or list(keys)
            which = "several have these words" if found else "there is no such figure"
            raise ProblemError("figure", repr(name), f"{which}: {', '.join(near) or 'there is none at all'}")
        return keys[found[0]]

    def report(self, folder: Path | str) -> Report:
        """Write PDF, HTML and JSON, certificates and figures, with the findings; replaces earlier files."""
        whole = audit_document(
            {self._name: self.document},
            command=self.command,
            seed=self.results.seed,
            seconds=float(self.document["seconds"]),
            findings=self.findings,
            answers=answer_questions(self.theorem.name),
        )
        return write_report(whole, Path(folder), self.files)

    @property
    def _name(self) -> str:
        chosen = self.results.construction
        return self.theorem.name + (f"/{chosen}" if chosen else "")

    def __dir__(self) -> list[str]:
        return sorted(name for name in super().__dir__() if not name.startswith("_") or name[:2] == "__")

    def __repr__(self) -> str:
        posed = f"audit of {self._name} on {self.problem.brief}, seed {self.results.seed}"
        return "\n  ".join([f"<{posed}", *self.results.summary, *_step_in_words(self.results)]) + ">"

    def _repr_html_(self) -> str:
        theorem = self.theorem
        lead = f"<b>{escape(self._name)}</b> on <code>{escape(self.problem.brief)}</code>"
        lines = "<br/>".join(map(worded, (*self.results.summary, *_step_in_words(self.results))))
        judged = ((one.claim, one.said, worded(one.evidence)) for one in self.verdicts)
        formulas = self.document["bounds"]
        bounds = ((one.key, worded(one.said), display_bound(formulas[one.key])) for one in self.bounds)
        return (
            f"<p>{lead}<br/>{escape(theorem.title)} ({escape(theorem.source)})</p><p>{lines}</p>"
            f"{html_table(('claim', 'verdict', 'evidence'), judged)}"
            f"{html_table(('bound', 'value', 'formula'), bounds)}"
        )


def _step_in_words(found: Results) -> list[str]:
    """The error of a step, from sampled to allowed, where something is known of one."""
    if (step := found.sandwich) is None:
        return []
    return [f"error of a step: {step.in_words(certified=found.is_certified)}"]


def _figure(sketch: Sketch, theorem: str) -> AuditFigure:
    rest = sketch.name.removeprefix(f"{_slug(sketch.theorem)}-")
    return AuditFigure(f"{theorem}/{rest}", sketch.title, sketch.caption, sketch.figure)


def _slug(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", str(words).lower()).strip("-")


def audit(
    theorem: str | Path | Letters | Theorem,
    problem: Letters | Mapping[str, Any] | None = None,
    *,
    figures: bool = True,
    **options: Any,
) -> Audit:
    """Audit a theorem as `icgd audit` does: bounds, transformer, searches, and a proof where there is one.

    theorem: a name, a file that defines one, or a problem.  problem: of the theorem, or letters by name.
    figures: whether to compute what figures alone need.  options: letters, and fields of `Search`.
    Nothing is written but a counterexample, below `out`; `Audit.report` writes a report.
    Raises ProblemError for an unknown theorem, letter or option.
    """
    if isinstance(theorem, Letters):
        if problem is not None:
            raise ProblemError("problem", problem, "a problem is given already, in place of a theorem")
        problem = theorem
    about = theorem if isinstance(theorem, Theorem) else find_theorem(theorem)
    letters = {name: options.pop(name) for name in about.letters.names() if name in options}
    if not isinstance(figures, bool):
        raise ProblemError("figures", figures, "True or False is needed")
    known = {one.name for one in fields(Search)}
    for name, value in options.items():
        if name not in known:
            raise about.unknown(name, value, "figures")
    if isinstance(problem, Mapping) and not letters:
        letters = dict(problem)
    elif problem is not None:
        letters = about.pose(problem, letters).as_dict()
    search = Search(**options)
    part = verify_one(about, letters, search, certify=True, surveyed=figures, announced=True)
    if part.failed:  # the verdict names the file that replays it
        write_run_files(part.files, search.out)
    asked = command_name(about)
    again = command_line("audit", asked, letters, search)
    return Audit(part.results, part.document, part.files, again, asked)
