"""LaTeX fragments: papers of several styles input them, packages in any order, and nothing is overfull."""

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from icgd.bounds.letters import ProblemError
from icgd.reports.latex.macros import check_prefix
from icgd.reports.latex.source import FRAGMENTS, write_source
from icgd.reports.latex.typeset import typeset
from icgd.reports.mathematics.notation import code

DOCUMENT = json.loads((Path(__file__).parents[1] / "data" / "document_latex.json").read_text())
LEAN, PAPER = "relu-icgd/lean", "relu-icgd/paper"
needs_tex = pytest.mark.needs("latexmk", "pdftotext", "pdffonts")

CONFERENCE = r"""
\ProvidesPackage{conference}
\RequirePackage{natbib}
\renewcommand{\rmdefault}{ptm}
\setlength{\textwidth}{5.5in}\setlength{\textheight}{9in}\setlength{\oddsidemargin}{.5in}
\setlength{\topmargin}{-.4in}\setlength{\parindent}{0pt}\setlength{\parskip}{5.5pt}
\renewcommand{\section}{\@startsection{section}{1}{0pt}{-2ex}{1.5ex}{\large\bfseries\raggedright}}
"""
"""A narrow page in Times with author-year citations, as conferences on machine learning have it."""

STYLES = {
    # In the papers' own words: the class, what precedes our preamble, and what follows it.
    "article": (
        "[11pt]{article}",
        r"\usepackage[margin=1in]{geometry}",
        r"\usepackage[dvipsnames,table]{xcolor}\usepackage[fleqn]{amsmath}\usepackage{hyperref}"
        r"\usepackage[capitalise]{cleveref}\let\pdfstrcmp\undefined",  # which LuaTeX and XeTeX do not have
    ),
    # A class of two columns is lax about spaces, unless a style asks it to be as strict as in one.
    "columns": (
        "[twocolumn]{article}",
        r"\usepackage{cleveref}\usepackage[svgnames]{xcolor}",
        r"\AtBeginDocument{\fussy}",
    ),
    "conference": (
        "{article}",
        r"\usepackage{conference}\usepackage{hyperref}\usepackage{amsmath,amsthm,amssymb,mathtools}",
        r"\usepackage{cleveref}\usepackage[group-digits=none]{siunitx}",
    ),
}


@pytest.fixture(scope="module")
def runs(figures, tmp_path_factory):
    """The reports of two runs that differ in one letter, each with a beginning of its own for its macros."""
    folder = tmp_path_factory.mktemp("runs")
    other = copy.deepcopy(DOCUMENT)
    other["theorems"][LEAN]["census"]["heads"] = 57
    write_source(DOCUMENT, figures, folder / "small", "small")
    write_source(other, figures, folder / "large", "large")
    return folder


def pages_of(pdf):
    text = subprocess.run(["pdftotext", pdf, "-"], capture_output=True, text=True, check=True).stdout
    return text.split("\f")[:-1]


def fragments(folder):
    """All fragments of a report, those of single theorems among them, as a paper names them."""
    texts = (path for path in folder.rglob("*.tex") if path.stem in FRAGMENTS)
    return sorted(path.relative_to(folder.parent).with_suffix("").as_posix() for path in texts)


@pytest.mark.slow
@needs_tex
@pytest.mark.parametrize("style", STYLES)
def test_a_paper_of_this_style_inputs_every_fragment_of_two_runs(runs, tmp_path, style):
    shutil.copytree(runs, tmp_path, ignore=shutil.ignore_patterns("report.*"), dirs_exist_ok=True)
    (tmp_path / "conference.sty").write_text(CONFERENCE)
    kind, before, after = STYLES[style]
    whole = fragments(tmp_path / "small") + [f"large/{name}" for name in ("census", "figures")]
    assert len(whole) > 2 * len(FRAGMENTS)
    body = "".join(rf"\clearpage\section{{Next}}Words. \input{{{name}}}" for name in whole)
    text = (
        rf"\documentclass{kind}{before}\input{{small/icgd-preamble}}\input{{large/icgd-preamble}}{after}"
        r"\newcommand{\smallFolder}{small/}\newcommand{\largeFolder}{large/}"
        r"\input{small/icgd-numbers}\input{large/icgd-numbers}\begin{document}"
        r"We need \smallHeads{} heads, not \largeHeads{}: \begin{equation}\label{eq}x=1\end{equation} "
        rf"\nocite{{*}} Seed \smallSeed, icgd \smallVersion, by \largeCommand: \smallCertificateHash. {body}"
        rf"\bibliographystyle{{plain{'nat' * (style == 'conference')}}}"
        r"\bibliography{small/icgd}\end{document}"
    )
    (tmp_path / "paper.tex").write_text(text)
    made = typeset(tmp_path / "paper.tex")
    assert made.pdf is not None, made.message
    # The same float of all theorems and of one has the same label twice: a paper takes one of them.
    told = [one for one in made.warnings if not one.startswith("Underfull") and "multiply" not in one]
    assert told == []
    if style == "conference":  # the oldest encoding of Computer Modern has bullets in a bitmap font alone
        assert "Type 3" not in subprocess.check_output(["pdffonts", made.pdf], text=True)
    printed = "".join(pages_of(made.pdf))
    assert "We need 13 heads, not 57" in " ".join(printed.split())
    assert DOCUMENT["theorems"][LEAN]["hashes"]["certificate"] in re.sub(r"\s", "", printed)


