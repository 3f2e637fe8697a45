"""The examples of docs/python.md, run in their order as a reader would type them."""

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def test_the_page_on_python_says_what_python_answers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, run = doctest.testfile(str(PAGE), module_relative=False, optionflags=flags, encoding="utf-8")
    assert not failed and run > 20
    assert (tmp_path / "out" / "budget.pdf").read_bytes().startswith(b"%PDF")
