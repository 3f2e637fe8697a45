"""The LaTeX of a report agrees with its document, and compiles without a warning."""

import copy
import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icgd.reports.document.findings import SEVERITY_NAMES, tally_document
from icgd.reports.document.first_page import (
    checked,
    failures_in_words,
    not_shown,
    notable,
    trusted,
    whole_sentences,
)
from icgd.reports.document.numbers import quantities
from icgd.reports.document.paper_boxes import paper_boxes
from icgd.reports.document.step_bound import PLANNER, UNCHECKED
from icgd.reports.latex.macros import NamedNumbers, beginning, number
from icgd.reports.latex.source import FRAGMENTS, write_source
from icgd.reports.latex.typeset import typeset
from icgd.reports.mathematics.notation import code, command, escape
from icgd.reports.mathematics.print_signs import printed

DOCUMENT = json.loads((Path(__file__).parents[1] / "data" / "document_latex.json").read_text())
LEAN, PAPER = "relu-icgd/lean", "relu-icgd/paper"
needs_tex = pytest.mark.needs("latexmk", "pdftotext", "pdfinfo", "pdffonts", "pdftoppm")


@pytest.fixture(scope="module")
def typed(written):
    made = typeset(written / "report.tex")
    assert made.pdf is not None, made.message
    return made


def pages_of(pdf):
    text = subprocess.run(["pdftotext", pdf, "-"], capture_output=True, text=True, check=True).stdout
    return text.split("\f")[:-1]


def plainly(text):
    """PDF text without spaces, its signs and powers as they are typed."""
    for sign, typed_as in (("−", "-"), ("×10", "e"), (",", ""), ("’", "'")):
        text = re.sub(r"\s+", "", text).replace(sign, typed_as)
    return text


def test_every_number_has_a_macro_with_its_digits(written):
    text = (written / "icgd-numbers.tex").read_text()
    found = re.findall(r"^\\newcommand\{\\(\w+)\}\{\\num\{([^}]*)\}\} % (.*)$", text, flags=re.MULTILINE)
    named = {one.macro: one for one in quantities(DOCUMENT)}
    assert {macro: (shown, place) for macro, shown, place in found} == {
        macro: (one.digits, one.place) for macro, one in named.items()
    }
    for macro, shown, _ in found:
        assert float(shown) == pytest.approx(named[macro].value, rel=1e-3)
        assert not named[macro].up or float(shown) >= named[macro].value
        assert not named[macro].down or float(shown) <= named[macro].value


def test_texts_use_macros_that_exist_and_no_number_where_one_does(written):
    known = {one.macro for one in quantities(DOCUMENT)}
    own = set(re.findall(r"\\icgd[a-z]+", (written / "icgd-preamble.tex").read_text()))
    for name in ("report", *FRAGMENTS):
        text = (written / f"{name}.tex").read_text()
        used = set(re.findall(r"\\(icgd[A-Za-z]+)\{\}", text))
        assert used - {"icgdbreak", "icgdword", "icgdquote"} <= known, name
        if name == "report":  # which a paper does not input
            own |= set(re.findall(r"\\newcommand\{(\\icgd[a-z]+)\}", text))
            own |= {r"\icgdmeasured", r"\icgdnumber", r"\icgdplaced"}
        lower = set(re.findall(r"\\icgd[a-z]+(?![A-Za-z])", text.replace(r"\textbackslash{}icgd", "")))
        assert lower <= own | {r"\icgdhead", r"\icgdpage", r"\icgdpaperbox"}, name
    for name in ("census", "sandwich"):
        assert r"\num" not in (written / f"{name}.tex").read_text()
    # What a later part says again of a constant is left out.
    constants = {one.macro for one in quantities(DOCUMENT) if one.place.startswith(f"{LEAN} constants ")}
    text = (written / "constants.tex").read_text()
    assert constants and constants <= set(re.findall(r"\\(icgd[A-Za-z]+)\{\}", text))
    for macro in ("icgdErrorAttacked", "icgdPaperErrorCertified", "icgdHeads", "icgdBoundHeads"):
        assert rf"\{macro}{{}}" in (written / "report.tex").read_text()


