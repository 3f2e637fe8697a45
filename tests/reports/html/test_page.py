"""The markup of the HTML report, read by a parser: its content, and what it must not contain."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from icgd.reports.document.findings import tally_document
from icgd.reports.document.first_page import failures_in_words, not_shown, urgent
from icgd.reports.document.numbers import grouped, quantities
from icgd.reports.document.paper_boxes import paper_boxes
from icgd.reports.figures.figures import Drawn
from icgd.reports.html.inline_svg import inks, inline
from icgd.reports.html.page import page
from icgd.reports.mathematics.mathml import math, prose, statement, worded

DATA = Path(__file__).parents[1] / "data"
DOCUMENT: dict[str, Any] = json.loads((DATA / "document_html.json").read_text(encoding="utf-8"))
FIGURES = [
    Drawn(
        theorem, f"drawing-{index}", f"Drawing {index}", "A line.", Path("none.pdf"), DATA / "figure_html.svg"
    )
    for index, theorem in enumerate([*DOCUMENT["theorems"], "elsewhere"])
]
_VOID = {"meta", "link", "input", "br", "wbr", "img", "hr"}


class Read(HTMLParser):
    """The elements of a page.  open: those not closed yet; elements: (tag, attributes, text inside)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str], list[str]]] = []
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        element = tag, {name: value or "" for name, value in attrs}, []
        self.elements.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1][0] == tag, (tag, self.getpos(), [one[0] for one in self.open])
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for _, _, texts in self.open:
            texts.append(data)

    def all(self, tag: str) -> list[tuple[dict[str, str], str]]:
        return [(attributes, "".join(texts)) for found, attributes, texts in self.elements if found == tag]


def as_read(text: str) -> str:
    """What is left of a text of the document when its mathematics is set as such."""
    return Read(f"<p>{prose(text)}</p>").all("p")[0][1]


@pytest.fixture(scope="module")
def text() -> str:
    return page(DOCUMENT, FIGURES)


@pytest.fixture(scope="module")
def read(text: str) -> Read:
    return Read(text)


def test_every_element_is_closed_and_every_id_is_unique_and_every_reference_leads_somewhere(
    read: Read,
) -> None:
    assert read.open == []
    ids = [attributes["id"] for _, attributes, _ in read.elements if "id" in attributes]
    assert sorted(set(ids)) == sorted(ids)
    for _, attributes, _ in read.elements:
        for key in ("aria-labelledby", "for", "href", "clip-path"):
            value = attributes.get(key, "")
            for name in re.findall(r"#([^)\s]+)", value) if "#" in value else value.split():
                assert name in ids or value.startswith(("https:", "data:")), (key, value)


def test_every_claim_and_every_finding_is_there_once_with_an_address_of_its_own(read: Read) -> None:
    items = {a["id"]: (a, text) for a, text in read.all("details") if a.get("class") == "item"}
    verdicts = [one for part in DOCUMENT["theorems"].values() for one in part["verdicts"]]
    bounds = {key for part in DOCUMENT["theorems"].values() for key in part["bounds"]}
    claims = [name for name in items if name.startswith("claim-")]
    assert len(claims) == len({one["claim"] for one in verdicts} | bounds)
    for one in verdicts:
        about, text = items[anchored(one["claim"])]
        assert about["data-verdict"] == one["verdict"] and as_read(one["evidence"]) in text
    for entry in DOCUMENT["findings"]:
        about, text = items["finding-" + re.sub("[^a-z0-9]+", "-", entry["key"].lower())]
        assert (about["data-bearing"], about["data-severity"]) == (entry["bearing"], entry["severity"])
        assert as_read(entry["text"]) in text
    links = [a["href"][1:] for a, text in read.all("a") if text.startswith("link to this")]
    assert sorted(links) == sorted(items)


