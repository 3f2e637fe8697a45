"""The pages of docs/ that come from the claims say what the claims say today."""

import pytest

from icgd.construct.catalogue import RECIPES
from icgd.reports.documentation import FOLDER, main, page


@pytest.mark.parametrize("theorem", RECIPES)
def test_each_page_is_up_to_date(theorem):
    assert (FOLDER / f"{theorem}.md").read_text() == page(theorem), "run make docs"


def test_every_claim_and_letter_is_on_its_page():
    for theorem, recipe in RECIPES.items():
        text, problem = page(theorem), recipe.letters()
        assert all(f"`{claim.key}`" in text for claim in recipe.claims(problem))
        assert all(f"`--{letter}`" in text for letter in problem.as_dict())


def test_pages_are_written_where_asked(tmp_path):
    main(tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == set(RECIPES)
