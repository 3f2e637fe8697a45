"""LaTeX fragments: a paper in one column or two can input each, and nothing is overfull."""

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from icgd.reports.latex.source import FRAGMENTS, write_source
from icgd.reports.latex.typeset import typeset

DOCUMENT = json.loads((Path(__file__).parents[1] / "data" / "document_latex.json").read_text())
LEAN, PAPER = "relu-icgd/lean", "relu-icgd/paper"
needs_tex = pytest.mark.needs("latexmk", "pdftotext")


def pages_of(pdf):
    text = subprocess.run(["pdftotext", pdf, "-"], capture_output=True, text=True, check=True).stdout
    return text.split("\f")[:-1]


def paper(body, options=""):
    margins = "" if options else r"\usepackage[margin=1in]{geometry}"
    return (
        rf"\documentclass[{options}]{{article}}{margins}"
        r"\input{icgd-preamble}\input{icgd-numbers}\begin{document}\emergencystretch=3em "
        rf"We need \icgdHeads{{}} heads, not \icgdBoundHeads. \nocite{{*}}{body}"
        r"\bibliographystyle{plain}\bibliography{icgd}\end{document}"
    )


@pytest.mark.slow
@needs_tex
def test_a_foreign_paper_can_input_every_fragment(written, tmp_path):
    folder = tmp_path / "paper"
    shutil.copytree(written, folder, ignore=shutil.ignore_patterns("latex-build", "report.*"))
    body = "".join(rf"\section{{{name}}}\input{{{name}}}" for name in FRAGMENTS)
    (folder / "paper.tex").write_text(paper(body))
    made = typeset(folder / "paper.tex")
    assert made.pdf is not None, made.message
    assert made.warnings == ()
    assert "We need 13 heads, not 3 726 826 744." in " ".join("".join(pages_of(made.pdf)).split())


@pytest.mark.slow
@needs_tex
def test_a_paper_in_two_columns_can_input_every_fragment(written, tmp_path):
    folder = tmp_path / "paper"
    shutil.copytree(written, folder, ignore=shutil.ignore_patterns("latex-build", "report.*"))
    body = "".join(rf"\section{{{name}}}\input{{{name}}}" for name in FRAGMENTS)
    (folder / "paper.tex").write_text(paper(body, "twocolumn"))
    made = typeset(folder / "paper.tex")
    assert made.pdf is not None, made.message
    assert not [one for one in made.warnings if not one.startswith("Underfull")]


@pytest.mark.slow
@needs_tex
def test_fragments_of_all_theorems_fit_a_plain_article(tmp_path):
    document, looped = copy.deepcopy(DOCUMENT), DOCUMENT["theorems"]["looped"]
    claims = ("critical-point", "linear-semidefinite", "largest-eigenvalue")
    for name in ("softmax-icgd", "preconditioned", "functional"):
        judged = [looped["verdicts"][0] | {"claim": f"{name}/theorem-3/{claim}"} for claim in claims]
        document["theorems"][name] = looped | {
            "census": DOCUMENT["theorems"][LEAN]["census"], "verdicts": judged, "bounds": {},
        }  # fmt: skip
    write_source(document, (), tmp_path)
    body = "".join(rf"\section{{{name}}}\input{{{name}}}" for name in FRAGMENTS)
    body += r" Seed \icgdSeed, icgd \icgdVersion, by \icgdCommand: \icgdCertificateHash."
    body += r" \icgdPaperWeightsHash."
    preamble = r"\documentclass{article}\input{icgd-preamble}\input{icgd-numbers}\begin{document}"
    end = r"\bibliographystyle{plain}\bibliography{icgd}\end{document}"
    (tmp_path / "plain.tex").write_text(preamble + body + end)
    made = typeset(tmp_path / "plain.tex")
    assert made.pdf is not None, made.message
    assert not [one for one in made.warnings if not one.startswith("Underfull")]
    text = re.sub(r"\s", "", "".join(pages_of(made.pdf)))
    hashed = DOCUMENT["theorems"][LEAN]["hashes"]["certificate"]
    assert hashed in text and DOCUMENT["theorems"][PAPER]["hashes"]["weights"] in text