def test_no_command_of_ours_is_printed_as_text(written):
    for name in ("report", *FRAGMENTS):
        text = (written / f"{name}.tex").read_text()
        assert not re.search(r"textbackslash\W{1,20}(texttt|textbackslash)", text), name


def test_everything_that_is_cited_is_in_the_bibliography(written):
    keys = re.findall(r"@\w+\{(\w+),", (written / "icgd.bib").read_text())
    cited = set(re.findall(r"\\cite(?:\[[^]]*\])?\{(\w+)\}", (written / "report.tex").read_text()))
    assert cited <= set(keys) and len(keys) == len(set(keys))
    assert {"wu2025incontext", "chen2024looped", "davidson2001local"} <= cited


def test_shared_constants_and_bounds_are_shown_once(written):
    report = (written / "report.tex").read_text()
    mass = escape("mass of r in ReLU features (its sum of absolute weights) on the range of z in layers 1..2")
    assert report.count(mass) == 1
    assert report.count("One step of gradient descent takes") == 1
    assert r"The published bounds are those of \cref{sec:relu-icgd-lean}" in report


def test_names_are_cut_between_words():
    assert beginning(["icgdHeads"]) == "icgd"
    assert beginning(["icgdFindingAbCount", "icgdFindingAbCounted"]) == "icgdFindingAb"
    for start, ends in NamedNumbers(DOCUMENT).groups:
        assert all(rf"{start}{end}" == "\\" + macro[1:-2] for end, macro in ends)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(10**24, "1" + r",\allowbreak{}000" * 8), (float("inf"), r"\ensuremath{\infty}"), ("-inf", "-{}inf"),
     (False, "no"), (12345, r"\num{12345}"), (-0.5, r"\num{-0.5}"), (None, "--")],
)  # fmt: skip
def test_numbers_without_a_name(value, shown):
    assert number(value) == shown


def test_the_first_page_names_failures_first_and_then_the_gravest_findings():
    document = copy.deepcopy(DOCUMENT)
    labels = [one.label for one in notable(document)]
    assert labels[0] == "not reproduced" and labels[1:4] == ["error"] * 3 and "vacuous" in labels
    document["theorems"]["looped"]["verdicts"].append(
        {"claim": "looped/steps", "verdict": "failed", "evidence": "off by 2 " * 100, "replay": "icgd verify"}
    )
    first = notable(document)[0]
    assert first.label == "failed" and len(first.text) <= 460
    error = DOCUMENT["findings"][3]
    document["findings"] = [{**error, "key": str(i), "source": f"arXiv:1, Lemma {i}"} for i in range(40)]
    labels = [one.label for one in notable(document, most=6)]
    assert labels == ["failed"] + ["error"] * 5
    alike = [
        {**error, "key": str(i), "source": f"arXiv:1, {what} 2"}
        for i, what in enumerate(("Lemma", "proof of Lemma"))
    ]
    document["findings"] = alike
    assert [one.about for one in notable(document) if one.label == "error"] == ["0"]  # one for a statement
    assert sum(one.counts["failed"] for one in checked(document)) == 1
    made = sum(len(part["verdicts"]) for part in document["theorems"].values())
    told = f"Of {made} claims judged here by computation, 1 failed"
    assert failures_in_words(document).startswith(
        f"{told}; published statements that fail as written are findings, "
    )
    assert failures_in_words(document | {"findings": []}) == f"{told}."


def test_what_is_not_shown_depends_on_what_was_done():
    document = copy.deepcopy(DOCUMENT)
    assert any("float32" in one for one in not_shown(document))
    lacking = {"name": "start", "statement": "descent leaves 0", "status": "fails", "why": "r(0) = 0"}
    document["theorems"]["looped"]["hypotheses"] = [lacking]
    assert any("descent leaves 0: fails (r(0) = 0)" in one for one in not_shown(document))
    for part in document["theorems"].values():
        part["certificate"] = None
        if part.get("step_error"):
            part["step_error"]["bound"] = None
    assert not any("float32" in one for one in not_shown(document))
    assert any("sampled and attacked" in one for one in not_shown(document))
    assert not any("IEEE" in one for one in trusted(document))
    document["theorems"]["looped"]["trusted"] = ["exp(0) is within 16 ulps of 1"]  # a proof told in a verdict
    assert trusted(document)[0] == "exp(0) is within 16 ulps of 1"


