"""The state dict for TransformerLens, run here by its formulas, is the literal reading; slots have names."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from icgd.bounds.letters import ProblemError
from icgd.construct.exports import lens_state
from icgd.construct.exports.formats import export_weights
from icgd.construct.exports.lens_model import LensFolder
from icgd.construct.exports.read_weights import read_weights

CASES = ("lean", "paper", "softmax", "preconditioned", "others", "looped")
WITHOUT_LAYERS = ("W_E", "W_pos", "W_U", "b_U")


def run(folder, H):
    """The residual streams before and after each block, as TransformerLens documents its layers."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    W, rule = load_file(folder / "model.safetensors"), LensFolder(folder).pattern
    T, streams = H.shape[1], [H]
    for layer in range(config["n_layers"]):
        A = {name: W[f"blocks.{layer}.attn.{name}"] for part in "QKVO" for name in (f"W_{part}", f"b_{part}")}
        q, k, v = (np.einsum("btd,mdh->bmth", H, A[f"W_{part}"]) + A[f"b_{part}"][:, None] for part in "QKV")
        pattern = q @ k.swapaxes(-1, -2) / config["attn_scale"]
        if rule["kernel"] == "softmax":
            pattern = np.exp(pattern) / np.exp(pattern).sum(-1, keepdims=True)
        elif rule["kernel"] == "relu":
            pattern = np.maximum(pattern, 0)
        if layer in rule["alone"]:
            pattern = pattern * np.eye(T)
        elif rule["kernel"] != "softmax":
            pattern = pattern / {"tokens": T, "examples": T - 1}[rule["over"]]
        if not rule["query_is_seen"]:
            pattern[..., -1] = 0
        H = H + np.einsum("bmth,mhd->btd", pattern @ v, A["W_O"]) + A["b_O"]
        if not config["attn_only"]:
            M = {name: W[f"blocks.{layer}.mlp.{name}"] for name in ("W_in", "b_in", "W_out", "b_out")}
            H = H + np.maximum(H @ M["W_in"] + M["b_in"], 0) @ M["W_out"] + M["b_out"]
        streams.append(H)
    return streams, H @ W["unembed.W_U"] + W["unembed.b_U"]


@pytest.fixture(scope="module")
def folders(exported_cases, tmp_path_factory):
    made = tmp_path_factory.mktemp("lens")
    for name in CASES:
        export_weights(read_weights(exported_cases[name]["file"]), "transformer-lens", made / name)
    return {name: made / name for name in CASES}


def test_the_state_dict_is_the_literal_reading(exported_cases, folders):
    for name, folder in folders.items():
        case, lens = exported_cases[name], LensFolder(folder)
        x, y, query, *w = case["parts"]
        into = case["into"] if w else case["into"].mT
        assert torch.equal(lens.stream(x, y if w else y[..., None], query, *w), into)
        H = into.numpy()
        for _ in range(3 if name == "looped" else 1):
            streams, logits = run(folder, H)
            H = streams[-1]
        if w:
            block = read_weights(case["file"]).block()
            assert np.abs(H - case["out"].detach().numpy()).max() <= 1e-12, name
            assert np.abs(logits - case["out"][..., block.stream.w].numpy()).max() <= 1e-12, name
        else:
            assert np.abs(logits[:, -1, 0] - case["out"].detach().numpy()).max() <= 1e-12, name


def test_matrices_of_any_shape_are_the_literal_reading(exported_cases, tmp_path):
    """A head of somebody else's reads more coordinates than it writes, and another writes more."""
    case = exported_cases["lean"]
    given, generator = read_weights(case["file"]), torch.Generator().manual_seed(4)
    tensors = dict(given.tensors)
    Q, K, V = (torch.randn(tensors["layer.00.Q"].shape, generator=generator).double() / 8 for _ in range(3))
    tensors |= {"layer.00.Q": Q, "layer.00.K": K, "layer.00.V": V}
    V[0, 2:], V[-1, :, 2:] = 0, 0
    save_file(tensors, tmp_path / "given.safetensors", dict(given.metadata))
    weights = read_weights(tmp_path / "given.safetensors")
    export_weights(weights, "transformer-lens", tmp_path / "lens")
    H = torch.randn(2, 4, Q.shape[-1], generator=generator).double()
    streams, _ = run(tmp_path / "lens", H.numpy())
    wanted = weights.block()(H).numpy()
    assert len(V) == 2
    assert np.abs(streams[-1] - wanted).max() <= 1e-12 * np.abs(wanted).max()
    assert LensFolder(tmp_path / "lens").config["d_head"] == Q.shape[-1]


