"""Every file that README.md and docs/ name exists, and the Python in the README runs."""

import json
import re
import textwrap
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

import icgd
from icgd.reports.document.shape import SCHEMA
from icgd.verify.catalogue import BUILT_IN
from icgd.verify.ledger.entries import BEARINGS, SEVERITIES, Entry, Paper, parse_entries
from icgd.verify.verdict import MEANS, STATUSES, SUBJECTS, VerdictDocument

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = "icgd|bounds|construct|verify|reports|tests|docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_and_folder_that_a_page_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", text)
    named += re.findall(r"\]\(([\w./-]+)\)", text)
    missing = [one for one in named if not (ROOT / one).exists() and not (page.parent / one).exists()]
    assert [one for one in missing if "PAPER" not in one] == []


def test_the_page_on_verdicts_names_every_status_means_and_key():
    page = (ROOT / "docs" / "verdicts.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]*)` \| ([^|]*)", page, re.MULTILINE)
    assert [name for name, _ in rows] == [*STATUSES, *MEANS, *SUBJECTS, *sorted_keys()]
    said = {name: text.strip() for name, text in rows}
    assert all(said[status].startswith(meaning.words.split(":")[0]) for status, meaning in STATUSES.items())
    assert all(said[name] == grounds.by for name, grounds in MEANS.items())
    assert all(said[name] in many for name, (_, many) in SUBJECTS.items())
    assert f"now {SCHEMA}" in page


def test_the_page_on_findings_names_every_bearing_severity_and_field():
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([^`]*)` \| ([^|]*) \|", page, re.MULTILINE))
    assert list(rows) == [*BEARINGS, *SEVERITIES]
    assert all(rows[bearing] == words for bearing, words in BEARINGS.items())
    for severity, rule in SEVERITIES.items():
        name, _, means = rule.partition(": ")
        assert rows[severity].endswith(means or name), severity
    example = "\n".join(
        line.removeprefix("    ")
        for line in page.splitlines()
        if line.startswith("    ") and "icgd" not in line[:9]
    )
    paper, (entry,) = parse_entries(example, "example.toml")
    assert paper.number == entry.paper and set(re.findall(r"^    (\w+) = ", page, re.MULTILINE)) == {
        *(one.name for one in fields(Paper)), *(one.name for one in fields(Entry)),
    }  # fmt: skip
    for name in ("question", "asked_by", "answer", "claims"):
        assert f"`{name}`" in page


def test_every_page_stands_in_the_navigation_of_the_site_once():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    shown = re.findall(r"[\w./-]+\.md\b", json.dumps(nav))
    there = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.*")]
    pages = [path.with_suffix(".md").as_posix() for path in there if path.suffix in (".md", ".ipynb")]
    assert sorted(shown) == sorted(pages), "a page is added to nav in mkdocs.yml"


def test_the_reference_has_every_public_name_and_the_first_pages_every_theorem():
    reference = (ROOT / "docs" / "reference" / "icgd.md").read_text("utf-8")
    assert {f"icgd.{name}" for name in icgd.__all__} - {"icgd.__version__"} == set(
        re.findall(r"^::: (icgd\.\w+)$", reference, re.MULTILINE)
    )
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    for name in (theorem.name for theorem in BUILT_IN):
        assert f"\n| `{name}` |" in PAGES[0].read_text("utf-8") and f"\n| [{name}]({name}.md) |" in index


def test_notebooks_are_kept_without_what_they_show():
    notebooks = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
    assert len(notebooks) == 2
    for path in notebooks:
        book = json.loads(path.read_text("utf-8"))
        for cell in book["cells"]:
            assert cell["cell_type"] != "code" or (cell["outputs"], cell["execution_count"]) == ([], None)
        assert path.read_text("utf-8") == json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def sorted_keys():
    """The keys of a verdict in JSON, those that every verdict has first."""
    named = VerdictDocument.__annotations__
    optional = ["about", "means", "replay", "numbers"]
    assert {*named} == {"claim", "verdict", "evidence", *optional}
    return ["claim", "verdict", "evidence", *optional]


def test_the_python_of_the_readme_runs(capsys):
    (block,) = re.findall(
        r"((?:^    .*\n)*^    import icgd\n(?:^    .*\n)*)", PAGES[0].read_text("utf-8"), re.M
    )
    exec(textwrap.dedent(block), {})
    assert capsys.readouterr().out.startswith("proved ")