@pytest.mark.slow
@needs_tex
def test_the_report_compiles_without_a_warning_on_few_pages(typed):
    assert typed.warnings == ()
    pages = pages_of(typed.pdf)
    assert len(pages) <= 21
    assert "Error of one step" in pages[0]
    first = " ".join(pages[0].split())
    for box in paper_boxes(DOCUMENT):
        assert box.title in first and all(one.said in first for one in box.fates)
    both = "".join(pages[:2])  # on the first page too, if there is room
    assert "What was checked" in both and "What is trusted" in both and "What is not shown" in both
    assert re.search(r"1\s+Every published statement", both)


@pytest.mark.slow
@needs_tex
def test_the_pdf_shows_every_number_every_claim_and_every_finding(typed):
    # A name may go on in the next column, and the number of the page stand between the two.
    pages = enumerate(pages_of(typed.pdf), start=1)
    text = plainly("".join(re.sub(rf"(?m)^{number}$", "", page) for number, page in pages))
    named = {one.macro: one for one in quantities(DOCUMENT)}
    for start, ends in NamedNumbers(DOCUMENT).groups:
        assert start in text
        for end, _ in ends:
            assert f"{end}{named[start[1:] + end].digits}" in text, (start, end)
    for part in DOCUMENT["theorems"].values():
        for verdict in part["verdicts"]:
            assert verdict["claim"].replace("_", "") in text.replace("_", ""), verdict
    for finding in DOCUMENT["findings"]:
        assert finding["key"] in text
    for part in (LEAN, PAPER):
        assert DOCUMENT["theorems"][part]["certificate"]["weights"] in text


@pytest.mark.slow
@needs_tex
def test_pages_are_full_fonts_are_outlines_and_nothing_typed_is_shown_raw(typed, tmp_path):
    fonts = subprocess.check_output(["pdffonts", typed.pdf], text=True)
    assert "Type 1" in fonts and "Type 3" not in fonts
    text = "".join(pages_of(typed.pdf)).partition("Every number")[0]
    assert not re.search(r"textbackslash|ensuremath|\b[A-Za-z]_[A-Za-z]\b|[A-Za-z)]\^[\d(]|\beps\b", text)
    assert not re.search(r"\b[a-z]'(?!\w)|\d+e-\d", text)  # straight primes, exponents as they are typed
    subprocess.run(["pdftoppm", "-r", "20", "-gray", typed.pdf, tmp_path / "page"], check=True)
    *pages, _ = sorted(tmp_path.glob("page*.pgm"))
    for page in pages:
        inked = [row for row, line in enumerate(np.asarray(Image.open(page))) if (line < 200).any()]
        tall = Image.open(page).height
        last = max(row for row in inked if row < 0.95 * tall)  # the number of the page is below
        assert last > 0.75 * tall, page.name


@pytest.mark.slow
@needs_tex
def test_the_same_document_gives_the_same_bytes(typed, figures, tmp_path):
    folder = tmp_path / "else where"
    again = typeset(write_source(DOCUMENT, figures, folder))
    assert again.pdf.read_bytes() == typed.pdf.read_bytes()
    assert {path.name for path in folder.iterdir() if path.suffix not in (".tex", ".bib")} == {
        "figures", "latex-build", "report.pdf", "theorems",
    }  # fmt: skip


def test_rows_of_the_plan_add_up(written):
    text = (written / "plan.tex").read_text()
    uses = re.findall(r"\$\\num\{(\d+)\} \\times \\num\{(\d+)\}\$", text)
    plans = [part["plan"]["units"] for part in DOCUMENT["theorems"].values() if part.get("plan")]
    assert len(plans) == 2 and sum(int(one) * int(relus) for one, relus in uses) == sum(plans)


