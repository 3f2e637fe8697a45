"""What tells linear attention apart from the one it is taken for, by name: a sign, layers swapped, ..."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from icgd.construct.given_linear import GivenLinear
from icgd.verify.given_linear.layer_form import linear_form, preconditioners

_NEAR = 1e-9
"""Forms this close, relative to the largest entry, are told apart by rounding alone."""


@dataclass(frozen=True, eq=False)
class _Rounded:
    """The same attention in floats.  P, Q: (L, H, D, D).  share: what a layer's mean is multiplied by."""

    P: np.ndarray
    Q: np.ndarray
    masked: bool
    share: float
    sign: int

    @classmethod
    def of(cls, given: GivenLinear, n: int) -> _Rounded:
        share = float(given.scale(n) * n)
        return cls(given.P.numpy(), given.Q.numpy(), given.masked, share, given.sign)

    def forms(self) -> tuple[list[np.ndarray], bool, int]:
        """S of each layer as in `AttentionForm`, whether it is masked in effect, and the sign."""
        L, d = len(self.P), self.P.shape[-1] - 1
        whole = self.share * np.einsum("lhab,lhce->laebc", self.P, self.Q)
        layers = list((whole + whole.swapaxes(3, 4)) / 2)
        layers[-1] = layers[-1][d:]
        if L > 1:
            return layers, self.masked, self.sign
        layers[0] = -self.sign * layers[0][:, :d]
        cube = layers[0][0][:, :d, :d]
        cubic = sum(cube.transpose(order) for order in permutations(range(3)))
        masked = self.masked or not np.abs(cubic).max() > _NEAR * np.abs(layers[0]).max()
        return layers, masked, -1


def told_apart(given: GivenLinear, reference: GivenLinear, n: int) -> str | None:
    """In what one differs from the other, or None where their predictions are the same up to rounding."""
    if given.d != reference.d:
        return f"it is for d = {given.d}, and the other for d = {reference.d}"
    wanted, other = _Rounded.of(given, n), _Rounded.of(reference, n)
    if _near(wanted, other):
        return None
    for name, candidate in _variants(other, n):
        if _near(wanted, candidate):
            return name
    return _by_entries(given, reference) or _by_layers(given, reference, n)


def _variants(reference: _Rounded, n: int) -> Iterator[tuple[str, _Rounded]]:
    """Every impostor of the reference that has a name."""
    P, Q = reference.P, reference.Q
    count = len(P)
    every = range(count)
    alone = every if count > 1 else ()

    def stepped(factors: Sequence[float]) -> _Rounded:
        return replace(reference, Q=Q * np.array(factors)[:, None, None, None])

    def chosen(order: Sequence[int]) -> _Rounded:
        return replace(reference, P=P[list(order)], Q=Q[list(order)])

    def turned(which: Sequence[int]) -> _Rounded:
        return replace(
            reference, Q=np.stack([q.swapaxes(1, 2) if l in which else q for l, q in enumerate(Q)])
        )

    yield (
        "the mask is missing: the query is among its own examples" if reference.masked else "it has a mask",
        replace(reference, masked=not reference.masked),
    )
    yield "the prediction has the other sign", replace(reference, sign=-reference.sign)
    for l in alone:
        yield f"the sign of step {l} is wrong", stepped([-1.0 if k == l else 1.0 for k in every])
    yield "the sign of every step is wrong: it ascends", stepped([-1.0] * count)
    for factor, name in (
        (n / (n + 1), "it divides by n+1 in place of n"),
        ((n + 1) / n, "it divides by n in place of n+1"),
        (n, "it takes a sum in place of a mean"),
        (1 / n, "it divides by n twice"),
        (2.0, "every step is twice as long, as for a loss with 1/n in place of 1/(2n)"),
        (0.5, "every step is half as long"),
    ):
        yield name, stepped([factor] * count)
        for l in alone:
            yield f"{name}, in layer {l} alone", stepped([factor if k == l else 1.0 for k in every])
    for order in permutations(every) if count <= 5 else ():
        moved = [at for at, l in enumerate(order) if at != l]
        if moved:
            name = f"layers {moved[0]} and {moved[1]} are swapped"
            if len(moved) > 2:
                name = f"the layers stand in the order {', '.join(map(str, order))}"
            yield name, chosen(order)
    for l in every:
        if count > 1:
            yield f"layer {l} is left out", chosen([k for k in every if k != l])
        yield f"layer {l} stands twice", chosen(sorted([*every, l]))
    for l in alone:
        yield f"A_{l} is transposed", turned([l])
    yield "every A_l is transposed" if count > 1 else "A_0 is transposed", turned(every)
    yield "P is transposed", replace(reference, P=P.swapaxes(2, 3))
    yield "P and Q are exchanged", replace(reference, P=Q, Q=P)
    rolled = replace(reference, P=np.roll(P, 1, (2, 3)), Q=np.roll(Q, 1, (2, 3)))
    yield "the label stands first in every token", rolled


def _near(left: _Rounded, right: _Rounded) -> bool:
    """Whether two compute the same up to rounding."""
    ours, theirs = left.forms(), right.forms()
    if ours[1:] != theirs[1:] or len(ours[0]) != len(theirs[0]):
        return False
    size = max(float(np.abs(layer).max()) for layer in (*ours[0], *theirs[0]))
    return all(float(np.abs(x - y).max()) <= _NEAR * size for x, y in zip(ours[0], theirs[0], strict=True))