def test_a_claim_that_two_parts_state_alike_is_shown_where_it_is_judged() -> None:
    lean = DOCUMENT["theorems"]["relu-icgd/lean"]
    key = next(iter(lean["bounds"]))
    judged = {"claim": key, "verdict": "held", "evidence": "seen in the other part", "about": "icgd"}
    silent = lean | {"verdicts": [one for one in lean["verdicts"] if one["claim"] != key]}
    for other, shown in ((lean["bounds"], 1), ({key: lean["bounds"][key] | {"value": 3}}, 2)):
        theorems = {"a": silent, "b": lean | {"bounds": other, "verdicts": [judged]}}
        read = Read(page(DOCUMENT | {"theorems": theorems, "findings": [], "questions": []}, []))
        items = [(a, text) for a, text in read.all("details") if a.get("id", "").startswith(anchored(key))]
        assert len(items) == shown
        assert any("seen in the other part" in text for _, text in items)
        assert all(a["href"][1:] in {b["id"] for b, _ in items} for a, text in read.all("a") if text == key)


def anchored(key: str) -> str:
    return "claim-" + re.sub("[^a-z0-9]+", "-", key.lower())


def test_every_number_of_the_document_is_there_once_with_all_its_digits(read: Read) -> None:
    shown = {a["id"]: (a["value"], text) for a, text in read.all("data") if "id" in a}
    expected = quantities(DOCUMENT)
    assert set(shown) == {one.macro for one in expected}
    for one in expected:
        value, text = shown[one.macro]
        assert json.loads(value) == one.value
        assert text == grouped(one.value, up=one.up, down=one.down)
        assert value == json.dumps(one.value)


def test_constants_have_their_names_where_they_stand(text: str) -> None:
    tables = re.findall(r"<caption[^>]*>Constants of .*?</table>", text, flags=re.DOTALL)
    constants = [one for one in quantities(DOCUMENT) if " constants " in one.place]
    assert constants
    for one in constants:
        assert any(f'title="\\{one.macro} = ' in table for table in tables), one.macro


def test_numbers_without_a_name_are_rounded_once_and_keep_their_digits(read: Read) -> None:
    for attributes, text in read.all("data"):
        value = json.loads(attributes["value"])
        assert text in {grouped(value), grouped(value, up=True), grouped(value, down=True), repr(value)}


