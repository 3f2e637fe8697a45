"""A checkpoint that keeps every state of a training is read as the state that was asked for."""

import pytest
import torch

from icgd.bounds.letters import ProblemError
from icgd.construct.machine.tensor_files import read_header, read_tensors


def saved(tmp_path, value):
    torch.save(value, tmp_path / "run.pth")
    return tmp_path / "run.pth"


def test_each_state_of_each_layout_is_found_and_the_last_is_the_default(tmp_path):
    runs = {(seed,): [torch.randn(2, 1, 2, 3, 3) for _ in range(2 + seed)] for seed in range(2)}
    rotation = {"U": torch.eye(3), "D": torch.eye(3)}
    by_seed = {(seed,): torch.eye(3) for seed in range(2)}
    one, other = runs.values()
    for value, asked, wanted, said in (
        ({"hist_list": one}, None, one[1], "state 1 of 0 to 1"),
        ({"hist_list": one}, "0", one[0], "state 0 of 0 to 1"),
        ({"hist": other} | rotation, None, other[2], "state 2 of 0 to 2"),
        ({"hist_dict": runs}, None, one[1], "state 1 of 0 to 1 of run 0 of 0 to 1"),
        ({"hist_dict": runs, "U_dict": by_seed}, "1:", other[2], "state 2 of 0 to 2 of run 1 of 0 to 1"),
        ({"hist_dict": runs}, "1:1", other[1], "state 1 of 0 to 2 of run 1 of 0 to 1"),
    ):
        path = saved(tmp_path, value)
        header = read_header(path, "weights", trust_pickle=True, state=asked)
        assert header.metadata == {"state": said}
        found = read_tensors(path, "weights", header)
        assert set(found) == {"allparam"} and torch.equal(found["allparam"], wanted.to(torch.float64))


def test_a_state_that_is_not_there_is_refused_in_one_sentence(tmp_path):
    history = {"hist_dict": {(0,): [torch.ones(1, 1, 2, 2, 2)]}}
    for value, asked, words in (
        (history, "1", "the run has 1 state, counted from 0"),
        (history, "1:", "has 1 run, counted from 0"),
        (history, "-1", "it is the number of a state, such as 300"),
        (history, "", "it is the number of a state"),
        ({"allparam": torch.ones(1, 1, 2, 2, 2)}, "0", "keeps no history of training"),
        ({"hist_list": []}, None, "hist_list is a list, and tensors by name are needed"),
        ({"hist_list": [1.0]}, None, "hist_list is a list"),
        ({"hist_dict": {}}, None, "hist_dict is a dict"),
    ):
        with pytest.raises(ProblemError, match=words) as error:
            read_header(saved(tmp_path, value), "weights", trust_pickle=True, state=asked)
        assert "\n" not in str(error.value)
    other = tmp_path / "x.safetensors"
    other.write_bytes(b"\2" + b"\0" * 7 + b"{}")
    with pytest.raises(ProblemError, match="only a pickle that --trust-pickle opens keeps states"):
        read_header(other, "weights", state="0")
