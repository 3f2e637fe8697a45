"""The site of docs/: formulas, examples and links between pages, without MkDocs, which `make site` runs."""

from types import SimpleNamespace

from icgd.reports.website import fenced, on_page_content, on_page_markdown
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
