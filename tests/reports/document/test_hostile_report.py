"""A tampered report.json: none of its strings becomes a LaTeX command, an HTML element or a script."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from icgd.reports.document.shape import AuditDocument
from icgd.reports.document.upgrade import load
from icgd.reports.html.page import page
from icgd.reports.latex.source import write_source
from icgd.reports.mathematics.allowed import is_mathematics
from icgd.reports.mathematics.formulas import formula
from icgd.reports.mathematics.notation import displayed, statement, symbol
from tests.forged_files import fuzzed

DATA = Path(__file__).parents[1] / "data"
HARM = (
    r"""\pwn{/etc/hostname}^^5cpwn $\pwn$ \\% <script>pwn()</script>"><img src=x onerror='pwn()'>"""
    + "\x1b\udcff"
)
WORDS = {"verdict", "means", "about", "bearing", "severity", "status", "relation"}
"""Keys of words from a short list: icgd.reports.document.upgrade refuses any other word."""


def tampered(value, key=""):
    """The same with harm at the end of every text and of every name that is free."""
    if isinstance(value, dict):
        end = HARM if key in ("census", "terms", "constants") else ""
        more = {HARM: 1, "}": 2} if key == "problem" else {HARM: HARM} if key == "versions" else {}
        return {one + end: tampered(item, one) for one, item in value.items()} | more
    if isinstance(value, list):
        return [tampered(item, key) for item in value]
    harm = HARM.replace("/", "") if key == "key" else HARM  # what is behind a slash names a finding's numbers
    free = isinstance(value, str) and key not in WORDS and value not in ("inf", "-inf", "nan")
    return value + harm if free else value


@pytest.mark.parametrize("name", ["document_latex", "document_html"])
def test_no_text_becomes_a_command_of_latex(name, figures, tmp_path):
    write_source(tampered(json.loads((DATA / f"{name}.json").read_text())), figures, tmp_path)
    sources = list(tmp_path.glob("*.tex"))
    assert len(sources) > 8
    for path in sources:
        text = re.sub(r"(?<!\\)%.*", "", path.read_text())
        assert r"\pwn" not in text and "^^" not in text, path.name
    assert "textbackslash{}" in (tmp_path / "report.tex").read_text()


@pytest.mark.parametrize(
    "take", [statement, displayed, symbol, lambda text: formula(text, [text], text).lines[0]]
)
@pytest.mark.parametrize("harm", [HARM, r"\pwn", r"x \pwn", "^^5cpwn", r"K \\%", r"}\pwn{", r"$\csname pwn$"])
def test_only_mathematics_is_set_as_it_stands(take, harm):
    made = take(harm)
    assert r"\pwn" not in made and r"\csname" not in made and "^^" not in made
    assert not re.search(r"(?<!\\)(?:\\\\)+%", made)


@pytest.mark.parametrize(
    "command",
    [
        "input",
        "include",
        "openin",
        "read",
        "write",
        "def",
        "csname",
        "catcode",
        "begin",
        "verb",
        "href",
        "special",
    ],
)
def test_a_command_that_does_more_than_draw_is_no_mathematics(command):
    assert not is_mathematics(rf"$x \{command}{{y}}$")


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found |= {(tag, name) for name, _ in attrs} | {(tag, "")}


def test_no_text_becomes_an_element_of_the_page():
    document = json.loads((DATA / "document_html.json").read_text())
    clean, harmed = page(document, []), page(tampered(document), [])
    assert "pwn" in harmed
    new = Elements(harmed).found - Elements(clean).found
    assert {tag for tag, _ in new} <= {"code", "math", "mi", "mo", "mn", "mrow", "mtext", "msup", "span"}
    assert not any(name.startswith("on") or name in ("src", "href") for _, name in new)
    assert harmed.count("<script") == clean.count("<script")


def test_a_damaged_report_has_its_types_and_says_what_its_file_says_or_is_refused(tmp_path, misfits):
    whole = json.loads((DATA / "document_html.json").read_text("utf-8"))
    part = dict(whole["theorems"]["relu-icgd/lean"]) | {"plots": [], "grids": [], "hypotheses": []}
    part["bounds"] = dict(list(part["bounds"].items())[:1])
    few = {"theorems": {"relu-icgd/lean": part}, "findings": whole["findings"][:1], "questions": []}
    honest = json.dumps(whole | few | {"verdicts": part["verdicts"], "numbers": {}}).encode()
    shown = 0
    for mutant, found in fuzzed(tmp_path / "r.json", honest, 2000, load):
        wrong = misfits(found, AuditDocument)
        assert [one for one in wrong if not re.search("is missing$|is no key$", one)] == []
        said = json.loads(mutant)
        if said.get("schema") == found["schema"] and shown < 20:  # what is said is what the page shows
            shown += 1
            for name, one in said["theorems"].items():
                for key in one.keys() & {"problem", "census", "step_error", "search"}:
                    assert found["theorems"][name][key] == one[key]
                for given, read in zip(one["verdicts"], found["theorems"][name]["verdicts"], strict=True):
                    assert (given["claim"], given["verdict"]) == (read["claim"], read["verdict"])