def graded(*grades):
    """The document with findings of these bearings and severities, in turn."""
    document = copy.deepcopy(DOCUMENT)
    pairs = zip(document["findings"], itertools.cycle(grades))
    document["findings"] = [
        one | {"bearing": bearing, "severity": severity, "reproduces": True}
        for one, (bearing, severity) in pairs
    ]
    return document


def test_findings_stand_under_their_severity_with_the_statement_and_its_words(tmp_path):
    document = graded(("confirms", "none"), ("error", "statement"), ("gap", "constants"), ("error", "proof"))
    document["findings"][0] |= {
        "quotation": "for the paper's C^4",
        "repair": "Write r' for r.",
        "statement": "Lemma 2",
    }
    text = write_source(document, (), tmp_path).read_text()
    headings = [
        rf"\textbf{{{SEVERITY_NAMES[one].capitalize()}}}"
        for one in ("statement", "proof", "constants", "none")
    ]
    places = [text.index(heading) for heading in headings]
    assert places == sorted(places)
    sentence = escape(tally_document(document["findings"])["sentence"])
    assert text.count(sentence) == 2  # the first page, and the section
    assert text.count(f"{escape(failures_in_words(document))}\n") == 1
    assert (
        r"``for the paper\textquoteright{}s \ensuremath{C^{4}}''" in text and "textquotedblleft" not in text
    )
    assert r"\emph{Repair:} Write \ensuremath{r'} for \ensuremath{r}." in text and r"\textbf{Lemma 2}" in text
    labels = [one.label for one in notable(document)]
    assert labels[:2] == ["error", "error"]
    for one in document["findings"]:
        assert escape(printed(one["claim"])) in text and escape(printed(one["text"])) in text


def test_questions_are_answered_with_the_claims_they_come_from(written, tmp_path):
    for file in ("report", "questions"):
        text = (written / f"{file}.tex").read_text()
        for one in DOCUMENT["questions"]:
            assert rf"\textbf{{{escape(printed(one['question']))}}}" in text
            assert escape(printed(one["answer"])) in text and escape(one["asked_by"]) in text
            assert all(code(key) in text for key in one["claims"])
        assert r"\icgdverdict{failed} to reproduce" in text
        assert r"\ensuremath{C^{4}} costs 50\%" in text and r"\ensuremath{-}0.5 at \ensuremath{r'}" in text
    alone = write_source(DOCUMENT | {"questions": []}, (), tmp_path).read_text()
    assert "Questions that reviewers asked" not in alone


def test_what_no_checker_saw_is_not_called_certified(tmp_path):
    document = copy.deepcopy(DOCUMENT)
    document["theorems"] = {LEAN: document["theorems"][LEAN] | {"certificate": None, "verdicts": []}}
    text = write_source(document, (), tmp_path).read_text()
    assert text.count(escape(UNCHECKED)) >= 4 and not re.search(
        r"\bcertified\b(?! (?:local|lower))", prose_of(text)
    )
    macros = (tmp_path / "icgd-numbers.tex").read_text()
    assert "Certified" not in macros and r"\newcommand{\icgdErrorBound}" in macros
    assert PLANNER in trusted(document) and PLANNER not in trusted(DOCUMENT)
    document["theorems"][PAPER] = DOCUMENT["theorems"][PAPER]
    mixed = (write_source(document, (), tmp_path).parent / "sandwich.tex").read_text()
    assert "prover, not checked" in mixed.replace("{}", "") and "checker (certified)" in mixed


def test_page_one_has_the_step_error_of_every_theorem_that_knows_one(tmp_path):
    document = copy.deepcopy(DOCUMENT)
    verdict = {"claim": "looped/step-error", "verdict": "proved", "means": "certificate", "evidence": "e"}
    document["theorems"]["looped"]["verdicts"].append(verdict)
    document["theorems"]["looped"]["step_error"] = dict.fromkeys(
        ("sampled", "attacked", "bound", "certified", "allowed"), 0.125
    )
    text = write_source(document, (), tmp_path).read_text()
    table = boxes(text[text.index("Error of one step") :], r"\midrule", r"\bottomrule")[0]
    assert [row.split(" & ")[0] for row in table.strip().splitlines()] == [
        code(LEAN),
        code(PAPER),
        code("looped"),
    ]
    assert r"\icgdLoopedErrorCertified{}" in table and r"\emph{certified}" in text


