"""What a GPT-2 state dict must hold, by the names of Hugging Face and of dtsip: tensors, settings."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn.functional import gelu, relu, silu

from icgd.bounds.letters import ProblemError
from icgd.construct.gpt2_attention import ATTENTION_DIVISORS, ATTENTION_FUNCTIONS, TOKEN_FORMATS
from icgd.construct.machine.files import regular_file

GPT2_BLOCK: Mapping[str, tuple[str, ...]] = {
    "ln_1.weight": ("width",),
    "ln_1.bias": ("width",),
    "attn.c_attn.weight": ("width", "3 width"),
    "attn.c_attn.bias": ("3 width",),
    "attn.c_proj.weight": ("width", "width"),
    "attn.c_proj.bias": ("width",),
    "ln_2.weight": ("width",),
    "ln_2.bias": ("width",),
    "mlp.c_fc.weight": ("width", "inner"),
    "mlp.c_fc.bias": ("inner",),
    "mlp.c_proj.weight": ("inner", "width"),
    "mlp.c_proj.bias": ("width",),
}
"""The tensors of a block; matrices are (inputs, outputs), as the class Conv1D keeps them."""

_BODY: Mapping[str, tuple[str, ...]] = {
    "wpe.weight": ("positions", "width"),
    "ln_f.weight": ("width",),
    "ln_f.bias": ("width",),
}
_ENDS: Mapping[str, tuple[str, ...]] = {
    "read_in.weight": ("width", "d"),
    "read_in.bias": ("width",),
    "read_out.weight": ("1", "width"),
    "read_out.bias": ("1",),
}
_IGNORED = re.compile(r"(wte\.weight|lm_head\.weight|h\.\d+\.attn\.(masked_)?bias)")
"""Tensors without a part in the forward pass: embeddings of words, and masks kept as buffers."""

_ANCHOR = "h.0.ln_1.weight"
_MOST_LAYERS = 1000
_MOST_CONFIG = 1 << 20

GPT2_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu_new": partial(gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(gelu, approximate="tanh"),
    "gelu": gelu,
    "relu": relu,
    "silu": silu,
}
"""The activations of the MLP, by the names that configs use."""

_SETTINGS = {
    "n_head": "heads",
    "layer_norm_epsilon": "epsilon",
    "activation_function": "activation",
    "scale_attn_weights": "scale_attention",
    "scale_attn_by_inverse_layer_idx": "scale_by_layer",
    "attention_function": "attention",
    "attention_divisor": "divisor",
    "token_format": "tokens",
}
_NAMED = {
    "attention_function": ATTENTION_FUNCTIONS,
    "attention_divisor": ATTENTION_DIVISORS,
    "token_format": TOKEN_FORMATS,
}
"""Settings that no config of Hugging Face's has, and the names that each may take."""

_DECLARED = {"n_embd": "width", "n_layer": "layers", "n_inner": "inner"}


@dataclass(frozen=True)
class GPT2Sizes:
    """The sizes of a GPT-2, read from its tensors.  positions: the longest sequence of tokens."""

    d: int
    width: int
    layers: int
    inner: int
    positions: int

    @property
    def weights(self) -> float:
        """How many numbers it has."""
        each = sum(math.prod(self.shape(shape)) for shape in GPT2_BLOCK.values())
        ends = sum(math.prod(self.shape(shape)) for shape in (*_BODY.values(), *_ENDS.values()))
        return float(self.layers * each + ends)

    def shape(self, named: tuple[str, ...]) -> tuple[int, ...]:
        """A shape of the tables above in numbers."""
        sizes = {one.name: getattr(self, one.name) for one in fields(self)}
        sizes |= {"1": 1, "3 width": 3 * self.width}
        return tuple(sizes[name] for name in named)


@dataclass(frozen=True)
class GPT2Settings:
    """What the tensors do not say.  declared: sizes that the config names, held against the tensors.

    Raises ProblemError for a setting that no GPT-2 has, or that is not run here.
    """

    heads: int
    epsilon: float = 1e-5
    activation: str = "gelu_new"
    scale_attention: bool = True
    scale_by_layer: bool = False
    attention: str = "softmax"
    divisor: str = "keys"
    tokens: str = "interleaved"
    declared: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        if type(self.heads) is not int or not 0 < self.heads < 10**4:
            raise ProblemError("n_head", self.heads, "a number of heads is needed")
        number = isinstance(self.epsilon, int | float) and not isinstance(self.epsilon, bool)
        if not number or not 0 <= self.epsilon < 1:
            raise ProblemError("layer_norm_epsilon", self.epsilon, "a small positive number is needed")
        if not isinstance(self.activation, str) or self.activation not in GPT2_ACTIVATIONS:
            why = f"the known activations are {', '.join(GPT2_ACTIVATIONS)}"
            raise ProblemError("activation_function", self.activation, why)
        for theirs, ours in _SETTINGS.items():
            if theirs.startswith("scale") and type(getattr(self, ours)) is not bool:
                raise ProblemError(theirs, getattr(self, ours), "true or false is needed")
        for theirs, known in _NAMED.items():
            if (value := getattr(self, _SETTINGS[theirs])) not in tuple(known):
                raise ProblemError(theirs, value, f"the known ones are {', '.join(known)}")

    @classmethod
    def read(cls, source: Mapping[str, Any] | Path | str) -> GPT2Settings:
        """From a config by name, as in Hugging Face's config.json, or from such a file.

        Of its entries, those about sizes, heads, layer norm, activation and scaling count; those under
        "model", where there are such.
        """
        given = source if isinstance(source, Mapping) else _json_of(Path(source))
        given = given["model"] if isinstance(given.get("model"), Mapping) else given
        for key in ("family", "model_type"):
            if given.get(key, "gpt2") != "gpt2":
                raise ProblemError(key, given[key], "only gpt2 is run; its tensors have the same names")
        if given.get("add_cross_attention"):
            raise ProblemError("add_cross_attention", True, "only models without cross attention are run")
        if "n_head" not in given:
            why = "the config must say how many heads there are, as n_head; tensors do not show it"
            raise ProblemError("n_head", "missing", why)
        declared = []
        for key, size in _DECLARED.items():
            if given.get(key) is not None:
                if type(given[key]) is not int:
                    raise ProblemError(key, given[key], "a whole number is needed")
                declared.append((size, given[key]))
        chosen = {ours: given[theirs] for theirs, ours in _SETTINGS.items() if theirs in given}
        return cls(**chosen, declared=tuple(declared))


