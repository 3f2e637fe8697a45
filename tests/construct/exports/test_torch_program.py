"""A program of torch.export, loaded by torch alone, does what the literal reading does."""

import json

import pytest
import torch

from icgd.construct.exports.formats import export_weights
from icgd.construct.exports.forward import load_weights
from icgd.construct.exports.read_weights import read_weights
from icgd.construct.exports.torch_program import METADATA_FILE

LOOPS = {"lean": 1, "softmax": 1, "looped": 3, "over examples": 1}
"""Of each kind of layer one: to make a program takes torch a second."""


@pytest.mark.slow
def test_programs_agree_with_the_literal_reading_for_any_number_of_prompts(exported_cases, tmp_path):
    for name, loops in LOOPS.items():
        case = exported_cases[name]
        weights = read_weights(case["file"])
        (path,) = export_weights(weights, "torch-program", tmp_path / f"{name}.pt2")
        beside = {METADATA_FILE: ""}
        program = torch.export.load(path, extra_files=beside).module()
        assert json.loads(beside[METADATA_FILE]) == dict(weights.metadata), name
        into = case["into"]
        out = program(into)
        for _ in range(loops - 1):
            out = program(out)
        found = out if weights.kind == "block" else -out[:, -1, -1]
        assert (found - case["out"]).abs().max() <= 4 * 2.0**-52, name
        assert (program(into[:1]) - program(into)[:1]).abs().max() <= 4 * 2.0**-52, name
        longer = torch.cat([into, into], dim=1 if weights.kind == "block" else 2)
        by_python = load_weights(str(case["file"]))(longer)
        assert (program(longer) - by_python).abs().max() <= 4 * 2.0**-52, name