def prose_of(text):
    """The report without its findings, names of macros and constants, which are words of the document."""
    body = text[text.index("A ReLU transformer") :]
    body = re.sub(
        r"\\begin\{icgdlist\}\{\\captionof\{table\}\{Explicit constants.*?\\end\{icgdlist\}",
        "",
        body,
        flags=re.DOTALL,
    )
    return re.sub(r"\\icgd\w+|icgdPlan\w*", "", body).partition("What computed this")[0]


def test_a_letter_left_to_the_theorem_is_shown_with_the_value_it_chose(tmp_path):
    document = copy.deepcopy(DOCUMENT)
    document["theorems"]["looped"]["chosen"] = {"eta": 0.0625}
    text = write_source(document, (), tmp_path).read_text()
    assert r"$\eta = \icgdLoopedLettereta{}\text{ (automatic)}$" in text or r"\text{ (automatic)}" in text
    assert 0.0625 in [one.value for one in quantities(document) if one.place == "looped problem eta"]


def test_a_symbol_with_two_values_says_whose_each_is(tmp_path):
    document = copy.deepcopy(DOCUMENT)
    bounds = document["theorems"][LEAN]["bounds"]
    own, published = bounds["relu-icgd/lean/heads"], bounds["relu-icgd/heads"]
    own["constants"] |= {"B_q": {"value": 1.5, "meaning": "one offset"}}
    published["constants"] |= {"B_q": {"value": 2.5, "meaning": "one offset"}}
    text = write_source(document, (), tmp_path).read_text()
    found = re.findall(r"\$B_\{\\mathrm\{q\}\}\$|\$B_\{q\}\$", text)
    assert len(found) == 2 and "one offset; in relu" in text


@pytest.mark.parametrize(
    ("typed", "shown"),
    [("icgd audit --inputs é", r"\texttt{icgd audit"), ("icgd audit --inputs 日", "not printable here")],
)
def test_a_command_is_printed_as_typed_or_not_at_all(typed, shown):
    made = command(typed)
    assert shown.split()[0] in made.replace(r"\icgdbreak{}", "") and "U+" not in made
    assert ("not printable here" in made) == ("日" in typed)


def test_texts_end_with_a_sentence_and_counts_with_their_verb():
    assert whole_sentences("One. Two is 0.5. Three.", 17) == "One. Two is 0.5."
    document = copy.deepcopy(DOCUMENT)
    document["findings"] = [DOCUMENT["findings"][0] | {"bearing": "open"}]
    assert any(one.startswith("1 finding is open") for one in not_shown(document))


def boxes(text, start, end):
    """What stands between the marks, wherever they come."""
    return re.findall(re.escape(start) + "(.*?)" + re.escape(end), text, flags=re.DOTALL)


def test_what_is_narrow_stands_in_two_columns_and_nothing_is_shown_twice(written, figures):
    text = (written / "report.tex").read_text()
    narrow = "".join(boxes(text, r"\begin{multicols}{2}", r"\end{multicols}"))
    for figure in figures:
        assert text.count(f"figures/{figure.name}.pdf") == 1
        assert (f"figures/{figure.name}.pdf" in narrow) == (figure.name not in ("examples", "other"))
    for part in DOCUMENT["theorems"].values():
        for grid in part.get("grids") or ():
            assert len(boxes(text, rf"{{{escape(grid['title'])}", r"\bottomrule")) == 1


def test_a_wide_figure_of_a_theorem_may_wait_until_a_page_has_room(written):
    report = (written / "report.tex").read_text()
    for name in ("examples", "distance", "other"):  # the first is wide, the last of no theorem
        before = report[: report.index(f"figures/{name}.pdf")].rpartition(r"\begin{icgdblock}")[0]
        assert before.endswith(r"\icgdwide{") == (name == "examples")
    places = [report.index(mark) for mark in ("examples.pdf", "\\icgdwaiting\n", "\\icgdlast\n")]
    assert places == sorted(places) and report.count("\\icgdlast\n") == 1
    assert report.index(r"Claims and verdicts.", places[1]) < places[2] < report.index(r"\appendix")


