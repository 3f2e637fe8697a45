"""The JSON Schemas that ship: made from our types, one for each command, held against what commands write."""

import copy
import json
from functools import cache
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

import icgd
from icgd import cli
from icgd.bounds.problem import Problem
from icgd.reports.document.schema_files import SCHEMA_FOLDER, SCHEMAS
from icgd.reports.document.schemas import WRITTEN, json_schema
from icgd.reports.document.shape import SCHEMA
from icgd.verify.certificate.constructions import CONSTRUCTIONS
from icgd.verify.certificate.issue import as_read, posed_letters
from icgd.verify.certificate.proof import certified
from icgd.verify.certificate.shape import flaw
from icgd.verify.sweeps.release import release
from tests.closed_schemas import as_documented, undocumented


def test_the_files_are_what_the_types_say():
    assert WRITTEN.keys() == SCHEMAS.keys() == {path.stem for path in SCHEMA_FOLDER.iterdir()}
    for name in SCHEMAS:
        shipped = json.loads((SCHEMA_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        assert shipped == json_schema(name), "python -m icgd.reports.document.schemas writes it again"
        assert shipped["$id"] == f"urn:icgd:schema:{SCHEMA}:{name}"
        assert not list(_open_objects(shipped)), name


def _open_objects(part):
    """The objects of a schema with keys of their own that allow others, too."""
    inside = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    if isinstance(part, dict) and "properties" in part and part.get("additionalProperties") is not False:
        yield part
    for one in inside:
        yield from _open_objects(one)


def test_a_misspelt_key_is_refused_at_every_depth():
    found = {
        "schema": SCHEMA,
        "release": "r",
        "seconds": 0.1,
        "versions": {},
        "grids": [],
        "problem": {"T": 2},
    }
    bound = {"title": "", "statement": "", "hypotheses": [], "expression": "2", "latex": "2", "value": 2,
             "relation": "<=", "quantity": "steps", "source": "icgd", "constants": {}}  # fmt: skip
    whole = found | {"construction": None, "bounds": {"looped/steps": bound}}
    assert undocumented("bounds", whole) is None
    assert "'secs' was unexpected" in undocumented("bounds", whole | {"secs": 1.0})
    deep = whole | {"bounds": {"looped/steps": bound | {"Value": 2}}}
    assert "bounds/looped/steps: " in undocumented("bounds", deep)


def test_every_command_that_writes_json_has_a_schema():
    app = get_command(cli._app(None))
    assert isinstance(app, TyperGroup)
    writing = {name for name, one in app.commands.items() if any("--json" in p.opts for p in one.params)}
    assert writing and writing - {"schema"} <= SCHEMAS.keys()


def test_what_commands_write_is_what_their_schemas_say(tmp_path, monkeypatch, capsys):
    """The others are held against theirs where they are tested: in tests/icgd."""
    monkeypatch.chdir(tmp_path)
    commands = {
        ("findings", "--letter", "2410.11268"): "letter",
        ("findings", "--questions", "--theorem", "convergence"): "questions",
        ("study",): "studies",
    }
    for command, key in commands.items():
        assert cli.main([*command, "--json", "found.json"]) == cli.KEPT
        found = as_documented(command[0], Path("found.json").read_text(encoding="utf-8"))
        assert found["schema"] == SCHEMA and found["release"] == release() and key in found
        assert found["release"].startswith(f"{icgd.__version__} (") and "icgd" in found["versions"]
    capsys.readouterr()


def test_a_schema_is_listed_printed_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["schema"]) == cli.KEPT
    told = capsys.readouterr().out
    assert all(name in told for name in SCHEMAS) and "$schema" not in told
    assert cli.main(["schema", "bounds"]) == cli.main(["schema", "bounds", "--json", "b.json"]) == cli.KEPT
    assert capsys.readouterr().out == Path("b.json").read_text(encoding="utf-8")
    assert cli.main(["schema", "--json", "-"]) == cli.KEPT
    assert json.loads(capsys.readouterr().out) == {name: json_schema(name) for name in SCHEMAS}
    assert cli.main(["schema", "bound"]) == cli.BAD_INPUT
    assert "schema = bound: there is none of this name; there are audit, " in capsys.readouterr().err


@cache
def _certificate(construction):
    problem = Problem(N=2, K=1, d=1, n=2, eps=0.5, loss="log-cosh" if construction == "lean" else "squared")
    return as_read(certified(problem, construction)), posed_letters(problem)


def _places(part, way=()):
    """The way to every value inside, for each list to its first one alone: the others are alike."""
    inside = part.items() if isinstance(part, dict) else enumerate(part[:1]) if isinstance(part, list) else ()
    for key, one in inside:
        yield (*way, key)
        yield from _places(one, (*way, key))


@pytest.mark.parametrize("construction", ["lean", pytest.param("softmax", marks=pytest.mark.slow)])
def test_schema_and_checkers_agree_on_the_fields_of_a_certificate(construction):
    """What is lost, put among others, or of another kind is refused by both, or by neither."""
    found, posed = _certificate(construction)
    assert undocumented("certificate", found) is None
    layer, seen = CONSTRUCTIONS[construction].layer, 0
    for way in list(_places(found)):
        if way[0] == "problem" or way == ("construction",):
            continue  # another problem or construction is left to its checker
        for change in ("lost", "added", "another"):
            changed = copy.deepcopy(found)
            part = changed
            for key in way[:-1]:
                part = part[key]
            if change == "another":
                part[way[-1]] = {"odd": [None]}
            elif isinstance(part, list) or (change == "added" and not isinstance(part[way[-1]], dict)):
                continue
            elif (way, change) == (("lip",), "lost"):
                continue  # whether it is needed depends on the loss
            elif change == "lost":
                del part[way[-1]]
            else:
                part[way[-1]]["odd"] = "one"
            refused = flaw(changed, posed, construction, layer) is not None
            assert refused == (undocumented("certificate", changed) is not None), (way, change)
            seen += refused
    assert seen > 100
