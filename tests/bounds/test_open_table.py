"""Open tables, to which anyone may add: what they accept, and what they refuse in one sentence."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from icgd.bounds.activation import ACTIVATIONS, Activation, parse_activation
from icgd.bounds.functions.formula import FUNCTIONS
from icgd.bounds.kernel import KERNELS
from icgd.bounds.loss import LOSSES, Loss, parse_loss
from icgd.bounds.open_table import OpenTable
from icgd.construct.block.attention import ATTENTIONS


@dataclass(frozen=True)
class Thing:
    name: str
    good: bool = True


def refuse(thing):
    if not thing.good:
        raise ValueError(f"{thing.name} is no good")


@pytest.fixture
def things():
    return OpenTable("a thing", [Thing("one"), Thing("two")], refuse)


def test_entries_come_in_order_and_by_name(things):
    third = things.register(Thing("three"))
    assert [*things] == ["one", "two", "three"] and things["three"] is third is things.find("three")
    assert things.names == "one, two, three" and len(things) == 3
    with pytest.raises(ValueError, match=r"^not one of one, two, three$"):
        things.find("four")
    with pytest.raises(KeyError):
        things["four"]


@pytest.mark.parametrize("name", ["", "2", "a+b", "a b", "-a", "a\n", "über", "a,b", 3, None])
def test_names_that_no_command_line_would_take_are_refused(things, name):
    with pytest.raises(ValueError, match="is no name for a thing"):
        things.register(Thing(name))
    assert [*things] == ["one", "two"]


@pytest.mark.parametrize("name", ["one", "One", "TWO"])
def test_a_name_that_is_taken_is_refused(things, name):
    with pytest.raises(
        ValueError, match=rf"^{name} would shadow {name.lower()}, a thing that exists already$"
    ):
        things.register(Thing(name))


def test_what_a_floor_cannot_follow_is_refused_and_stays_out(things):
    with pytest.raises(ValueError, match=r"^three is no good$"):
        things.register(Thing("three", good=False))
    assert "three" not in things


def test_entries_may_come_for_a_while(things):
    with things.temporarily(Thing("three")):
        assert "three" in things
    assert [*things] == ["one", "two"]
    with pytest.raises(ValueError, match="shadow"), things.temporarily(Thing("one")):
        pass
    assert [*things] == ["one", "two"], "what was there before is not taken away"


def test_a_registered_entry_is_parsed_by_its_name():
    with (
        ACTIVATIONS.temporarily(Activation("cubic", "t**3")) as cubic,
        LOSSES.temporarily(Loss("half", "(p-y)**2/2")) as half,
    ):
        assert parse_activation("cubic") is cubic and parse_loss("half") is half
    with pytest.raises(ValueError, match="neither one of tanh"):
        parse_activation("cubic")


@pytest.mark.parametrize(
    ("table", "entry", "words"),
    [
        (ACTIVATIONS, Activation("t", "tanh(t)"), "t is a formula already"),
        (ACTIVATIONS, Activation("Tanh", "t"), "would shadow tanh"),
        (ACTIVATIONS, Activation("mine", "bessel(t)"), "unknown function 'bessel'"),
        (ACTIVATIONS, Activation("mine", "tanh(x)"), "unknown name 'x'; the variable is t"),
        (LOSSES, Loss("p", "(p - y)**2"), "p is a formula already"),
        (LOSSES, Loss("mine", "(t - y)**2"), "unknown name 't'; the variables are p and y"),
        (LOSSES, Loss("mine", "Abs(p - y)"), "is not seen to be phi"),
        (LOSSES, Loss("hinge", "relu(1 - p*y)"), "is not seen to be phi"),
    ],
)
def test_refusals_say_what_is_wrong_in_one_sentence(table, entry, words):
    before = [*table]
    with pytest.raises(ValueError, match=words) as refused:
        table.register(entry)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300 and [*table] == before


PAGE = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")


def test_the_page_about_tables_runs_and_names_what_there_is(monkeypatch, capsys):
    for table in (ACTIVATIONS, LOSSES):
        monkeypatch.setattr(table, "_entries", dict(table._entries))
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out == "True\n" and "bump" in ACTIVATIONS and "pseudo-huber" in LOSSES
    listed = re.search(r"functions\s+((?:\w+\s)+)\w+\. Ball", PAGE)
    assert listed and {*listed[1].split(), "relu"} == {*FUNCTIONS}
    for name, table in {
        "Activation": ACTIVATIONS,
        "Loss": LOSSES,
        "Kernel": KERNELS,
        "Attention": ATTENTIONS,
    }.items():
        entry = eval(re.search(rf"`({name}\(.*?\))`", PAGE)[1], {name: type(next(iter(table.values())))})
        assert table[entry.name] == entry