def test_every_tensor_of_a_model_is_there_and_no_other(folders):
    for name, folder in folders.items():
        lens = LensFolder(folder)
        assert name not in ("lean", "looped") or lens.config["d_head"] == 3, "a query of d entries and 1"
        M, D, size, hidden = (lens.config[one] for one in ("n_heads", "d_model", "d_head", "d_mlp"))
        layers = {
            **{f"attn.W_{part}": (M, D, size) for part in "QKV"},
            **{f"attn.b_{part}": (M, size) for part in "QKV"},
            **{"attn.W_O": (M, size, D), "attn.b_O": (D,)},
        }
        if not lens.config["attn_only"]:
            layers |= {"mlp.W_in": (D, hidden), "mlp.b_in": (hidden,)}
            layers |= {"mlp.W_out": (hidden, D), "mlp.b_out": (D,)}
        wanted = {
            f"blocks.{layer}.{part}": shape
            for layer in range(lens.config["n_layers"])
            for part, shape in layers.items()
        }
        outputs = lens.config["d_vocab_out"]
        wanted |= {"embed.W_E": (1, D), "pos_embed.W_pos": (lens.config["n_ctx"], D)}
        wanted |= {"unembed.W_U": (D, outputs), "unembed.b_U": (outputs,)}
        assert {one: tuple(tensor.shape) for one, tensor in lens.state.items()} == wanted, name
        assert {tensor.dtype for tensor in lens.state.values()} == {torch.float64}


def test_the_size_is_known_before_the_matrices_are_made(exported_cases):
    for name in ("lean", "softmax"):
        block = read_weights(exported_cases[name]["file"]).block()
        state = lens_state.LensState(list(block.literal()), 4, torch.eye(block.stream.D).double())
        matrices = [one for of, one in state.tensors().items() if of.startswith("blocks") and ".W_" in of]
        assert state.bytes() == sum(one.nbytes for one in matrices), name


def test_slots_are_named_directions(exported_cases, folders):
    lens, block = LensFolder(folders["lean"]), read_weights(exported_cases["lean"]["file"]).block()
    assert {
        name: (slot["start"], slot["stop"]) for name, slot in lens.slots.items()
    } == block.declaration.stream
    assert len(set(lens.directions)) == len(lens.directions) == lens.config["d_model"] == block.stream.D
    for name, start in (("x[0]", "x"), ("y", "y"), ("V1[0,0]", "V1"), ("z2", "z2"), ("t", "t")):
        assert lens.directions[lens.slice(start).start] == name
    assert lens.directions[lens.slice("V1")] == ["V1[0,0]", "V1[0,1]", "V1[1,0]", "V1[1,1]"]
    assert lens.directions[lens.slice("V2")] == ["V2[0,0]", "V2[0,1]"]
    assert all(slot["meaning"] for slot in lens.slots.values())
    assert {name for name, slot in lens.slots.items() if "constant" in slot} == {"z1", "z2", "g1"}
    # On a prompt of zeros V p is 0, and what is left in its slot is the constant.
    H = lens.stream(torch.zeros(1, 3, 2).double(), torch.zeros(1, 3, 1), torch.zeros(1, 2), torch.zeros(1, 6))
    streams, _ = run(folders["lean"], H.numpy())
    for name in ("z1", "z2", "g1"):
        assert np.abs(streams[-2][..., lens.slice(name)] - lens.slots[name]["constant"]).max() <= 1e-12
        assert lens.slots[name]["constant"] > 0.5
    assert not any("constant" in slot for slot in LensFolder(folders["softmax"]).slots.values())
    assert LensFolder(folders["looped"]).directions == ["x[0]", "x[1]", "x[2]", "y"]


def test_attention_of_another_kind_and_too_large_a_state_are_refused(exported_cases, tmp_path, monkeypatch):
    plain = read_weights(exported_cases["softmax"]["file"])
    for change in ({"attention": "relu", "diagonal": "[]"}, {"diagonal": '["layer.01"]'}):
        path = tmp_path / "other.safetensors"
        save_file(dict(plain.tensors), path, {**plain.metadata, **change})
        if "attention" in change:
            export_weights(read_weights(path), "transformer-lens", tmp_path / "relu")
            assert LensFolder(tmp_path / "relu").pattern["kernel"] == "relu"
        else:
            with pytest.raises(ProblemError, match="attention = softmax, diagonal in 1 layers: Transformer"):
                export_weights(read_weights(path), "transformer-lens", tmp_path / "alone")
    with pytest.raises(ProblemError, match="kernel weights"):
        export_weights(read_weights(exported_cases["over tokens"]["file"]), "transformer-lens", tmp_path)
    monkeypatch.setattr(lens_state, "_COPIES", 1e12)
    with pytest.raises(ProblemError, match="padded matrices"):
        export_weights(plain, "transformer-lens", tmp_path / "large")
    assert not (tmp_path / "alone").exists() and not (tmp_path / "large").exists()