def test_a_fragment_of_one_theorem_has_nothing_of_another(runs, written):
    census = (runs / "small" / "theorems" / "looped" / "census.tex").read_text()
    assert r"\smallLoopedLayers{}" in census and r"\smallHeads" not in census
    assert not (runs / "small" / "theorems" / "looped" / "plan.tex").exists()
    for part in (
        "relu-icgd-lean",
        "relu-icgd-paper",
    ):  # what a section leaves out since another has it is there
        text = (written / "theorems" / part / "constants.tex").read_text()
        assert all(rf"\icgdrow{{${letter}$}}" in text for letter in ("N", "K", "d"))
    findings = (written / "theorems" / "looped" / "findings.tex").read_text()
    shown = {one["key"] for one in DOCUMENT["findings"] if code(one["key"]) in findings}
    assert shown == {one["key"] for one in DOCUMENT["findings"] if one["theorem"] == "looped"}


def test_names_of_macros_begin_with_the_prefix_and_no_others_do(runs, written):
    plain, small = ((folder / "icgd-numbers.tex").read_text() for folder in (written, runs / "small"))
    defined = re.findall(r"^\\newcommand\{\\(\w+)\}", small, re.MULTILINE)
    assert len(defined) == len(set(defined)) and all(name.startswith("small") for name in defined)
    assert re.sub(r"\bsmall(?=[A-Z])", "icgd", small) == plain
    for prefix in ("a1", "", "end", "endless", "é", "a b", "a" * 31):
        with pytest.raises(ProblemError, match="prefix"):
            check_prefix(prefix)
    assert check_prefix("large") == "large"


def test_the_name_of_a_claim_breaks_between_its_words_alone(written):
    text = (written / "claims.tex").read_text()
    for part in DOCUMENT["theorems"].values():
        for verdict in part["verdicts"]:
            words = re.split(r"(?<=/)", verdict["claim"])
            shown = r"\icgdword{}".join(word.replace("-", "-{}").replace("_", r"\_") for word in words)
            assert rf"\texttt{{{shown}}}" in text


PAGE = (Path(__file__).parents[3] / "docs" / "quoting-numbers.md").read_text(encoding="utf-8")


def test_the_page_for_authors_names_every_fragment_and_no_other():
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE.partition("## The tables")[2], re.MULTILINE)
    assert sorted(re.findall(r"\w+", " ".join(rows))) == sorted(FRAGMENTS)


@pytest.mark.slow
@needs_tex
def test_the_paper_on_the_page_for_authors_compiles(runs, tmp_path):
    shutil.copytree(runs / "small", tmp_path / "results" / "report")
    (block,) = re.findall(r"^    \\documentclass(?:.*\n)*?    \\end\{document\}$", PAGE, re.MULTILINE)
    (tmp_path / "paper.tex").write_text(re.sub("^    ", "", block, flags=re.MULTILINE))
    made = typeset(tmp_path / "paper.tex")
    assert made.pdf is not None, made.message
    text = " ".join(" ".join(pages_of(made.pdf)).split())
    assert "The construction has 13 heads in 7 layers." in text
    assert re.search(r"\bReferences \[1\] \w", text)
    parameters = DOCUMENT["theorems"][LEAN]["census"]["parameters"]
    assert parameters >= 1000 and f"{parameters:,}" in text
