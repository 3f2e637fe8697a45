"""The site of docs/: formulas, examples and links between pages, without MkDocs, which `make site` runs."""

import sys
from types import SimpleNamespace

from icgd.reports.website import fenced, itemised, on_page_content, on_page_markdown
from icgd.reports.website_links import broken_links


def page(url, source="a.md"):
    return SimpleNamespace(url=url, file=SimpleNamespace(src_uri=source))


def test_formulas_are_mathml_and_pages_are_linked_from_where_they_are_named():
    shown = '<p><span class="arithmatex">\\(K &lt; N\\)</span></p><div class="arithmatex">\\[N\\]</div>'
    made = on_page_content(shown, page("a.html"))
    assert made.startswith("<p><math><mi>K</mi><mo>&lt;</mo>") and made.endswith(
        '<div class="formula"><math display="block"><mi>N</mi></math></div>'
    )
    assert "arithmatex" not in made
    named = "see docs/data.md, my/docs/data.md, docs/one_step.py"
    there = on_page_content(named, page("reference/icgd.html"))
    assert there == named.replace("docs/data.md", '<a href="../data.html">docs/data.md</a>', 1)


def test_a_notebook_is_linked_as_the_page_that_shows_it():
    assert on_page_markdown("[a](n/a.ipynb)", page("x.html")) == "[a](n/a.md)"
    own = "[Download](a.ipynb)"
    assert on_page_markdown(own, page("n/a.html", "notebooks/a.md")) == own


def test_examples_are_fenced_where_no_code_is_around_them():
    example = [">>> 1 +\\", "... 1", "2"]
    assert fenced(["so", *example, "", "on"]) == ["so", "```pycon", *example, "```", "", "on"]
    assert fenced(example) == ["```pycon", *example, "```"]
    for code in (["```python", *example, "```"], ["    >>> 1", "    1"], ["> quoted", ">> twice"]):
        assert fenced(code) == code


def test_what_a_docstring_says_of_its_parameters_is_a_list_and_the_rest_stays():
    says = "Draw n lines: so many.\n\nn: how many,\n    at most 9; m: more.  Note: odd.\n"
    says += "k: no name.  Raises E.\n\nm: again"
    assert itemised(says, ["n", "m"], "Args").split("\n\n") == [
        "Draw n lines: so many.",
        "Args:\n    n: how many, at most 9;\n    m: more. Note: odd. k: no name.\n    m: again",
        "Raises E.",
    ]
    assert itemised("f, g: both.\nSource: here", ["g", "f"], "Args") == (
        "Args:\n    f: both.\n    g: both.\n\nSource: here"
    )
    for kept in ("Plain.", ">>> show()\nn: 2", "```\nn: code\n```", "- n: listed", "see n: not at a line"):
        assert itemised(kept, ["n"], "Args") == kept
    assert itemised("n: one", [], "Args") == "n: one"


def test_the_reference_lists_parameters_and_fields_but_no_names_of_methods(monkeypatch):
    """Griffe comes with MkDocs, without which the tests run, so what it knows of a source is made here."""
    monkeypatch.setitem(sys.modules, "griffe", SimpleNamespace(Extension=object))
    from icgd.reports.docstring_items import DocstringItems

    def known(**about):
        return SimpleNamespace(
            docstring=SimpleNamespace(value="What.\n\nn: so many.  go: runs.  m: more."), **about
        )

    some = [SimpleNamespace(name="n"), SimpleNamespace(name="m")]
    function = known(parameters=some)
    members = {"n": SimpleNamespace(is_attribute=True), "go": SimpleNamespace(is_attribute=False),
               "__init__": SimpleNamespace(is_attribute=False, parameters=some[1:])}  # fmt: skip
    a_class = known(members=members)
    items = DocstringItems()
    items.on_function(func=function)
    items.on_class(cls=a_class)
    items.on_class(cls=SimpleNamespace(docstring=None))
    listed = "What.\n\n{}:\n    n: so many. go: runs.\n    m: more."
    assert function.docstring.value == listed.format("Args")
    assert a_class.docstring.value == listed.format("Attributes")


def test_links_that_lead_nowhere_and_files_from_elsewhere_are_found(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "a.html").write_text(
        '<h1 id="top"></h1><a href="in/b.html#here">1</a><a href="#top">2</a><a href="https://x.org/y">3</a>'
        '<img src="data:image/png;base64,AA"><a href="mailto:x@y.org">4</a>',
        encoding="utf-8",
    )
    b = tmp_path / "in" / "b.html"
    good = '<p id="here"><a href="../a.html#top">1</a><a href="/a.html">2</a><a href="b.html?x=1">3</a></p>'
    b.write_text(good, encoding="utf-8")
    assert broken_links(tmp_path) == []
    for bad, said in (
        ('<a href="../c.html">', "in/b.html links to ../c.html, which is not there"),
        ('<a href="../a.html#end">', "in/b.html links to ../a.html#end: no such place on that page"),
        ('<a href="#end">', "in/b.html links to #end: no such place on that page"),
        ('<a href="..">', "in/b.html links to .., which is not there"),
        ('<script src="https://x.org/s.js">', "in/b.html loads https://x.org/s.js: it must be in the site"),
        ('<img src="//x.org/a.png">', "in/b.html loads //x.org/a.png: it must be in the site"),
        ('<link rel="stylesheet" href="https://x.org/s.css">', "in/b.html loads https://x.org/s.css"),
    ):
        b.write_text(good + bad, encoding="utf-8")
        (found,) = broken_links(tmp_path)
        assert found.startswith(said)
