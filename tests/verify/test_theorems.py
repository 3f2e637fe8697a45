"""The registry of theorems: built in, from a package or from a file, all used in the same way."""

import contextlib
import re
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from icgd import Claim, Letters, Problem, ProblemError, Results, Theorem, Verdict, theorem, theorems
from icgd.bounds.kernel import KERNELS, Kernel
from icgd.verify import catalogue
from icgd.verify.catalogue import (
    command_name,
    find_theorem,
    register,
    theorems_with_letter,
    theorems_with_option,
)
from icgd.verify.requests import Request, all_requests
from icgd.verify.search.options import EVERYWHERE, Search

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "one_step.py"
RELU, LOOPED = find_theorem("relu-icgd"), find_theorem("looped")
CUBIC = Kernel("cubic", "s**3")


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """Whatever a test registers is gone after it."""
    theorems()
    monkeypatch.setattr(catalogue, "_known", dict(catalogue._known))
    monkeypatch.setattr(catalogue, "_files", dict(catalogue._files))


@dataclass(frozen=True, kw_only=True)
class Nothing(Letters):
    m: int = 1


def mine(**changes):
    plain = {
        "name": "mine",
        "title": "t",
        "source": "arXiv:1234.56789",
        "letters": Nothing,
        "claims": lambda problem: (),
        "judge": lambda problem, *, seed, device, progress: Results(
            problem=problem, seed=seed, verdicts=(Verdict("mine/a", "held", f"seed {seed} on {device}"),)
        ),
        "judged": ("a",),
    }
    return Theorem(**(plain | changes))


@pytest.mark.parametrize("each", theorems().values(), ids=lambda one: one.name)
def test_every_theorem_says_what_there_is_to_say(each):
    problem = each.letters()
    assert re.search(r"arXiv:\d{4}\.\d{5}", each.source) and each.title
    assert each.letters.parse(problem.as_dict()) == problem
    assert all(text != name for name, text in each.letters.meanings().items())
    assert all(isinstance(claim, Claim) for claim in each.claims(problem, **each.chosen(None)))
    assert each.estimate(problem, Search()).seconds > 0
    assert each.options <= set(Search.__dataclass_fields__) - EVERYWHERE
    for construction in each.constructions or (None,):
        assert all(key.startswith(f"{each.name}/") for key in each.claim_keys(construction))
        assert each.fits(problem, **each.chosen(construction)) is None


def test_names_of_claims_are_unique_over_constructions():
    lean, paper = (RELU.claim_keys(one) for one in ("lean", "paper"))
    assert not set(lean) & set(paper)
    assert "relu-icgd/lean/step-error" in lean and {"relu-icgd/paper/step-error", "relu-icgd/heads"} <= {
        *paper
    }
    with pytest.raises(ValueError, match="two constructions are judged by one claim size"):
        mine(constructions=("a", "b"), judged={"a": ("size", "a/step"), "b": ("size", "b/step")})


def test_a_theorem_is_found_by_its_name_its_problem_and_its_file():
    assert theorem("looped") is LOOPED and theorem(LOOPED.letters()) is LOOPED
    assert theorem(Problem()) is RELU  # the first that is posed so
    with pytest.raises(ProblemError, match="problem = Nothing: no theorem takes such a problem"):
        theorem(Nothing())
    found = theorem(str(EXAMPLE))
    assert found.name == "one-step" and theorem("one-step") is found is theorem(str(EXAMPLE))
    assert command_name(found) == str(EXAMPLE) and command_name(LOOPED) == "looped"


def test_python_judges_any_theorem_by_the_same_call():
    register(mine())
    found = theorem("mine").verify(Nothing(m=2), seed=7)
    assert found.problem.m == 2 and found.verdicts[0].evidence == "seed 7 on cpu"
    with pytest.raises(ProblemError, match="samples = 5: mine has no such option"):
        theorem("mine").verify(samples=5)
    with pytest.raises(ProblemError, match="construction = lean: mine has only one construction"):
        theorem("mine").verify(construction="lean")
    small = RELU.verify(Problem(N=1, K=1, d=1, n=1, eps=0.5), samples=10, effort=0.0, construction="paper")
    assert small.construction == "paper" and small.step.sweep.count == 10


def test_what_is_registered_first_comes_after_the_built_in_ones(monkeypatch):
    monkeypatch.setattr(catalogue, "_known", {})
    register(mine())
    assert next(iter(theorems())) == "relu-icgd" and list(theorems())[-1] == "mine"


def test_names_may_not_meet():
    with pytest.raises(ProblemError, match="theorem = looped: there is another theorem of that name"):
        register(mine(name="looped"))


