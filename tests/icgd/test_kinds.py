"""What a file holds is found out from the names of its tensors, in the same way for files and for tensors."""

import re

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


def test_python_chooses_a_state_by_its_number(tmp_path):
    states = [torch.full((1, 1, 2, 2, 2), float(at)) for at in range(3)]
    torch.save({"hist_list": states}, tmp_path / "run.pth")
    quick = {"n": 4, "samples": 20, "effort": 0.0, "trust_pickle": True}
    assert icgd.judge(tmp_path / "run.pth", state=1, **quick).given.layout == "allparam, state 1 of 0 to 2"
    for source, state, words in (
        (tmp_path / "run.pth", 1.5, "state = 1.5"),
        ({"allparam": states[0]}, 0, "state = 0"),
    ):
        with pytest.raises(ProblemError, match=words):
            icgd.judge(source, state=state, **quick)


def test_entries_that_float64_cannot_hold_are_refused_and_not_cut():
    P, Q = torch.zeros(1, 3, 3, dtype=torch.float64), torch.zeros(1, 3, 3, dtype=torch.float64)
    P[0, 2, 2], Q[0, 0, 0], Q[0, 1, 1] = 1.0, -0.5, -0.5
    quick = {"n": 4, "samples": 50, "effort": 0.05}
    whole = icgd.judge({"P": P.tolist(), "Q": Q.numpy()}, **quick)
    assert whole.verdicts[0].said == "proved by exact arithmetic"
    block, _ = layers_by_hand(N=1, K=1)
    odd = {
        "P = complex128": {"P": P * (1 + 0j), "Q": Q},
        "Q = int64": {"P": P, "Q": torch.full((1, 3, 3), 2**60)},
        "P = list": {"P": [[1.0], [1.0, 2.0]], "Q": Q},
        "layer.00.V = complex128": {**block, "layer.00.V": block["layer.00.V"] * (1 + 5j)},
    }
    for words, tensors in odd.items():
        with pytest.raises(ProblemError, match=re.escape(words)):
            icgd.judge(tensors, **quick)


def test_the_mask_and_the_sign_are_what_their_words_say():
    # After one layer, the query's label is no longer 0: only then the mask matters.
    P, Q = torch.zeros(2, 3, 3, dtype=torch.float64), torch.zeros(2, 3, 3, dtype=torch.float64)
    P[:, 2, 2], Q[:, 0, 0], Q[:, 1, 1] = 1.0, -0.5, -0.5
    quick = {"n": 4, "samples": 50, "effort": 0.05}
    found = {
        mask: icgd.judge({"P": P, "Q": Q}, mask=mask, **quick).verdicts[0].status
        for mask in ("yes", True, "no", False)
    }
    assert found["yes"] == found[True] == "proved" and found["no"] == found[False] != "proved"
    for name, value in (("mask", "I"), ("mask", 2), ("sign", 0), ("sign", [1])):
        with pytest.raises(ProblemError, match=f"{name} = "):
            icgd.judge({"P": P, "Q": Q}, **{name: value}, **quick)