def _json_of(path: Path) -> Mapping[str, Any]:
    with regular_file(path, "config") as file:
        text = file.read(_MOST_CONFIG + 1)
    try:
        found = json.loads(text.decode("utf-8")) if len(text) <= _MOST_CONFIG else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProblemError("config", path, "it is not a small JSON file of settings, such as config.json")
    return found


def is_gpt2(names: Mapping[str, Any]) -> bool:
    """Whether tensors with these names are a GPT-2.

    >>> is_gpt2({"transformer.h.0.ln_1.weight": None}), is_gpt2({"layer.00.Q": None})
    (True, False)
    """
    return any(_is_part(name, _ANCHOR) for name in names)


def needed_name(name: str) -> bool:
    """Whether a tensor with this name has a part in the forward pass; others are not read from files."""
    return not any(found.end() == len(name) for found in _IGNORED.finditer(name))


def _is_part(name: str, part: str) -> bool:
    return name == part or name.endswith(f".{part}")


def check_state(
    shapes: Mapping[str, tuple[int, ...]], settings: GPT2Settings
) -> tuple[GPT2Sizes, dict[str, str]]:
    """The sizes, and where each tensor is: "h.0.ln_1.weight" -> its name in the state dict.

    Raises ProblemError for a missing, unknown or misshapen tensor, which it names.
    """
    anchors = [name for name in shapes if _is_part(name, _ANCHOR)]
    if len(anchors) != 1:
        why = f"exactly one tensor named ...{_ANCHOR} is needed, and there are {len(anchors)}"
        raise ProblemError("state dict", ", ".join(list(shapes)[:3]) or "empty", why)
    body = anchors[0].removesuffix(_ANCHOR)
    homes = {name: body + name for name in _BODY}
    for name in _ENDS:
        homes[name] = next((one for one in shapes if _is_end(one, name)), f"_{name}")
    found = {int(one[1]) for name in shapes if (one := re.match(rf"{re.escape(body)}h\.(\d{{1,4}})\.", name))}
    layers = max(found) + 1
    if layers > _MOST_LAYERS:
        raise ProblemError("state dict", f"{layers} layers", f"at most {_MOST_LAYERS} are run")
    homes |= {f"h.{i}.{name}": f"{body}h.{i}.{name}" for i in range(layers) for name in GPT2_BLOCK}
    for name, home in homes.items():
        if home not in shapes:
            raise ProblemError("state dict", home, _why_missing(name))
    known = set(homes.values())
    for name in shapes:
        if name not in known and needed_name(name):
            raise ProblemError(
                "state dict", name, "no GPT-2 has this tensor, so it is not known what it does"
            )
    sizes = _sizes(shapes, homes, layers)
    tables = {
        **_BODY,
        **_ENDS,
        **{f"h.{i}.{name}": GPT2_BLOCK[name] for i in range(layers) for name in GPT2_BLOCK},
    }
    for name, named in tables.items():
        _check_shape(homes[name], shapes[homes[name]], sizes.shape(named))
    for name, value in settings.declared:
        if getattr(sizes, name) != value:
            why = f"the tensors show {getattr(sizes, name)}"
            raise ProblemError(f"config: {name}", value, why)
    if sizes.width % settings.heads:
        why = f"the width {sizes.width} is no multiple of it"
        raise ProblemError("n_head", settings.heads, why)
    return sizes, homes


def _is_end(name: str, end: str) -> bool:
    return _is_part(name, end) or _is_part(name, f"_{end}")


def _why_missing(name: str) -> str:
    if name in _ENDS:
        return (
            "it is missing: a GPT-2 of words takes no numbers; its state dict needs a linear layer _read_in "
            "(d to width) and one _read_out (width to 1), or judge a function that writes prompts as words"
        )
    return "it is missing"


def _sizes(shapes: Mapping[str, tuple[int, ...]], homes: Mapping[str, str], layers: int) -> GPT2Sizes:
    def of(name: str, axes: int) -> tuple[int, ...]:
        shape = shapes[homes[name]]
        if len(shape) != axes or not all(shape):
            what = "a matrix" if axes == 2 else "a vector"
            raise ProblemError(homes[name], f"shape {shape}", f"{what} is needed")
        return shape

    positions, width = of("wpe.weight", 2)
    (inner,) = of("h.0.mlp.c_fc.bias", 1)
    return GPT2Sizes(of("read_in.weight", 2)[1], width, layers, inner, positions)


def _check_shape(name: str, shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if shape != wanted:
        why = f"{wanted} is needed"
        if shape == wanted[::-1]:
            why += ", inputs first (as in Conv1D): it is transposed"
        raise ProblemError(name, f"shape {shape}", why)
