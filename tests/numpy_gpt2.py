"""A GPT-2 in numpy, token by token and head by head, from the formulas of the papers; and random weights."""

import math

import numpy as np


def tanh_gelu(z):
    return 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def erf_gelu(z):
    return 0.5 * z * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))


BENDS = {
    "gelu_new": tanh_gelu,
    "gelu": erf_gelu,
    "relu": lambda z: np.maximum(z, 0),
    "silu": lambda z: z / (1 + np.exp(-z)),
}


def normal(v, scale, shift, eps):
    centred = v - sum(v) / len(v)
    return scale * centred / math.sqrt(sum(centred**2) / len(v) + eps) + shift


def predicted(
    state, x, y, query, heads, *, eps=1e-5, bend="gelu_new", scaled=True, by_layer=False, relu=0, joint=False
):
    """The prediction for one prompt.  state: dtsip's names -> arrays.  x (n, d), y (n,), query (d,).

    relu: the divisor of ReLU attention, "keys" or a number; 0 for softmax.  joint: x and y in one token.
    """
    d = x.shape[1]
    tokens = []
    for x_i, y_i in zip(x, y, strict=True):
        tokens += [np.array([*x_i, y_i, 1])] if joint else [x_i, np.array([y_i] + [0.0] * (d - 1))]
    tokens.append(np.array([*query, 0, 0]) if joint else query)
    body = "_backbone."
    stream = [
        state["_read_in.weight"] @ token + state["_read_in.bias"] + state[body + "wpe.weight"][place]
        for place, token in enumerate(tokens)
    ]
    layers = sum(name.endswith("ln_1.weight") for name in state)
    E = len(stream[0])
    size = E // heads
    for layer in range(layers):
        of = {
            name.removeprefix(f"{body}h.{layer}."): one
            for name, one in state.items()
            if name.startswith(f"{body}h.{layer}.")
        }
        read = [normal(h, of["ln_1.weight"], of["ln_1.bias"], eps) for h in stream]
        joint = [of["attn.c_attn.weight"].T @ a + of["attn.c_attn.bias"] for a in read]
        mixed = []
        for t in range(len(stream)):
            parts = []
            for head in range(heads):
                at = slice(head * size, (head + 1) * size)
                scores = []
                for s in range(t + 1):
                    score = joint[t][:E][at] @ joint[s][E : 2 * E][at]
                    score /= math.sqrt(size) if scaled else 1.0
                    scores.append(score / (layer + 1) if by_layer else score)
                if relu:
                    weights = np.maximum(scores, 0) / (t + 1 if relu == "keys" else relu)
                else:
                    weights = np.exp(np.array(scores) - max(scores))
                    weights /= weights.sum()
                parts.append(sum(weight * joint[s][2 * E :][at] for s, weight in enumerate(weights)))
            mixed.append(np.concatenate(parts))
        stream = [
            h + of["attn.c_proj.weight"].T @ m + of["attn.c_proj.bias"]
            for h, m in zip(stream, mixed, strict=True)
        ]
        read = [normal(h, of["ln_2.weight"], of["ln_2.bias"], eps) for h in stream]
        hidden = [BENDS[bend](of["mlp.c_fc.weight"].T @ a + of["mlp.c_fc.bias"]) for a in read]
        stream = [
            h + of["mlp.c_proj.weight"].T @ g + of["mlp.c_proj.bias"]
            for h, g in zip(stream, hidden, strict=True)
        ]
    last = normal(stream[-1], state[body + "ln_f.weight"], state[body + "ln_f.bias"], eps)
    return (state["_read_out.weight"] @ last + state["_read_out.bias"])[0]


def random_state(d=2, width=8, layers=2, positions=17, inner=None, seed=0):
    """A state dict in dtsip's names, as arrays."""
    rng = np.random.default_rng(seed)
    inner = inner or 4 * width
    shapes = {
        "_read_in.weight": (width, d),
        "_read_in.bias": (width,),
        "_backbone.wpe.weight": (positions, width),
        "_backbone.wte.weight": (3, width),
        "_backbone.ln_f.weight": (width,),
        "_backbone.ln_f.bias": (width,),
        "_read_out.weight": (1, width),
        "_read_out.bias": (1,),
    }
    for i in range(layers):
        shapes |= {
            f"_backbone.h.{i}.{name}": shape
            for name, shape in {
                "ln_1.weight": (width,),
                "ln_1.bias": (width,),
                "attn.c_attn.weight": (width, 3 * width),
                "attn.c_attn.bias": (3 * width,),
                "attn.c_proj.weight": (width, width),
                "attn.c_proj.bias": (width,),
                "ln_2.weight": (width,),
                "ln_2.bias": (width,),
                "mlp.c_fc.weight": (width, inner),
                "mlp.c_fc.bias": (inner,),
                "mlp.c_proj.weight": (inner, width),
                "mlp.c_proj.bias": (width,),
            }.items()
        }
    return {name: 0.7 * rng.standard_normal(shape) for name, shape in shapes.items()}