def _array(layer: object) -> np.ndarray:
    return np.array(layer, dtype=float)


def _by_entries(given: GivenLinear, reference: GivenLinear) -> str | None:
    """The one matrix entry that differs, or None where matrices cannot be compared or more entries differ."""
    if given.P.shape != reference.P.shape or (given.masked, given.divisor, given.sign) != (
        reference.masked,
        reference.divisor,
        reference.sign,
    ):
        return None
    found = []
    for name, ours, theirs in (("P", given.P, reference.P), ("Q", given.Q, reference.Q)):
        size = float(max(ours.abs().max(), theirs.abs().max()))
        for l, h, i, j in ((ours - theirs).abs() > _NEAR * size).nonzero().tolist():
            of_head = f", head {h}" if ours.shape[1] > 1 else ""
            amount = float(ours[l, h, i, j] - theirs[l, h, i, j])
            found.append(f"{name} of layer {l}{of_head} differs in one entry, [{i}, {j}], by {amount:.3g}")
    return found[0] if len(found) == 1 else None


def _by_layers(given: GivenLinear, reference: GivenLinear, n: int) -> str:
    """What is left to say: depth, GD++, or in which layers and by how much A_l differs."""
    if given.L != reference.L:
        return f"it has {given.L} layers, and the other {reference.L}"
    beyond = beyond_descent(given, n)
    theirs = beyond_descent(reference, n)
    new = [words for words in beyond if words not in theirs]
    if new:
        return "; ".join(new)
    said = []
    for l, (A, B) in enumerate(zip(preconditioners(given, n), preconditioners(reference, n), strict=True)):
        ours, others = np.array(A, dtype=float), np.array(B, dtype=float)
        apart = np.abs(ours - others)
        if apart.max() > _NEAR * max(np.abs(ours).max(), np.abs(others).max()):
            i, j = np.unravel_index(apart.argmax(), apart.shape)
            along = float((ours * others).sum() / max((others**2).sum(), 1e-300))
            if np.abs(ours - along * others).max() <= _NEAR * np.abs(ours).max():
                said.append(f"step {l} is {along:.6g} times as long")
            else:
                said.append(f"A_{l} differs, most in [{i}, {j}], by {ours[i, j] - others[i, j]:.3g}")
    return "; ".join(said) or "its layers are others"


def beyond_descent(given: GivenLinear, n: int) -> list[str]:
    """What a step of preconditioned descent on the examples does not do, and this does; empty for descent."""
    form, d, said = linear_form(given, n), given.d, []
    if form.sign != -1:
        said.append("the prediction has the other sign")
    arrays = [_array(layer) for layer in form.layers]
    size = max(float(np.abs(layer).max()) for layer in arrays) or 1.0

    def found(part: np.ndarray) -> float:
        return float(np.abs(part).max()) if part.size and np.abs(part).max() > _NEAR * size else 0.0

    moves = [l for l, layer in enumerate(arrays) if len(layer) > 1 and found(layer[:d])]
    alone = [
        l
        for l in moves
        if not found(arrays[l][:d, :, d, d])
        and not found(arrays[l][:d, d:])
        and not found(arrays[l][:d, :, :d, d])
    ]
    if moves and moves == alone:
        said.append(f"it is a step of GD++: the inputs are transformed, too, in layer {_listed(moves)}")
    elif moves:
        said.append(f"the inputs are moved, too, in layer {_listed(moves)}, and not as by GD++")
    for what, parts in (
        ("the labels' own second moment moves the weight", [layer[-1][:d, d, d] for layer in arrays]),
        ("the inputs' second moments alone move the weight", [layer[-1][:d, :d, :d] for layer in arrays]),
        ("labels are rescaled by what is in the prompt", [layer[-1][d:] for layer in arrays]),
    ):
        where = [(l, found(part)) for l, part in enumerate(parts) if found(part)]
        if where:
            at, most = max(where, key=lambda one: one[1])
            said.append(
                f"{what}, in layer {_listed([l for l, _ in where])} (up to {most:.3g}, in layer {at})"
            )
    if not form.masked:
        said.append("the mask is missing: the query is among its own examples")
    return said


def remarks(given: GivenLinear, n: int) -> list[str]:
    """What is unusual about the preconditioners: that they ascend, or are not symmetric."""
    said = []
    matrices = [np.array(A, dtype=float) for A in preconditioners(given, n)]
    up = [l for l, A in enumerate(matrices) if A.any() and np.linalg.eigvalsh((A + A.T) / 2)[-1] < 0]
    if up:
        said.append(f"the sign of step {_listed(up)} is that of ascent: A is negative definite")
    for l, A in enumerate(matrices):
        skew = np.abs(A - A.T)
        if skew.max() > 1e-6 * max(np.abs(A).max(), 1e-300):
            i, j = np.unravel_index(skew.argmax(), skew.shape)
            said.append(
                f"A_{l} is not symmetric: [{i}, {j}] is {A[i, j]:.6g} and [{j}, {i}] is {A[j, i]:.6g}"
            )
    return said


def _listed(layers: Sequence[int]) -> str:
    if len(layers) > 3 and list(layers) == list(range(layers[0], layers[-1] + 1)):
        return f"{layers[0]} to {layers[-1]}"
    return ", ".join(map(str, layers))
