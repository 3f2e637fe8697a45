"""Values of JSON held against types: the first misfit is named with its place and what should be there."""

from collections.abc import Sequence
from typing import Literal

from typing_extensions import TypedDict

from icgd.construct.machine.json_types import misfit


class Inner(TypedDict, total=False):
    word: Literal["a", "b"]
    number: float | int | Literal["inf"]


class Outer(TypedDict):
    many: Sequence[Inner]
    by_name: dict[str, int]


HONEST = {"many": [{"word": "a", "number": 10**400}, {"number": "inf"}, {}], "by_name": {"x": 1}}


def test_the_first_misfit_is_named():
    assert misfit(HONEST, Outer) is None
    for value, said in (
        (3, "it should be an object of names and values"),
        ({"by_name": {}}, "many: it is missing"),
        (HONEST | {"many": [{}, {"word": "c"}]}, "many 1 word: it should be 'a' or 'b'"),
        (HONEST | {"many": [{"number": True}]}, "many 0 number: it should be a number"),
        (HONEST | {"many": [{"number": "0.5"}]}, "many 0 number: it should be a number"),
        (HONEST | {"by_name": {"y": 1.5}}, "by_name y: it should be a whole number"),
        (HONEST | {"by_name": {"y" * 500: None}}, f"by_name {'y' * 112}: it should be a whole number"),
    ):
        assert misfit(value, Outer) == said
    assert misfit({"by_name": {}}, Outer, lacking=True) is None
    assert misfit({"by_name": {"y": 1.5}}, Outer, lacking=True) == "by_name y: it should be a whole number"