def test_a_letter_may_not_be_called_as_an_option():
    @dataclass(frozen=True, kw_only=True)
    class Seeded(Letters):
        seed: int = 0

    with pytest.raises(ProblemError, match="letter = seed: mine: every command has an option of that name"):
        register(mine(letters=Seeded))
    with pytest.raises(ProblemError, match="theorem = mine: an icgd"):
        register("mine")


def test_a_package_that_breaks_is_left_out_with_a_warning(monkeypatch):
    points = [
        EntryPoint("broken", "no_such_module:THEOREM", catalogue.GROUP),
        EntryPoint("whole", "test_theorems_whole:THEOREM", catalogue.GROUP),
    ]
    monkeypatch.setattr(EntryPoint, "load", lambda self: mine() if self.name == "whole" else 1 / 0)
    monkeypatch.setattr(catalogue, "entry_points", lambda group: points * (group == catalogue.GROUP))
    monkeypatch.setattr(catalogue, "_known", {})
    with pytest.warns(UserWarning, match="no_such_module:THEOREM of icgd.theorems is left out: division"):
        found = theorems()
    assert list(found)[-1] == "mine" and next(iter(found)) == "relu-icgd"


def test_packages_add_to_tables_before_anything_is_posed(monkeypatch):
    points = [
        EntryPoint("broken", "no_such_module", catalogue.TABLES),
        EntryPoint("whole", "test_theorems_entries", catalogue.TABLES),
    ]
    kept = contextlib.ExitStack()
    load = {"broken": lambda: 1 / 0, "whole": lambda: kept.enter_context(KERNELS.temporarily(CUBIC))}
    monkeypatch.setattr(EntryPoint, "load", lambda self: load[self.name]())
    monkeypatch.setattr(catalogue, "entry_points", lambda group: points * (group == catalogue.TABLES))
    monkeypatch.setattr(catalogue, "_known", {})
    with (
        kept,
        pytest.warns(UserWarning, match="the module no_such_module of icgd.tables is left out: division"),
    ):
        meaning = theorems()["functional"].letters.meanings()["kernel"]
        assert "cubic" in meaning and find_theorem("functional").letters(kernel="cubic+exp").heads == (
            "cubic",
            "exp",
        )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it defines 0 theorems"),
        ("from icgd.verify.looped import THEOREM", "it defines 0 theorems"),
        ("1/0", "it raises ZeroDivisionError: division by zero"),
        (None, "there is no such file"),
    ],
)
def test_a_file_without_its_theorem_is_one_sentence(tmp_path, text, words):
    path = tmp_path / f"mine_{len(words)}.py"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ProblemError, match=words):
        find_theorem(str(path))


def test_theorems_are_found_by_their_letters_and_options():
    assert theorems_with_letter("T") == ["looped"] and theorems_with_letter("N") == [
        "relu-icgd",
        "softmax-icgd",
        "convergence",
    ]
    assert theorems_with_option("samples") == theorems_with_option("construction") == "relu-icgd"
    register(mine())
    assert theorems_with_letter("m") == ["mine"]
    assert {one.theorem.name for one in all_requests({"m": 3})} == set(theorems())


@pytest.mark.parametrize("each", theorems().values(), ids=lambda one: one.name)
def test_a_number_of_prompts_reaches_the_judge_or_is_refused(each):
    """Only functional and looped draw prompts of that number; the others cut them from data alone."""
    given = {}

    def judge(problem, **options):
        given.update(options)
        return Results(problem=problem, seed=0, verdicts=())

    watched, written = replace(each, judge=judge), Request(each, each.letters())
    watched.verify(prompts=5, data="diabetes")
    assert given.pop("prompts") == 5
    assert "--prompts 5" in written.command(Search(prompts=5, data="diabetes"))
    if each.name in ("functional", "looped"):
        watched.verify(prompts=5)
        assert given["prompts"] == 5 and "--prompts 5" in written.command(Search(prompts=5))
        return
    with pytest.raises(ProblemError, match=f"prompts = 5: for {each.name} it is about --data"):
        watched.verify(prompts=5)
    assert not given.get("prompts") and "--prompts" not in written.command(Search(prompts=5))


def test_a_theorem_without_data_takes_its_number_of_prompts():
    own = mine(options=frozenset({"prompts"}))
    assert "prompts" in own.taken(Search(prompts=5))


def test_a_search_knows_what_was_given():
    search = Search(samples=7, seed=3, certify=True)
    assert search.given == {"samples": 7, "seed": 3, "certify": True}
    assert search.only(frozenset()) == Search(seed=3)
    assert search.only(frozenset({"samples"})) == replace(search, certify=False)
