"""What the proof of several steps relies on is what pages say, and their commands and Python run."""

import ast
import json
import re
import textwrap
from pathlib import Path

import pytest

from icgd import cli
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.several_steps.proof import SPECTRUM_TRUSTED
from tests.verify.checker.test_size import lines_of_code

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "several_steps.md").read_text(encoding="utf-8")


def test_the_checks_import_the_checker_alone_and_are_as_long_as_pages_say():
    trust = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    for name in ("spectrum_check", "tube"):
        path = ROOT / "verify" / "several_steps" / f"{name}.py"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        ours = {
            node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and "icgd" in node.module
        }
        assert all(module.startswith("icgd.verify.checker.") for module in ours)
        said = f"{lines_of_code(path)} lines of code"
        assert said in PAGE and f"`verify/several_steps/{name}.py` ({said}" in trust.replace("\n", " ")
        assert f"{name}.py, {lines_of_code(path)}" in SPECTRUM_TRUSTED


def test_the_python_of_the_page_runs():
    (block,) = re.findall(r"((?:^    from .*\n)(?:^    .*\n)*)", PAGE, re.MULTILINE)
    problem = Problem(N=1, K=1, d=1, n=2, eps=0.5)
    names = {"transformer": assemble(plan(problem)), "prompt": random_prompts(problem, 1, seeded(0))}
    exec(textwrap.dedent(block), names)
    assert names["found"].steps == 20


@pytest.mark.slow
def test_the_commands_of_the_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = {"--N": "1", "--K": "1", "--d_out": "1", "--L": "2", "--eps": "0.5"}
    lines = re.findall(r"^    icgd (.*?)(?:  +#.*)?$", PAGE, re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        words = line.split()
        letters = [word for name in small.keys() - {*words} for word in (name, small[name])]
        assert cli.main([*words, *letters, "--json", "found.json"]) == 0
        found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
        verdicts = {one["claim"]: one["verdict"] for one in found["verdicts"]}
        assert verdicts["convergence/several-steps"] == "proved", line
        assert verdicts["convergence/on-prompts"] == "proved on given prompts", line