@pytest.mark.slow
@needs_tex
def test_a_figure_without_room_stands_after_what_fills_the_page_and_none_overtakes_it(written, tmp_path):
    for name in ("icgd-preamble.tex", "icgd-numbers.tex"):
        shutil.copy(written / name, tmp_path)
    small, tall, low, late = (
        rf"\icgdwide{{\begin{{icgdblock}}\rule{{9cm}}{{{share}\textheight}}\captionof{{figure}}{{{name}.}}"
        rf"\label{{{name}}}\end{{icgdblock}}}}"
        for name, share in (("Small", 0.1), ("Tall", 0.5), ("Low", 0.1), ("Late", 0.3))
    )
    filling = r"\rule{1cm}{.5\textheight}\par"
    body = (
        rf"{filling}{small}{tall}{low} Text.\par\icgdwaiting Claims.\par\icgdlast End.\par{late} \icgdwaiting"
    )
    tex = tmp_path / "figures.tex"
    preamble = (written / "report.tex").read_text("utf-8").partition(r"\begin{document}")[0]
    tex.write_text(
        rf"{preamble}\begin{{document}}{body} After.\par\clearpage\icgdwaiting\end{{document}}", "utf-8"
    )
    made = typeset(tex)
    assert made.pdf is not None and made.warnings == (), made
    words = [set(re.findall(r"[A-Z][a-z]+(?: \d: [A-Z][a-z]+)?\.", page)) for page in pages_of(made.pdf)]
    assert words == [
        {"Figure 1: Small.", "Text.", "Claims."},
        {"Figure 2: Tall.", "Figure 3: Low.", "End.", "After."},
        {"Figure 4: Late."},
    ]


def test_no_row_ends_or_begins_a_table_alone(written):
    tables = boxes((written / "report.tex").read_text(), r"\endfoot", r"\end{longtable}")
    assert len(tables) > 3
    for table in tables:
        rows = [line for line in table.splitlines() if line.strip()]
        kept = [row.endswith(r"\\*") for row in rows]
        assert kept == [index in (0, len(rows) - 2) for index in range(len(rows))]


def test_a_title_alone_stays_with_its_formula(written):
    report = (written / "report.tex").read_text()
    shown = boxes(report, r"\par\noindent\textbf{Condition number of Gaussian data}", r"\par\noindent\textbf")
    assert r"\predisplaypenalty" not in shown[0]  # it has a statement between
    bounds = report.partition(r"\label{sec:relu-icgd-lean}")[2].partition(r"\begin{multicols}")[0]
    for bound in bounds.split(r"\par\noindent\textbf{")[1:]:
        title, display, _ = bound.partition(r"\[")
        if display:
            assert ("{\\predisplaypenalty=10000\n" in title) == (title.count(".\n") == 1), title
    assert r"\predisplaypenalty=10000" in bounds


