"""One key for one claim: ledger of bounds, verdicts, JSON, terminal, PDF, HTML, pytest and macros agree."""

import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from icgd.bounds.published_claims import LEMMAS
from icgd.bounds.published_convergence import DESCENT_LEMMAS
from icgd.reports.command.audit import verdicts_of, verify_one
from icgd.reports.command.terminal import show_sizes, show_verdicts
from icgd.reports.document.document import audit_document
from icgd.reports.document.numbers import quantities
from icgd.reports.html.page import page
from icgd.reports.latex.source import write_source
from icgd.reports.mathematics.notation import claim_key
from icgd.verify.catalogue import BUILT_IN, find_theorem
from icgd.verify.requests import requests_of
from icgd.verify.search.options import Search
from tests.closed_schemas import undocumented

KEY = re.compile(r"[a-z0-9.-]+(/[A-Za-z0-9.-]+)+")
"""Words of letters, digits and hyphens, joined by slashes: no underscores."""

SMALL = {"N": 1, "K": 1, "d": 1, "n": 2, "L": 1, "eps": 0.5}
AUDITED = (
    ("relu-icgd", "lean", SMALL),
    ("relu-icgd", "paper", SMALL),
    ("looped", None, {"d": 2, "n": 40, "T": 3}),
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    out = tmp_path_factory.mktemp("keys")
    made = []
    for name, construction, letters in AUDITED:
        theorem = replace(find_theorem(name), survey=None)
        search = Search(construction=construction, out=out)
        if name == "relu-icgd":
            search = replace(search, samples=20, effort=0.0)
        made.append(verify_one(theorem, letters, search, certify=True))
    return made


@pytest.fixture(scope="module")
def document(parts):
    named = {part.name: part.document for part in parts}
    return json.loads(json.dumps(audit_document(named, command="icgd audit", seed=0, seconds=1.0)))


@pytest.fixture(scope="module")
def keys(document):
    return [verdict["claim"] for verdict in document["verdicts"]]


def bounded(document):
    return {key for part in document["theorems"].values() for key in part["bounds"]}


@pytest.mark.parametrize("theorem", BUILT_IN, ids=lambda one: one.name)
def test_every_key_is_spelled_one_way(theorem):
    judged = [key for one in theorem.constructions or (None,) for key in theorem.claim_keys(one)]
    assert all(KEY.fullmatch(key) for key in judged) and len(set(judged)) == len(judged)
    names = {key.removeprefix(f"{theorem.name}/") for key in judged}
    if theorem.name == "preconditioned":
        names |= {*theorem.also(theorem.letters(covariates="sphere"))}
    assert theorem.own | theorem.repaired <= names
    assert not theorem.own & theorem.repaired


@pytest.mark.parametrize("theorem", BUILT_IN, ids=lambda one: one.name)
def test_whose_claim_it_is_follows_from_its_source(theorem):
    for construction in theorem.applicable(theorem.letters()) or (None,):
        chosen = {"construction": construction} if construction else {}
        claims = {claim.key: claim for claim in theorem.claims(theorem.letters(), **chosen)}
        assert all(KEY.fullmatch(key) for key in claims)
        for key in set(claims) & set(theorem.claim_keys(construction)):
            source = claims[key].source
            assert theorem.subject(key) == ("icgd" if source == "icgd" else "repaired" if "icgd" in source
                                            else "paper"), key  # fmt: skip


def test_a_verdict_has_the_key_of_its_claim_or_of_a_property(parts, document, keys):
    assert len(set(keys)) == len(keys) and all(KEY.fullmatch(key) for key in keys)
    listed = set()
    for part in parts:
        theorem = find_theorem(part.document["theorem"])
        judged = theorem.claim_keys(part.document["construction"])
        assert [verdict.claim for verdict in part.verdicts] == list(judged)
        listed |= {*judged}
        stated = part.document["bounds"]
        for key in stated:  # a claim of the same name in another spelling would be judged under another key
            spelled = key.replace("_", "-").casefold()
            assert all(
                other == key for other in {*stated, *judged} if other.replace("_", "-").casefold() == spelled
            )
    assert {*keys} == listed
    both = bounded(document) & {*keys}
    assert {"relu-icgd/lean/step-error", "relu-icgd/paper/step-error", "relu-icgd/step-error"} <= both
    assert {"relu-icgd/lean/mlp-width", "relu-icgd/heads", "looped/parameters"} <= both


def test_a_proof_says_by_what_and_only_what_was_checked_says_certificate(document):
    for part in document["theorems"].values():
        for verdict in part["verdicts"]:
            assert ("means" in verdict) == verdict["verdict"].startswith("proved")
            if verdict.get("means") == "certificate":
                assert part["certificate"]["accepted"] and verdict["claim"].endswith("/step-error")
            if verdict["verdict"] == "counted":
                claim = part["bounds"][verdict["claim"]]
                counted = part["census"].get(claim["quantity"], part["census"].get("entries"))
                assert claim["quantity"] == "depth" or isinstance(counted, int)
    said = {verdict["claim"]: verdict["verdict"] for verdict in document["verdicts"]}
    assert said["relu-icgd/lean/layers"] == said["relu-icgd/paper/width"] == "counted"
    assert said["looped/contraction"] == "proved on given prompts"


def shown_in_terminal(show, *given):
    console = Console(file=io.StringIO(), width=400, color_system=None)
    show(console, *given)
    cells = [line.split("│")[1].strip() for line in console.file.getvalue().splitlines() if "│" in line]
    return [cell for cell in cells if cell]


def test_the_terminal_shows_the_same_keys(parts, keys):
    assert shown_in_terminal(show_verdicts, verdicts_of(parts)) == keys
    theorem = find_theorem("looped")
    claims = theorem.claims(theorem.letters())
    assert shown_in_terminal(show_sizes, claims) == [claim.key for claim in claims]


def test_pytest_and_junit_show_the_same_keys(keys):
    requests = [one for name, construction, _ in AUDITED
                for one in requests_of(find_theorem(name), {}, construction)]  # fmt: skip
    assert [key for one in requests for key in one.claim_keys()] == keys


def test_the_page_shows_the_same_keys(document, keys):
    text = page(document, []).replace("<wbr>", "")
    items = re.findall(
        r'<details class="item" id="claim-[^>]*>\n<summary>(.*?)<code class="key">(.*?)</code>(.*?)</summary',
        text,
    )
    judged = [key for begins, key, _ in items if "not judged here" not in begins]
    assert judged == keys and len(items) == len({key for _, key, _ in items})
    assert {key for _, key, ends in items if 'class="size"' in ends} == bounded(document)
    assert "proved by certificate" in text and "proved on given prompts by balls" in text


def test_latex_and_its_macros_have_the_same_keys(document, keys, tmp_path):
    write_source(document, [], tmp_path)
    text = (tmp_path / "report.tex").read_text(encoding="utf-8")
    for key in {*keys} | bounded(document):
        assert str(claim_key(key)) in text, key
    assert r"\icgdverdict[proved by certificate]{proved}" in text
    places = {
        one.place.rpartition(" bounds ")[2]: one.macro
        for one in quantities(document)
        if " bounds " in one.place
    }
    assert {*places} == bounded(document)
    assert places["relu-icgd/lean/step-error"] == "icgdBoundBuiltStepError"
    for key, name in places.items():
        letters = re.sub(r"[^a-z]", "", key.rpartition("/")[2].casefold())
        assert name.casefold().endswith(letters) or re.search(r"\d", key)


def test_claims_of_papers_and_of_icgd_are_counted_apart(parts, document, tmp_path):
    console = Console(file=io.StringIO(), width=400, color_system=None)
    show_verdicts(console, verdicts_of(parts))
    found = [verdict["about"] for verdict in document["verdicts"]]
    lines = [f"{found.count('paper')} claims of the papers as stated: ",
             f"{found.count('repaired')} claims of the papers as repaired or made explicit here: ",
             f"{found.count('icgd')} claims of icgd about its own constructions and bounds: "]  # fmt: skip
    write_source(document, [], tmp_path)
    latex = (tmp_path / "report.tex").read_text(encoding="utf-8")
    assert found.count("paper") > 5 and found.count("repaired") > 10 and found.count("icgd") > 20
    stated = {verdict["claim"] for verdict in document["verdicts"] if verdict["about"] == "paper"}
    refuted = {f"relu-icgd/{name}" for name in LEMMAS} | {f"convergence/{name}" for name in DESCENT_LEMMAS}
    assert not stated & (refuted | {"preconditioned/lemma-1"}) and "relu-icgd/step-error" in stated
    alone = find_theorem("looped").verify()
    assert alone.summary[2] == "2 claims of icgd about its own constructions and bounds: 1 counted, 1 held"
    for surface in (console.file.getvalue(), page(document, []), latex):
        assert all(line in surface for line in lines)


def test_the_numbers_of_a_verdict_are_those_of_the_rest_of_the_document(document):
    assert undocumented("report", document) is None
    counted = searched = 0
    for part in document["theorems"].values():
        for verdict in part["verdicts"]:
            numbers, claim = verdict.get("numbers", {}), part["bounds"].get(verdict["claim"])
            if "counted" in numbers:
                assert numbers["claimed"] == claim["value"]
                assert numbers["counted"] in part["census"].values()
                counted += 1
            if verdict["claim"].endswith("/step-error"):
                error = part["step_error"]
                assert (numbers["largest"], numbers["allowed"]) == (error["attacked"], error["allowed"])
                assert (numbers["samples"], numbers["bound"]) == (part["search"]["admitted"], error["bound"])
                searched += 1
    assert counted >= 10 and searched == 3
