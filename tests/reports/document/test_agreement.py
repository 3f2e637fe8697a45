"""PDF, HTML and JSON of one audit agree on every number."""

import json
import re
import subprocess
from html.parser import HTMLParser

import pytest

from icgd import cli
from icgd.reports.document.numbers import grouped, quantities
from icgd.reports.document.shape import AuditDocument
from icgd.reports.document.upgrade import load

QUICK = ["--samples", "2000", "--effort", "0.1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The report of an audit of everything, with a light search."""
    out = tmp_path_factory.mktemp("audit")
    assert cli.main(["audit", *QUICK, "--out", str(out), "--json", str(out / "audit.json")]) == cli.KEPT
    return out / "report"


@pytest.fixture(scope="module")
def document(folder):
    return load(folder / "report.json")


class Data(HTMLParser):
    """The <data> elements of a page that have an id: id -> (value, text)."""

    def __init__(self):
        super().__init__()
        self.found, self.inside = {}, None

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "data" and "id" in given:
            self.inside = given["id"]
            assert self.inside not in self.found
            self.found[self.inside] = [given["value"], ""]

    def handle_data(self, text):
        if self.inside:
            self.found[self.inside][1] += text

    def handle_endtag(self, tag):
        if tag == "data":
            self.inside = None


def printed(value, up):
    """What pdftotext makes of siunitx's number: powers of ten lose their superscript."""
    mantissa, _, exponent = grouped(value, up=up).partition("e")
    return f"{mantissa}×10{exponent}".replace("-", "−") if exponent else mantissa.replace("-", "−")


@pytest.mark.slow
def test_an_audit_of_no_theorem_is_an_audit_of_all(folder, document):
    assert {"relu-icgd/lean", "relu-icgd/paper", "looped", "functional"} <= set(document["theorems"])
    proved = {v["claim"] for v in document["verdicts"] if v["verdict"] == "proved"}
    ours = {f"relu-icgd/{construction}/step-error" for construction in ("lean", "paper")}
    assert ours | {"softmax-icgd/step-error", "looped/steps"} <= proved
    assert len({v["claim"] for v in document["verdicts"]}) == len(document["verdicts"])
    assert document["findings"] and all(entry["reproduces"] for entry in document["findings"])
    assert json.loads((folder.parent / "audit.json").read_text()) == document


@pytest.mark.slow
def test_every_theorem_has_a_document_of_the_type(document, misfits):
    assert list(misfits(document, AuditDocument)) == []


@pytest.mark.slow
def test_the_json_names_its_own_numbers(document):
    assert document["numbers"] == {one.macro: one.value for one in quantities(document)}
    assert len(document["numbers"]) > 300


@pytest.mark.slow
def test_every_number_of_the_json_is_in_the_html(folder, document):
    data = Data()
    page = (folder / "report.html").read_text()
    data.feed(page)
    for one in quantities(document):
        value, text = data.found[one.macro]
        assert json.loads(value) == one.value and text == grouped(one.value, up=one.up)
    assert len(page) < 3e6


@pytest.mark.slow
def test_every_number_of_the_json_is_a_macro(folder, document):
    text = (folder / "icgd-numbers.tex").read_text()
    macros = dict(re.findall(r"\\newcommand\{\\(\w+)\}\{(.*?)\}\s*%", text))
    for one in quantities(document):
        assert one.digits in macros[one.macro]


@pytest.mark.slow
@pytest.mark.needs("latexmk", "pdftotext")
def test_every_number_of_the_json_is_in_the_pdf(folder, document):
    command = ["pdftotext", str(folder / "report.pdf"), "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert text.count("\f") <= 36
    text = text[text.rindex("Every number") :]
    lines = [line for line in text.splitlines() if not re.fullmatch(r"\s*\d+\s*", line)]  # page numbers
    found = {}
    for group in " ".join(lines).split("\\icgd")[1:]:
        prefix, rest = re.match(r"(\w*?)[\s.]*?\. \. \. (.*)", group).groups()
        for item in rest.strip().split(", "):
            name, value = re.fullmatch(r"([A-Za-z ]+) (.*)", item.replace("\f", "")).groups()
            found["icgd" + prefix + name.replace(" ", "")] = value.replace(" ", "")
    expected = {one.macro: printed(one.value, one.up) for one in quantities(document)}
    assert found == expected
