"""What a file holds is found out from the names of its tensors, in the same way for files and for tensors."""

import pytest
import torch

import icgd
from icgd import cli
from icgd.bounds.letters import ProblemError
from icgd.kinds import FILE_KINDS, kind_of
from tests.numpy_layers import layers_by_hand

SNIFFED = {
    "block": [
        {"layer.00.Q": (2, 8, 8), "layer.00.K": (2, 8, 8), "layer.00.V": (2, 8, 8)},
        {"layer.00.W1": (16, 8), "layer.00.W2": (8, 16)},
    ],
    "linear": [
        {"P": (1, 3, 3), "Q": (1, 3, 3)},
        {"allparam": (2, 1, 2, 3, 3)},
        {"layer.00.P": (3, 3), "layer.00.Q": (3, 3)},
        {f"layer.00.{part}": (2, 3, 3) for part in "QKVO"},
        {f"layer.00.{part}": (2, 3, 3) for part in "QKVP"},
    ],
}


def test_each_kind_is_found_by_its_names_and_by_no_other_kind():
    for name, files in SNIFFED.items():
        for shapes in files:
            assert [kind.name for kind in FILE_KINDS.values() if kind.holds(shapes)] == [name]
            assert kind_of(shapes).name == name
    for shapes in ({}, {"weight": (3, 3)}, {"layer.00.bias": (3,)}):
        with pytest.raises(ProblemError, match=r"no kind has such tensors; .*block has layer\.00\.Q"):
            kind_of(shapes)
    with pytest.raises(ProblemError, match="kind = odd: the kinds are block"):
        kind_of({}, "odd")


def test_python_judges_tensors_by_their_kind_and_refuses_the_rest():
    tensors, _ = layers_by_hand(N=1, K=1)
    named = {name: torch.from_numpy(one) for name, one in tensors.items()}
    with pytest.raises(ProblemError, match="they need a problem and a stream"):
        icgd.judge(named)
    with pytest.raises(ProblemError, match=r"weight = nothing|no kind has such tensors"):
        icgd.judge(torch.nn.Linear(2, 2))
    with pytest.raises(ProblemError, match="source = int: a path, tensors by name, or a module"):
        icgd.judge(3)


def test_a_checkpoint_of_torch_is_judged_only_with_the_flag(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tensors, _ = layers_by_hand(N=1, K=1)
    torch.save({"state_dict": {name: torch.from_numpy(one) for name, one in tensors.items()}}, "m.pt")
    assert cli.main(["judge", "m.pt"]) == cli.BAD_INPUT
    assert "give --trust-pickle" in capsys.readouterr().err
    assert cli.main(["judge", "m.pt", "--trust-pickle"]) == cli.BAD_INPUT  # a pickle has no metadata
    assert "give them as --stream" in capsys.readouterr().err