def test_nothing_is_asked_of_any_network(text: str, read: Read) -> None:
    for tag, attributes, _ in read.elements:
        for key, value in attributes.items():
            if re.search(r"https?:|//", value):
                assert (tag, key) == ("a", "href") and value.startswith("https://arxiv.org/abs/"), (tag, key)
    for style in [*(value for _, value in read.all("style")), *re.findall(r'style="([^"]*)"', text)]:
        assert not re.search(r"@import|url\((?!#)", style)
    policy = next(
        a["content"] for a, _ in read.all("meta") if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert not re.search(r"https?:|connect-src|font-src|script-src[^;]*unsafe", policy)


def test_what_a_user_wrote_is_text_and_never_markup(text: str, read: Read) -> None:
    assert len(read.all("script")) == 1
    assert not read.all("img")
    assert not any(key.startswith("on") for _, attributes, _ in read.elements for key in attributes)
    body = read.all("main")[0][1]
    assert "<script>alert('activation')</script>" in body
    planted = "a < b & c > d: <img src=x onerror=alert(1)> differs by 1e-12"
    assert as_read(planted) in body and "<img src=x onerror=alert(1)> differs by 10−12" in body
    assert "<b>bold</b>" in body


def test_the_same_input_gives_the_same_page_of_modest_size(text: str) -> None:
    assert page(copy.deepcopy(DOCUMENT), FIGURES) == text
    assert len(text.encode()) < 300_000


def test_what_failed_or_was_refuted_comes_first_with_its_command(read: Read) -> None:
    said = "".join(text for a, text in read.all("ul") if a.get("class") == "attention")
    top = read.all("header")[0][1]
    assert said.index("failed") < said.index("not reproduced")
    assert top.index("What failed") < min(top.index(box.title) for box in paper_boxes(DOCUMENT))
    assert "icgd audit preconditioned --S '2,1/2' --seed 7" in said


def test_the_top_of_the_page_tells_what_the_first_page_of_the_pdf_tells_in_its_order() -> None:
    document = copy.deepcopy(DOCUMENT)
    graver = {"bearing": "error", "severity": "statement", "reproduces": True, "headline": "It fails here."}
    document["findings"][-1] |= graver
    lean = document["theorems"]["relu-icgd/lean"]
    exact = {"sampled": 1e-15, "attacked": 2e-15, "bound": None, "allowed": 0.005, "bound_off_margin": 3e-13}
    document["theorems"]["relu-icgd/exact"] = lean | {
        "step_error": exact, "certificate": None, "plan": None, "bounds": {}, "census": {},
        "search": {"prompts": 2000, "admitted": 1060, "attacked_tokens": 0},
    }  # fmt: skip
    read = Read(page(document, []))
    top = read.all("header")[0][1]
    assert (urgent(document) != ()) == ("What failed" in top)
    told = [*(one.about for one in urgent(document)), *(box.title for box in paper_boxes(document))]
    places = [top.index(one) for one in told]
    assert failures_in_words(document) in top
    for box in paper_boxes(document):
        assert all(f"{one.said}: {as_read(one.names)}." in top for one in box.fates)
    assert places == sorted(places) and document["findings"][-1]["headline"] in top
    heads = (told[0], "What was checked", "Error of one step", "What is trusted", "What is not")
    assert [top.index(head) for head in heads] == sorted(top.index(head) for head in heads)
    errors = top[top.index("Error of one step") : top.index("What is trusted")]
    for name, part in document["theorems"].items():
        if part.get("step_error"):
            assert name in errors
    assert "3e-13" in errors and "47% of the random prompts (940 of 2,000)" in errors
    assert top.count("47% of the random prompts") == 2


def test_the_page_says_what_is_trusted_and_what_is_not_shown(read: Read) -> None:
    boxes = {a["id"]: text for a, text in read.all("details") if "id" in a}
    for item in DOCUMENT["theorems"]["relu-icgd/lean"]["certificate"]["trusted"]:
        assert as_read(item) in boxes["trusted"]
    assert all(as_read(item) in boxes["gaps"] for item in not_shown(DOCUMENT))
    assert len(not_shown(DOCUMENT)) >= 3


def test_statuses_counts_and_provenance_are_those_of_the_document(read: Read) -> None:
    counts = {a["data-status"]: int(text.split()[0]) for a, text in read.all("a") if "data-status" in a}
    verdicts = [v["verdict"] for part in DOCUMENT["theorems"].values() for v in part["verdicts"]]
    assert counts == {status: verdicts.count(status) for status in {*verdicts, "failed"}}
    body = read.all("main")[0][1]
    for word in (*DOCUMENT["versions"].values(), DOCUMENT["command"]):
        assert word in body
    assert DOCUMENT["theorems"]["relu-icgd/lean"]["certificate"]["weights"] in body
    links = {a["href"] for a, _ in read.all("a") if a["href"].startswith("http")}
    assert links == {"https://arxiv.org/abs/2411.16549", "https://arxiv.org/abs/2306.00297"}


def test_headings_step_down_one_at_a_time_under_one_title(read: Read) -> None:
    levels = [int(tag[1]) for tag, _, _ in read.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    tags = [tag for tag, _, _ in read.elements]
    assert tags.count("main") == tags.count("nav") == 1
    assert next(a for a, _ in read.all("html"))["lang"] == "en"
    for attributes, _ in read.all("svg"):
        assert attributes["role"] == "img" and attributes["aria-labelledby"]


def test_scopes_and_labels_of_tables(read: Read) -> None:
    assert all(attributes.get("scope") in ("col", "row") for attributes, _ in read.all("th"))
    scrolled = [a for tag, a, _ in read.elements if tag == "div" and "scroll" in a.get("class", "")]
    assert all(a["role"] == "group" and a["tabindex"] == "0" for a in scrolled)
    assert all("aria-labelledby" in a or "aria-label" in a for a in scrolled)


@pytest.mark.parametrize("theorem", DOCUMENT["theorems"])
def test_one_theorem_alone_makes_a_page_under_its_own_title(theorem: str) -> None:
    alone = DOCUMENT | {"theorems": {theorem: DOCUMENT["theorems"][theorem]}, "findings": [], "questions": []}
    read = Read(page(alone, []))
    assert read.all("h1")[0][1] == DOCUMENT["theorems"][theorem]["title"]
    assert {a["id"] for a, _ in read.all("data") if "id" in a} == {one.macro for one in quantities(alone)}


def test_a_page_copes_with_whatever_was_not_computed() -> None:
    promised = {"title": "Bare", "source": "icgd", "bounds": {}, "verdicts": []}
    bare = {"theorems": {"looped": promised}}
    assert Read(page(bare, [])).open == []
    lean = DOCUMENT["theorems"]["relu-icgd/lean"]
    for key in lean.keys() - promised.keys():
        without: dict[str, Any] = {"a": {k: v for k, v in lean.items() if k != key}, "b": lean | {key: None}}
        assert Read(page({"theorems": without}, [])).open == []


def test_figures_lose_what_is_not_drawing_and_never_share_an_id() -> None:
    svg = (DATA / "figure_html.svg").read_text(encoding="utf-8")
    drawn = str(inline(svg, "one", 'A "title" <b>'))
    read = Read(drawn)
    assert read.open == []
    assert not {"script", "style", "metadata"} & {tag for tag, _, _ in read.elements}
    assert "example.org" not in drawn and "alert" not in drawn
    assert sorted(re.findall(r'id="([^"]*)"', drawn)) == ["one-1", "one-2", "one-title"]
    assert read.all("title")[0][1] == 'A "title" <b>'
    assert not set(re.findall(r'id="([^"]*)"', drawn)) & set(
        re.findall(r'id="([^"]*)"', inline(svg, "two", ""))
    )
    renamed = svg.replace("p77aa", "q12bb").replace("m3f1c", "zzz")
    assert inline(renamed, "one", 'A "title" <b>') == drawn


def test_the_colours_of_a_drawing_are_variables_in_its_styles_alone() -> None:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path fill="#8C8C8C" d="M0 0" '
        'style="stroke: #004488"/><path stroke="url(#abcdef)" fill="none" d="M1 1"/>'
        '<g id="abcdef"/></svg>'
    )
    grey, other = (a for a, _ in Read(str(inline(svg, "abcdef", ""))).all("path"))
    assert grey["style"] == "fill:var(--ink-8c8c8c);stroke: var(--ink-004488)" and "fill" not in grey
    assert other["stroke"] == "url(#abcdef-1)" and other["fill"] == "none"
    light, dark = str(inks([str(inline(svg, "abcdef", ""))])).splitlines()
    assert re.findall(r"--ink-(\w+):#(\w+)", light) == [(one, one) for one in ("000000", "004488", "8c8c8c")]
    assert dark.count("oklch(from #") == 3 and "prefers-color-scheme:dark" in dark


@pytest.mark.parametrize("broken", ["", "<svg", "<html></html>", '<svg xmlns="http://www.w3.org/2000/svg"/>'])
def test_a_figure_that_is_no_svg_is_named(broken: str) -> None:
    with pytest.raises(ValueError, match="the figure one"):
        inline(broken, "one", "")


@example(r"\text{<img src=x>}")
@example(r"$\text{a</math><b>}$")
@example(r"\href{https://example.org}{\text{a}}")
@given(st.text(max_size=60) | st.text(alphabet=r"\{}^_$&<>'\"ab1/ ", max_size=60))
def test_no_text_and_no_formula_becomes_markup(text: str) -> None:
    known = re.compile(r"(math|m[a-z]+|code|span)")
    for made in (math(text), prose(text), statement(text), worded(text)):
        read = Read(f"<p>{made}</p>")
        assert read.open == []
        for tag, attributes, _ in read.elements[1:]:
            assert known.fullmatch(tag) and not {"href", "style", "src", "id"} & set(attributes)


@pytest.mark.parametrize("latex", [r"\boxed{x}", r"\frac{a", r"\left(x", "}{"])
def test_what_is_no_plain_formula_is_shown_as_it_stands(latex: str) -> None:
    assert math(latex) == f"<code>{latex}</code>"


@given(st.integers(0, 99), st.integers(0, 99))
def test_a_formula_keeps_its_numbers_and_its_letters(a: int, b: int) -> None:
    latex = rf"\max\left({a} K, \frac{{\epsilon^{{{b}}}}}{{d_{{out}}}}\right)"
    read = Read(str(math(latex)))
    assert read.all("math")[0][1] == f"max({a}K,ε{b}dout)"


@pytest.mark.parametrize("part", DOCUMENT["theorems"])
def test_every_formula_of_the_document_is_understood(part: str) -> None:
    for claim in DOCUMENT["theorems"][part]["bounds"].values():
        assert str(math(claim["latex"])).startswith("<math"), claim["latex"]
        assert "<code" not in statement(claim["statement"])


def test_findings_stand_under_their_severity_with_the_statement_first() -> None:
    document = copy.deepcopy(DOCUMENT)
    for number, entry in enumerate(document["findings"]):
        entry |= {
            "statement": f"Lemma {number}", "source": f"arXiv:2411.16549, Lemma {number}", "bearing": "error",
            "severity": "statement", "quotation": "for all n <= 3", "place": "Section 2, (2.1)",
            "repair": "Write C^4.", "not_claimed": "That B_v - 1 < 0.",
        }  # fmt: skip
    document["findings"][0] |= {"bearing": "confirms", "severity": "none"}
    read = Read(page(document, []))
    headings = [text for _, text in read.all("h3")]
    count = len(document["findings"]) - 1
    assert f"Breaks the statement {count} findings" in headings
    assert headings.index("Nothing to repair 1 finding") > headings.index(
        f"Breaks the statement {count} findings"
    )
    sentence = tally_document(document["findings"])["sentence"]
    assert f"{count} fail as written" in sentence
    chapters = {a["id"]: text for a, text in read.all("details") if a.get("class") == "chapter"}
    assert sentence in read.all("header")[0][1] and sentence in chapters["findings"]
    for entry in document["findings"]:
        (said,) = (text for a, text in read.all("details") if "data-bearing" in a and entry["key"] in text)
        assert said.split()[0] == entry["bearing"]
        assert said.index(entry["statement"]) < said.index("for all n≤3")
        assert "Section 2, (2.1)" in said and "Write C4." in said and "That Bv−1<0." in said


def test_questions_are_answered_with_their_numbers_and_the_claims_they_come_from(read: Read) -> None:
    (said,) = (text for a, text in read.all("details") if a.get("id") == "questions")
    for one in DOCUMENT["questions"]:
        (item,) = (t for a, t in read.all("details") if a.get("class") == "item" and one["question"] in t)
        assert all(key in item for key in one["claims"]) and one["asked_by"] in item
        assert item in said
    assert "At most 12 heads, Bv≤1 and C4; r′ of <b>bold</b> & “more”." in said
    assert "did NOT reproduce in this run: pieces = 3, recorded 4 <i>now</i>" in " ".join(said.split())
    assert "Questions that reviewers asked" in read.all("nav")[0][1]
    alone = Read(page(DOCUMENT | {"questions": []}, []))
    assert "Questions that reviewers asked" not in alone.all("body")[0][1]


def test_what_no_checker_saw_is_not_called_certified_and_a_letter_chosen_says_so() -> None:
    document = copy.deepcopy(DOCUMENT)
    part = document["theorems"]["relu-icgd/lean"]
    part |= {"certificate": None, "chosen": {"eta": 0.0625}}
    document["theorems"] = {"relu-icgd/lean": part}
    document["command"] = "icgd report relu-icgd --eta 0"
    read = Read(page(document, []))
    rows = [text for _, text in read.all("th")]
    assert not any(row.startswith("certified ") for row in rows)
    assert any(row.startswith("bound (prover, not checked) ") for row in rows)
    values = [text for _, text in read.all("dd")]
    assert "0.0625 (automatic)" in values
    assert "icgd audit" not in "".join(text for _, text in read.all("pre"))
