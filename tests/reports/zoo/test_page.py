"""The list and the README of a model: numbers rounded up, every slot with its meaning, Python that runs."""

import re
import sys

import pytest
import torch

from icgd.construct.exports.read_weights import read_weights
from icgd.reports.zoo.page import page_grids, readme, zoo_list
from icgd.verify.zoo.built_model import build_model
from icgd.verify.zoo.models import ZOO, zoo_model
from icgd.verify.zoo.sizes import zoo_sizes


def test_the_list_rounds_errors_up():
    grid = zoo_list()
    assert [row[0] for row in grid.rows] == list(ZOO)
    for name, posed, *sizes, error in grid.rows:
        size, model = zoo_sizes()[name], ZOO[name]
        assert sizes == [size.layers, size.heads, size.width, size.units]
        assert posed.startswith(f"{model.theorem} ") and all(
            f"{k}={v}" in posed for k, v in model.letters.items()
        )
        if model.exact:
            assert error == "exact"
        else:
            assert size.error <= float(error) <= size.error * 1.001


@pytest.mark.parametrize("name", ["relu-1", "looped"])
def test_the_readme_says_what_is_in_the_folder(name, tmp_path, monkeypatch):
    built = build_model(zoo_model(name))
    built.write(tmp_path)
    text = readme(built)
    slots, *circuits = page_grids(built)
    assert all(f"| {' | '.join(map(str, row))} |" in text for grid in (slots, *circuits) for row in grid.rows)
    weights = read_weights(tmp_path / "model.safetensors")
    assert all(row[-1] for row in slots.rows)
    if name == "relu-1":
        stream = weights.block().declaration.stream
        assert {row[0]: row[1] for row in slots.rows} == {n: f"{a}:{b}" for n, (a, b) in stream.items()}
        assert "icgd check certificate.json --N 1 --d 2 --n 4 --eps 0.01 --weights model.safetensors" in text
        assert "icgd audit relu-icgd --construction lean --N 1 --d 2 --n 4 --eps 0.01\n" in text
        constants = [row[2] for row in slots.rows if row[0] == "z1"]
        assert "| z1 |" in text and float(constants[0]) > 1
        (circuit,) = circuits
        assert circuit.rows[0] == (0, "2 heads", "x V1 one", "z1")
        assert circuit.rows[-2][0] == weights.block().declaration.layers - 1 and circuit.rows[-2][3] == "V1"
    else:
        assert (
            "icgd audit looped --d 2 --n 8\n" in text
            and "icgd check" not in text
            and circuits == []
            and "(looped/steps)" in text
        )
    # As a reader would: in the folder, with what is in it.
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "forward", raising=False)
    scope = {}
    exec(code, scope)
    monkeypatch.delitem(sys.modules, "forward")
    if name == "relu-1":
        assert scope["w_after"].shape == scope["w"].shape and not torch.equal(scope["w_after"], scope["w"])
    else:
        assert scope["prediction"].shape == (1,)
    assert "{{" not in text and "None" not in text and not re.search(r"\n\n\n|[^\n]\n##", text)
