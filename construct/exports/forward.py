"""Runs weights that icgd wrote, with torch alone: this file needs no other of icgd's.

    python forward.py model.safetensors         # says what the weights are, and runs them on a prompt

    from forward import load_weights
    step = load_weights("model.safetensors")    # a torch.nn.Module
    w = step.weights(step(step.tokens(x, y, query, w)))[:, -1]         # one gradient step in context
    prediction = step.predict(x, y, query)                             # linear attention, or with kernels

Shapes: x (B, n, d), y (B, n, d_out) or (B, n) for a label, query (B, d), w (B, all weights of V1, V2, ...).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

KERNELS_BY_FORMULA: dict[str, Callable[[Tensor], Tensor]] = {
    "s": lambda s: s,
    "exp(s)": torch.exp,
    "Max(0, s)": torch.relu,
    "(1 + s)**2": lambda s: (1 + s) ** 2,
}


def read_safetensors(path: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file by name, in float64, and its metadata."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = bytearray(file.read())
    metadata, tensors = header.pop("__metadata__", {}), {}
    for name, one in header.items():
        start, stop = one["data_offsets"]
        flat = torch.frombuffer(data[start:stop], dtype=DTYPES[one["dtype"]])
        tensors[name] = flat.reshape(one["shape"]).to(torch.float64)
    return tensors, metadata


class _Matrices(nn.Module):
    """Matrices by the names that they have in the file, a dot written as _."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name.replace(".", "_"), tensor)

    def of(self, layer: str, part: str) -> Tensor | None:
        return getattr(self, f"{layer}_{part}".replace(".", "_"), None)


