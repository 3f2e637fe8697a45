"""Every file that README.md and docs/ name exists, and the Python in the README runs."""

import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = "icgd|bounds|construct|verify|reports|tests|docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_and_folder_that_a_page_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", text)
    named += re.findall(r"\]\(([\w./-]+)\)", text)
    missing = [one for one in named if not (ROOT / one).exists() and not (page.parent / one).exists()]
    assert [one for one in missing if "PAPER" not in one] == []


def test_the_python_of_the_readme_runs(capsys):
    (block,) = re.findall(
        r"((?:^    .*\n)*^    import icgd\n(?:^    .*\n)*)", PAGES[0].read_text("utf-8"), re.M
    )
    exec(textwrap.dedent(block), {})
    assert capsys.readouterr().out.startswith("proved ")
