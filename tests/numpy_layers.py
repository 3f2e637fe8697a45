"""The layers of Lemmas 2 to 5 of arXiv 2411.16549, written by hand in numpy: somebody else's transformer.

No code of ours is used: another order of the stream, sums of ReLUs on a uniform grid, the loss slope in an
MLP.
"""

import json

import numpy as np


def grid_sum(function, radius, pieces, beyond=None, rng=None):
    """The interpolation on a grid as units (a, b, c) for sum c relu(a t + b), the last one a constant.

    rng: for knots that are not uniform.  beyond: the slope outside the radius on either side; None: that of
    the last pieces.
    """
    knots = np.linspace(-radius, radius, pieces + 1)
    if rng is not None:
        knots[1:-1] += rng.uniform(-0.4, 0.4, pieces - 1) * (knots[1] - knots[0])
    values = function(knots)
    slopes = np.diff(values) / np.diff(knots)
    first = slopes[0] if beyond is None else beyond
    bends = np.diff(slopes, prepend=first, append=slopes[-1] if beyond is None else beyond)
    # first (t - knots[0]) + values[0] to the left of everything, as first relu(t + c) - first relu(-t - c)
    units = [(1.0, -knots[0], first), (-1.0, knots[0], -first)]
    units += [(1.0, -knot, bend) for knot, bend in zip(knots, bends, strict=True) if bend]
    return [*units, (0.0, 1.0, values[0])]


def layers_by_hand(
    *,
    N=2,
    K=2,
    d=2,
    d_out=1,
    n=3,
    eta=0.1,
    eps=0.1,
    pieces=12,
    radius=2.0,
    beyond=None,
    B_v=1.0,
    scale=None,
    room=0.0,
    above=64.0,
    seed=None,
):
    """Tensors and metadata of one step of descent on a tanh network, with the loss (1/(2n)) sum (p - y)^2."""
    dims = [d, *[K] * (N - 1), d_out]
    sizes = {"one": 1, "t": 1}
    sizes |= {f"V{j}": dims[j] * dims[j - 1] for j in range(1, N + 1)} | {"x": d, "y": d_out}
    for name in ("s", "dr", "p"):
        sizes |= {f"{name}{j}": dims[j] for j in range(1, N + 1)}
    sizes["u"] = d_out
    ends = np.cumsum(list(sizes.values()))
    at = {name: range(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}
    at = {name: [int(place) for place in places] for name, places in at.items()}
    D, one, t = int(ends[-1]), at["one"][0], at["t"][0]
    at["p0"] = at["x"]
    rows = {j: np.reshape(at[f"V{j}"], (dims[j], dims[j - 1])) for j in range(1, N + 1)}
    layers = []

    def head(Q, K, V):
        matrices = np.zeros((3, D, D))
        for matrix, entries in zip(matrices, (Q, K, V), strict=True):
            for row, column, value in entries:
                matrix[row, column] += value
        return matrices

    def neurons(function, j, target):
        """target_k += function(v_jk . p(j-1)): the keys carry the weights, the same in every token."""
        for k, row in enumerate(rows[j]):
            rng = None if seed is None else np.random.default_rng([seed, j])
            for a, b, c in grid_sum(function, radius, pieces, beyond, rng):
                Q = [(i, place, a) for i, place in enumerate(at[f"p{j - 1}"])] + [(dims[j - 1], one, b)]
                keys = [(i, int(place), 1.0) for i, place in enumerate(row)] + [(dims[j - 1], one, 1.0)]
                yield head(Q, keys, [(at[target][k], one, c)])

    def unit(reads, adds):
        w1, w2 = np.zeros(D), np.zeros(D)
        for vector, entries in ((w1, reads), (w2, adds)):
            for place, value in entries.items():
                vector[place] += value
        return w1, w2

    for j in range(1, N + 1):
        heads = [*neurons(np.tanh, j, f"p{j}"), *neurons(lambda z: 1 - np.tanh(z) ** 2, j, f"dr{j}")]
        layers.append((heads, [], False))
    slope = [
        unit({p: sign, y: -sign}, {u: 2.0 * sign})
        for p, y, u in zip(at[f"p{N}"], at["y"], at["u"], strict=True)
        for sign in (1.0, -1.0)
    ]
    layers[-1] = (layers[-1][0], slope, False)
    for j in range(N, 0, -1):
        heads = []
        for k, (s, dr) in enumerate(zip(at[f"s{j}"], at[f"dr{j}"], strict=True)):
            query = [at["u"][k]] if j == N else at[f"s{j + 1}"]
            key = [one] if j == N else [int(place) for place in rows[j + 1][:, k]]
            for sign in (1.0, -1.0):
                Q = [(i, place, sign) for i, place in enumerate(query)]
                heads.append(head(Q, [(i, place, 1.0) for i, place in enumerate(key)], [(s, dr, sign)]))
        layers.append((heads, [], True))
    step = -eta * (n + 1) / (2 * n) if scale is None else scale
    heads = []  # above: more than |s| can be, and a power of 2
    for j in range(1, N + 1):
        for s, row in zip(at[f"s{j}"], rows[j], strict=True):
            moves = [(int(v), p, step) for v, p in zip(row, at[f"p{j - 1}"], strict=True)]
            heads.append(head([(0, one, 1.0)], [(0, s, 1.0), (0, t, 2 * above), (0, one, -above)], moves))
            heads.append(head([(0, one, 1.0)], [(0, t, 1.0)], [(v, p, -above * c) for v, p, c in moves]))
    last = []
    for j in range(1, N + 1):
        face = B_v / np.sqrt(dims[j - 1]) * (1 - room)
        for v in at[f"V{j}"]:
            last += [unit({v: 1.0, one: -face}, {v: -1.0}), unit({v: -1.0, one: -face}, {v: 1.0})]
    for name in sizes:
        if name[0] in "sdpu":
            last += [unit({z: sign}, {z: -sign}) for z in at[name] for sign in (1.0, -1.0)]
    layers.append((heads, last, False))

    tensors = {}
    for i, (heads, hidden, _) in enumerate(layers):
        for part, matrices in zip("QKV", np.swapaxes(np.array(heads), 0, 1), strict=True):
            tensors[f"layer.{i:02d}.{part}"] = matrices.copy()
        if hidden:
            tensors[f"layer.{i:02d}.W1"] = np.array([w1 for w1, _ in hidden])
            tensors[f"layer.{i:02d}.W2"] = np.array([w2 for _, w2 in hidden]).T.copy()
    letters = {"N": N, "K": K, "d": d, "d_out": d_out, "n": n, "eta": eta, "eps": eps, "B_v": B_v}
    named = ["x", "y", "one", "t", *(f"V{j}" for j in range(1, N + 1))]
    metadata = {
        "attention": "relu",
        "layers": str(len(layers)),
        "diagonal": json.dumps([f"layer.{i:02d}" for i, layer in enumerate(layers) if layer[2]]),
        "stream": json.dumps({name: [at[name][0], at[name][-1] + 1] for name in named}),
        "problem": json.dumps(letters),
    }
    return tensors, metadata
