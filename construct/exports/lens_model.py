"""Runs a folder of `icgd export --to transformer-lens` in TransformerLens 4, without icgd.

    from lens_model import LensFolder
    folder = LensFolder(".")
    model = folder.load()                          # a TransformerBridge in float64
    H = folder.stream(x, y, query, w)              # w is left out for linear attention
    logits, cache = model.run_with_cache(H)        # logits: what folder.metadata["logits"] says
    cache["blocks.0.hook_resid_mid"][..., folder.slice("z1")]      # one slot after the first attention

There are no token embeddings: H (B, n + 1, d_model) is the residual stream before the first block, a token a
row, the query last.  Shapes: x (B, n, d), y (B, n, d_out), query (B, d), w (B, all entries of V1, V2, ...).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor


class LensFolder:
    """The files of one folder.

    config: of the model.  slots: name -> start, stop, meaning, and a constant that is added, where one is.
    directions: the name of each coordinate of the residual stream.  pattern: how scores become a pattern.
    """

    def __init__(self, folder: str | Path) -> None:
        self.config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
        with safe_open(Path(folder) / "model.safetensors", "pt") as file:
            self.metadata: dict[str, str] = file.metadata()
            self.state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        self.slots: dict[str, Any] = json.loads(self.metadata["slots"])
        self.directions: list[str] = json.loads(self.metadata["directions"])
        self.pattern: dict[str, Any] = json.loads(self.metadata["pattern"])

    def load(self) -> Any:
        """The model as a TransformerBridge in float64; attention that is not softmax by a subclass."""
        from transformer_lens import TransformerBridge, TransformerBridgeConfig
        from transformer_lens.model_bridge.sources.native import NativeAttention
        from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

        rule = self.pattern

        class PatternOfScores(NativeAttention):
            """A pattern that is no softmax: relu of the scores, or the scores themselves, over a count."""

            alone = False

            def forward(
                self, hidden_states: Tensor, *_: Any, pattern_fn: Any = None, **__: Any
            ) -> tuple[Tensor, Tensor]:
                B, T = hidden_states.shape[:2]
                q, k, v = (
                    part(hidden_states).view(B, T, self.n_heads, self.d_head).transpose(1, 2)
                    for part in (self.q, self.k, self.v)
                )
                pattern = q @ k.mT / self.scale
                if rule["kernel"] == "relu":
                    pattern = torch.relu(pattern)
                if self.alone:
                    pattern = pattern * torch.eye(T).to(pattern)
                else:
                    pattern = pattern / {"tokens": T, "examples": T - 1, "nothing": 1}[rule["over"]]
                if not rule["query_is_seen"]:
                    pattern = pattern * (torch.arange(T) < T - 1).to(pattern)
                if pattern_fn is not None:
                    pattern = pattern_fn(pattern)
                return self.o((pattern @ v).transpose(1, 2).reshape(B, T, -1)), pattern

        config = TransformerBridgeConfig.from_dict(self.config)
        model = TransformerBridge.boot_native(config, dtype=torch.float64)
        if rule["kernel"] != "softmax":
            for layer, block in enumerate(model.blocks):
                attention = block.attn.original_component
                attention.__class__ = PatternOfScores  # the hooks around it and inside stay
                attention.alone = layer in rule["alone"]
        model.load_state_dict(convert_tl_checkpoint(self.state, config), strict=True)
        return model

    def slice(self, name: str) -> slice:
        """The coordinates of a slot."""
        return slice(self.slots[name]["start"], self.slots[name]["stop"])

    def stream(self, x: Tensor, y: Tensor, query: Tensor, w: Tensor | None = None) -> Tensor:
        """The residual stream of prompts: n examples, then the query with y = 0; w in every token."""
        H = x.new_zeros(len(x), x.shape[1] + 1, len(self.directions))
        H[:, :-1, self.slice("x")], H[:, -1, self.slice("x")] = x, query
        H[:, :-1, self.slice("y")] = y
        if w is not None:
            matrices = [name for name in self.slots if name[0] == "V"]
            sizes = [self.slots[name]["stop"] - self.slots[name]["start"] for name in matrices]
            for name, part in zip(matrices, w.split(sizes, dim=-1), strict=True):
                H[:, :, self.slice(name)] = part[:, None]
            H[:, :, self.slice("one")], H[:, :-1, self.slice("t")] = 1.0, 1.0
        return H