class StepInContext(_Matrices):
    """One gradient step: layers H + sum_m attention(Q_m H, K_m H) V_m H, then H + W2 relu(W1 H).

    H is (..., tokens, D), a token a row, the query last.  slots: the coordinates of x, y, V1, ..., one, t.
    """

    def __init__(self, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        super().__init__(tensors)
        self.layers = sorted({name.rpartition(".")[0] for name in tensors}, key=lambda one: int(one[6:]))
        self.softmax = metadata.get("attention") == "softmax"
        self.alone = {int(name[6:]) for name in json.loads(metadata.get("diagonal", "[]"))}
        stream: dict[str, Any] = json.loads(metadata["stream"])
        self.slots = {name: slice(*ends) for name, ends in stream.items()}
        self.width = next(t.shape[-1] for name, t in tensors.items() if not name.endswith("W2"))
        self.matrices = sorted(
            (n for n in stream if n[0] == "V" and n[1:].isdigit()), key=lambda n: int(n[1:])
        )

    def forward(self, H: Tensor) -> Tensor:
        """The tokens after one step."""
        for layer in self.layers:
            Q, K, V = (self.of(layer, part) for part in "QKV")
            if Q is not None and K is not None and V is not None:
                heads = H.unsqueeze(-3)
                H = H + self.attended(heads @ Q.mT, heads @ K.mT, heads @ V.mT, int(layer[6:])).sum(-3)
            W1, W2 = self.of(layer, "W1"), self.of(layer, "W2")
            if W1 is not None and W2 is not None:
                H = H + torch.relu(H @ W1.T) @ W2.T
        return H

    def attended(self, query: Tensor, key: Tensor, value: Tensor, layer: int) -> Tensor:
        """What each head adds; a layer of `alone` lets each token attend to itself only."""
        if layer in self.alone:
            score = (query * key).sum(-1, keepdim=True)
            return (torch.ones_like(score) if self.softmax else torch.relu(score)) * value
        scores = query @ key.mT
        if self.softmax:
            return torch.softmax(scores, dim=-1) @ value
        return torch.relu(scores) @ value / scores.shape[-1]

    def tokens(self, x: Tensor, y: Tensor, query: Tensor, w: Tensor) -> Tensor:
        """The tokens of a prompt: examples with t = 1, then the query with y = 0 and t = 0, w in each."""
        H = x.new_zeros(len(x), x.shape[1] + 1, self.width)
        H[:, :-1, self.slots["x"]], H[:, -1, self.slots["x"]] = x, query
        H[:, :-1, self.slots["y"]] = y
        for name, part in zip(self.matrices, w.split(self.sizes(), dim=-1), strict=True):
            H[:, :, self.slots[name]] = part[:, None]
        H[:, :, self.slots["one"]], H[:, :-1, self.slots["t"]] = 1.0, 1.0
        return H

    def sizes(self) -> list[int]:
        """How many entries each of V1, V2, ... has."""
        return [self.slots[name].stop - self.slots[name].start for name in self.matrices]

    def weights(self, H: Tensor) -> Tensor:
        """The w that every token holds."""
        return torch.cat([H[..., self.slots[name]] for name in self.matrices], dim=-1)


class PredictionInContext(_Matrices):
    """Layers Z + s sum_h P_h Z M k_h(Z^T Q_h Z) on columns (x_i; y_i), the query (x; 0) last.

    Linear attention has k(s) = s and, unless its metadata say otherwise, s = 1/n; attention with kernels
    has s = 1.  loops: how often the layers are applied.
    """

    def __init__(self, tensors: dict[str, Tensor], metadata: dict[str, str], loops: int = 1) -> None:
        super().__init__({name: one for name, one in tensors.items() if name not in "PQ"})
        for part in "PQ":
            for index, one in enumerate(tensors.get(part, ())):
                self.register_buffer(f"layer_{index:02d}_{part}", one.clone())
        self.layers = sorted({name.rpartition("_")[0] for name in dict(self.named_buffers())})
        self.layers.sort(key=lambda one: int(one[6:]))
        self.names: list[str] = json.loads(metadata.get("kernels", "[]"))
        self.formulas: dict[str, str] = json.loads(metadata.get("formulas", "{}"))
        self.normalised: list[str] = json.loads(metadata.get("normalised", "[]"))
        self.over_examples = "before" in metadata.get("normaliser", "before")
        self.masked, self.loops = metadata.get("M") != "I", loops
        is_sum = bool(self.names) or metadata.get("update", "").startswith("Z + sum_m")
        self.divisor = metadata.get("divisor", "1" if is_sum else "n")
        self.sign = -1.0 if metadata.get("prediction", "-").strip().startswith("-") else 1.0

    def forward(self, Z: Tensor) -> Tensor:
        """Z (..., d + 1, n + 1) after all layers."""
        n = Z.shape[-1] - 1
        by = {"n": n, "n+1": n + 1, "1": 1}[self.divisor]
        for layer in self.layers * self.loops:
            P, Q = self.of(layer, "P"), self.of(layer, "Q")
            assert P is not None and Q is not None
            P, Q = (part if part.ndim == 3 else part[None] for part in (P, Q))
            seen = Z[..., :-1] if self.masked else Z
            added = torch.zeros_like(Z)
            for head, (p, q) in enumerate(zip(P, Q, strict=True)):
                added = added + p @ seen @ self.kernel(head, Z.mT @ q @ Z)[..., : seen.shape[-1], :]
            Z = Z + added / by
        return Z

    def kernel(self, head: int, scores: Tensor) -> Tensor:
        """The kernel of one head; a normalised one is divided by its sum over the examples, or all tokens."""
        if not self.names:
            return scores
        name = self.names[head]
        if name not in self.normalised:
            return KERNELS_BY_FORMULA[self.formulas[name]](scores)
        counted = scores[..., :-1, :] if self.over_examples else scores
        found = KERNELS_BY_FORMULA[self.formulas[name]](scores - counted.amax(dim=-2, keepdim=True))
        return found / found[..., : counted.shape[-2], :].sum(dim=-2, keepdim=True)

    def predict(self, x: Tensor, y: Tensor, query: Tensor) -> Tensor:
        """The predicted labels (B,) of the queries."""
        examples = torch.cat([x, y[..., None]], dim=-1)
        last = torch.cat([query, torch.zeros_like(query[:, :1])], dim=-1)[:, None]
        return self.sign * self(torch.cat([examples, last], dim=1).mT)[:, -1, -1]


def load_weights(path: str, loops: int = 1) -> StepInContext | PredictionInContext:
    """The module of a file; loops: how often a looped transformer is applied."""
    tensors, metadata = read_safetensors(path)
    if "stream" in metadata:
        return StepInContext(tensors, metadata)
    return PredictionInContext(tensors, metadata, loops)


def _lines(path: str) -> Iterator[str]:
    tensors, metadata = read_safetensors(path)
    model, letters = load_weights(path), json.loads(metadata.get("problem", "{}"))
    generator, n = torch.Generator().manual_seed(0), int(letters.get("n", 8))
    yield f"{path}: {len(model.layers)} layers, {sum(t.numel() for t in tensors.values()):,} numbers"
    if isinstance(model, StepInContext):
        d, d_out = (model.slots[name].stop - model.slots[name].start for name in ("x", "y"))
        x, y, query, w = (
            torch.rand(*shape, generator=generator, dtype=torch.float64) / 4
            for shape in ((1, n, d), (1, n, d_out), (1, d), (1, sum(model.sizes())))
        )
        after = model.weights(model(model.tokens(x, y, query, w)))[0, -1]
        yield f"slots: {', '.join(f'{name}={s.start}:{s.stop}' for name, s in model.slots.items())}"
        yield f"a random prompt of {n} examples: the step is {(after - w[0]).tolist()}"
    else:
        d = next(model.buffers()).shape[-1] - 1
        x, y, query = (
            torch.rand(*shape, generator=generator, dtype=torch.float64)
            for shape in ((1, n, d), (1, n), (1, d))
        )
        yield f"a random prompt of {n} examples: the prediction is {model.predict(x, y, query)[0].item()}"


if __name__ == "__main__":
    print("\n".join(_lines(sys.argv[1])))
