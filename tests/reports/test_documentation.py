"""The generated pages of docs/ agree with the present claims."""

import pytest

from icgd.reports.documentation import FOLDER, main, theorem_page, written


@pytest.mark.parametrize("theorem", written(), ids=lambda one: one.name)
def test_each_page_is_up_to_date(theorem):
    assert (FOLDER / f"{theorem.name}.md").read_text() == theorem_page(theorem), "run make docs"


def test_every_claim_and_letter_is_on_its_page():
    for theorem in written():
        text, problem = theorem_page(theorem), theorem.letters()
        assert all(f"`{claim.key}`" in text for claim in theorem.claims(problem))
        assert all(f"`--{letter}`" in text for letter in problem.as_dict())


def test_pages_are_written_where_asked(tmp_path):
    main(tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {theorem.name for theorem in written()}