def bare():
    """A document in which all that can be missing is missing, and what can be odd is odd."""
    document = copy.deepcopy(DOCUMENT)
    del document["findings"], document["questions"], document["command"]
    theorems = document["theorems"]
    odd = "t/(1+exp(-t)) % & _ # ~ ^ \\ {"
    lean = theorems[LEAN]
    lean["construction"] = "exact"
    lean["step_error"] = {
        "sampled": 1e-15, "attacked": 2e-15, "bound": None, "allowed": 0.005,
        "bound_off_margin": 3e-13,
    }  # fmt: skip
    lean["search"] |= {"prompts": 2000, "admitted": 1060}
    lean["certificate"] = lean["plan"] = None
    lean["trajectory"]["errors"][1] = 0.0058
    lean["enclosures"], lean["problem"]["activation"] = [], odd
    lean["verdicts"][0] |= {
        "verdict": "failed",
        "evidence": odd,
        "replay": f"icgd verify --activation '{odd}'",
    }
    lean["hypotheses"] = [
        {"name": "r-smooth", "statement": "r is C^4", "status": "holds", "why": odd, "holds": ""},
        {"name": "radii", "status": "fails", "why": "", "holds": "no bound & no claim"},
    ]
    lean["bounds"]["relu-icgd/heads"]["value"] = "inf"
    for key in ("plan", "trajectory", "certificate", "enclosures", "census", "step_error", "grids", "plots"):
        theorems[PAPER].pop(key, None)
    theorems[PAPER]["certificate"] = DOCUMENT["theorems"][PAPER]["certificate"] | {
        "accepted": False, "refusal": "a lemma does not hold & 50%", "float32": 0.06,
    }  # fmt: skip
    theorems["looped"]["grids"] = [
        {"title": odd, "note": odd, "columns": ["x" * 60, odd, "y"], "rows": [["z" * 90, float("inf"), None]]}
    ]
    theorems["looped"]["source"] = "arXiv:1234.56789, Lemma 1; icgd"
    theorems["looped"]["bounds"]["looped/rate"] = {
        "title": odd, "statement": odd, "hypotheses": [], "expression": "zeta(x)" + " + zeta(x)" * 60,
        "latex": r"\zeta(x)" + r" + \zeta(x)" * 60, "value": 1.5, "relation": "<=", "quantity": "rate",
        "source": "icgd", "constants": {},
    }  # fmt: skip
    return document


def test_missing_parts_are_left_out(tmp_path):
    report = write_source(bare(), (), tmp_path).read_text()
    assert "Findings" not in report and "off the margin" in report
    assert "does not accept the certificate" in report
    assert re.search(r"In single precision: .*\\eta \\cdot \\icgd\w*FloatThreeTwo", report)  # rounded up
    assert "arxiv123456789" in (tmp_path / "icgd.bib").read_text()
    left_out = escape("47% of the random prompts (940 of 2,000)")
    end = report.index(r"\section{")
    first, rest = report[:end], report[end:]
    assert first.count(left_out) == 2 and "no bound and may exceed what is allowed" in first
    assert "they reach 0.0058" in first and left_out in (tmp_path / "sandwich.tex").read_text()
    assert left_out in boxes(rest, r"\captionof{table}{5 steps", r"\begin{icgdtable}")[0]
    assert "Tolerance plan" not in report and r"\ensuremath{\infty}" in report


@pytest.mark.slow
@needs_tex
def test_a_document_of_odds_and_ends_compiles(tmp_path):
    made = typeset(write_source(bare(), (), tmp_path))
    assert made.pdf is not None, made.message
    assert made.warnings == ()


@pytest.mark.slow
@needs_tex
def test_one_theorem_alone_with_long_words_on_the_first_page(tmp_path):
    document = copy.deepcopy(DOCUMENT)
    document["theorems"] = {LEAN: document["theorems"][LEAN]}
    document["findings"] = [
        {**one, "key": f"{one['key']}-{chr(97 + i) * 60}", "text": "A long sentence about W. " * 60}
        for i in range(12)
        for one in DOCUMENT["findings"]
    ]
    document["command"] = "icgd report relu-icgd --data " + "folder/" * 30
    trust = {"trusted": [f"line {i} {'word ' * 30}" for i in range(30)]}
    document["theorems"][LEAN]["certificate"] = document["theorems"][LEAN]["certificate"] | trust
    made = typeset(write_source(document, (), tmp_path))
    assert made.pdf is not None, made.message
    assert made.warnings == ()
    pages = pages_of(made.pdf)
    assert "What is trusted" in pages[1] and "What is not shown" in pages[1] + pages[2]


def test_comments_keep_every_letter_of_a_users_file(figures, tmp_path):
    asked = "icgd audit --data 'Größe ≥ 5\u202e.csv'"
    write_source(copy.deepcopy(DOCUMENT) | {"command": asked}, figures, tmp_path)
    first = (tmp_path / "icgd-numbers.tex").read_text("utf-8").splitlines()[1]
    assert first == r"% Written by: icgd audit --data 'Größe ≥ 5\u202e.csv'"
