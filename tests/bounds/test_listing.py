"""Listings: an item by key, with and without the theorem's name, in a line of a session, and as a frame."""

import pickle
from importlib.util import find_spec

import pytest
import sympy

from icgd.bounds.claims import Claim
from icgd.bounds.letters import ProblemError
from icgd.bounds.listing import Listing


def claim(key, bound, relation="<="):
    return Claim(key, "icgd", "Size", "", (), "heads", relation, sympy.sympify(bound), {})


HEADS, WIDTH, OTHER = claim("a/heads", 7, "=="), claim("a/lean/width", "1/3"), claim("b/heads", 2**70)
FOUND = Listing((HEADS, WIDTH))


def test_an_item_is_found_by_key_with_or_without_the_theorem():
    assert FOUND["a/heads"] is FOUND["heads"] is FOUND[0] is HEADS
    assert FOUND["lean/width"] is FOUND[-1] and FOUND == (HEADS, WIDTH) and dict(FOUND)["a/heads"] is HEADS
    assert "heads" in FOUND and "width" not in FOUND and HEADS in FOUND and OTHER not in FOUND
    assert type(FOUND[:1]) is Listing and FOUND[1:] == (WIDTH,)
    assert FOUND._ipython_key_completions_() == ["heads", "lean/width", "a/heads", "a/lean/width"]
    with pytest.raises(ProblemError, match=r"^key = 'width': it is none of these 2; near are lean/width"):
        FOUND["width"]
    with pytest.raises(ProblemError, match=r"^key = 'width': there are no items here$"):
        Listing()["width"]
    both = Listing((HEADS, OTHER))  # two theorems: what is meant by heads?
    assert both["b/heads"] is OTHER and "heads" not in both
    with pytest.raises(ProblemError, match="near are a/heads, b/heads"):
        both["heads"]


def test_a_session_shows_a_bound_on_the_safe_side():
    assert repr(FOUND) == "<listing of 2 Claim\n  a/heads       == 7\n  a/lean/width  <= 0.3334>"
    assert repr(Listing()) == "<listing of 0 items>"
    many = Listing([claim(f"a/{'x' * 200}{k}", k) for k in range(20)])
    lines = repr(many).splitlines()
    assert len(lines) == 9 and lines[-1] == "  and 13 more>" and max(map(len, lines)) == 100
    assert pickle.loads(pickle.dumps(FOUND))[1].key == WIDTH.key


def test_a_frame_has_a_row_for_each_item():
    table = Listing((HEADS, WIDTH, OTHER)).arrow
    assert table["value"].to_pylist() == [7.0, WIDTH.value, 2.0**70] and WIDTH.value >= 1 / 3
    assert table["claim"].to_pylist() == ["a/heads", "a/lean/width", "b/heads"]
    assert table["relation"].to_pylist() == ["==", "<=", "<="]
    if find_spec("pandas"):
        assert FOUND.frame["value"].tolist() == [7.0, WIDTH.value]
    else:
        with pytest.raises(ProblemError, match="frame = pandas: pandas is not installed"):
            FOUND.frame  # noqa: B018
