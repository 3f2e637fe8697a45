"""PDF, HTML and JSON of one audit agree on every number."""

import io
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from icgd import cli
from icgd.reports.command.terminal import show_numbers
from icgd.reports.document.first_page import trusted
from icgd.reports.document.numbers import grouped, quantities
from icgd.reports.document.shape import AuditDocument
from icgd.reports.document.upgrade import load
from icgd.reports.html.page import page
from icgd.reports.html.shown_numbers import PageNumbers
from icgd.reports.latex.macros import NamedNumbers
from icgd.reports.latex.source import write_source

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


def printed(value, up, down):
    """What pdftotext makes of siunitx's number: powers of ten lose their superscript."""
    mantissa, _, exponent = grouped(value, up=up, down=down).partition("e")
    return f"{mantissa}×10{exponent}".replace("-", "−") if exponent else mantissa.replace("-", "−")


@pytest.mark.parametrize(
    ("recorded", "read", "typeset"),
    [("59049", "59,049", r"\num{59049}"), ("-1234567", "-1,234,567", r"\num{-1234567}"), ("59049/2",) * 3],
)
def test_a_whole_number_recorded_as_a_text_is_in_groups_on_every_surface(recorded, read, typeset):
    nothing = {"theorems": {}}
    assert PageNumbers(nothing).at(recorded, "finding", "k", "left") == read.replace("-", "−")
    assert NamedNumbers(nothing).at("finding k left", recorded) == typeset
    console = Console(file=io.StringIO(), width=80)
    show_numbers(console, "numbers", {"left": recorded})
    assert read in console.file.getvalue().split()


@pytest.mark.slow
def test_an_audit_of_no_theorem_is_an_audit_of_all(folder, document):
    assert {"relu-icgd/lean", "relu-icgd/paper", "looped", "functional"} <= set(document["theorems"])
    proved = {v["claim"] for v in document["verdicts"] if v["verdict"] == "proved"}
    ours = {f"relu-icgd/{construction}/step-error" for construction in ("lean", "paper")}
    assert ours | {"softmax-icgd/step-error", "looped/steps"} <= proved
    assert len({v["claim"] for v in document["verdicts"]}) == len(document["verdicts"])
    assert document["findings"] and all(entry["reproduces"] for entry in document["findings"])
    assert json.loads((folder.parent / "audit.json").read_text()) == document
    certified = {v["claim"] for v in document["verdicts"] if v.get("means") == "certificate"}
    for part in document["theorems"].values():
        assert any(v["claim"] in certified for v in part["verdicts"]) == bool(part.get("trusted"))
        assert set(part.get("trusted", ())) <= set(trusted(document))


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
        assert json.loads(value) == one.value and text == grouped(one.value, up=one.up, down=one.down)
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
    assert text.count("\f") <= 39
    text = text[text.rindex("Every number") :]
    lines = [line for line in text.splitlines() if not re.fullmatch(r"\s*\d+\s*", line)]  # page numbers
    found = {}
    for group in " ".join(lines).split("\\icgd")[1:]:
        prefix, rest = re.match(r"(\w*?)[\s.]*?\. \. \. (.*)", group).groups()
        for item in rest.strip().split(", "):
            name, value = re.fullmatch(r"([A-Za-z ]+) (.*)", item.replace("\f", "")).groups()
            found["icgd" + prefix + name.replace(" ", "")] = value.replace(" ", "")
    expected = {one.macro: printed(one.value, one.up, one.down) for one in quantities(document)}
    assert found == expected


BOUNDS = {
    "upper": {
        "distance after L steps, proved": 0.1961429967,
        "largest eigenvalue, proved": 15.350216,
        "Lipschitz constant": 51.438945,
        "Gauss-Newton part": 15.947162,
        "coarse_certified": 0.046624769705,
        "certified": 0.049442002783,
        "bound": 2.2146553302e-11,
        "float32": 0.05012301,
    },
    "lower": {"least eigenvalue, proved": -11.992768, "least_certified": 0.123462},
    "neither": {"largest sampled Hessian norm": 4.668078, "least": 0.234562, "least_norm": 5.739141},
}
"""Numbers by their keys, each of which to-nearest rounding takes to the wrong side if it is a bound."""


def test_no_bound_is_printed_past_what_is_proved_on_any_surface(tmp_path):
    plain = json.loads(
        (Path(__file__).parents[1] / "data" / "document_html.json").read_text(encoding="utf-8")
    )
    numbers = {key: value for side in BOUNDS.values() for key, value in side.items()}
    part = plain["theorems"]["preconditioned"]
    part["census"] |= numbers
    plain["findings"][0]["numbers"] = plain["questions"][0]["numbers"] = numbers
    rows = [["cells", *numbers.values()]]
    part["grids"] = [{"title": "Bounds", "columns": ["of", *numbers], "rows": rows, "note": ""}]
    parts = plain["theorems"]
    claim = next(one for one in parts["relu-icgd/lean"]["bounds"].values() if one["relation"] == "<=")
    meant = {"upper": "bound on the 2-norm", "lower": "lower end of an enclosure", "neither": "step size"}
    claim["constants"] = {
        f"{side}{index}": {"value": value + 0.00001, "meaning": meant[side]}
        for side, found in BOUNDS.items()
        for index, value in enumerate(found.values())
    }
    write_source(plain, (), tmp_path)
    source = (tmp_path / "icgd-numbers.tex").read_text(encoding="utf-8")
    macros = dict(re.findall(r"^\\newcommand\{\\(\w+)\}\{\\num\{([^}]*)\}\}", source, flags=re.MULTILINE))
    html = page(plain, [])
    on_page = re.findall(r'<data(?: id="\w+")? value="([^"]+)"[^>]*>([^<]*)</data>', html)
    in_table = re.findall(r"\\num\{([^}]*)\}", (tmp_path / "tables.tex").read_text(encoding="utf-8"))
    named = quantities(plain)
    for side, found in BOUNDS.items():
        for key, value in found.items():
            for given in (value, value + 0.00001):
                shown = [macros[one.macro] for one in named if one.value == given]
                shown += [text.replace(",", "") for digits, text in on_page if float(digits) == given]
                if given == value:
                    shown += [one for one in in_table if float(one) == pytest.approx(value, rel=1e-3)]
                assert len(shown) >= (7 if given == value else 2), (key, shown)
                assert all(_is_safe(side, float(one), given) for one in shown), (key, given, shown)


def _is_safe(side, shown, given):
    return (
        shown >= given
        if side == "upper"
        else shown <= given
        if side == "lower"
        else shown == float(f"{given:.4g}")
    )
