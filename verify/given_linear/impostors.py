"""What tells linear attention apart from the one it is taken for, by name: a sign, layers swapped, ..."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from icgd.construct.given_linear import GivenLinear
from icgd.verify.given_linear.layer_form import linear_form, preconditioners

_NEAR = 1e-9
"""An impostor has a name if it is this close to it, entry by entry."""

_ROUNDED, _LOST = 1e-13, 1e-15
"""Rounding alone: this much of what is added up in an entry, and this much of the largest of its layer."""


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

    def forms(self, only_read: bool) -> tuple[list[np.ndarray], list[np.ndarray], bool, int]:
        """S of each layer as in `AttentionForm`, the sizes of what is added up in each of its entries,
        whether it is masked in effect, and the sign.  only_read: with 0 where nothing reads a row later.
        """
        L, d = len(self.P), self.P.shape[-1] - 1
        both = []
        for P, Q in ((self.P, self.Q), (np.abs(self.P), np.abs(self.Q))):
            whole = self.share * np.einsum("lhab,lhce->laebc", P, Q)
            both.append(list((whole + whole.swapaxes(3, 4)) / 2))
        layers, sizes = both
        read = np.arange(d + 1) == d
        for l in reversed(range(L if only_read else 0)):
            layers[l][~read], sizes[l][~read] = 0.0, 0.0
            seen = layers[l] != 0
            read = read | seen.any((0, 2, 3)) | seen.any((0, 1, 2)) | seen.any((0, 1, 3))
        layers[-1], sizes[-1] = layers[-1][d:], sizes[-1][d:]
        if L > 1:
            return layers, sizes, self.masked, self.sign
        layers[0], sizes[0] = -self.sign * layers[0][:, :d], sizes[0][:, :d]
        cubic, size = (
            sum(part[0][0][:, :d, :d].transpose(order) for order in permutations(range(3)))
            for part in (layers, sizes)
        )
        masked = self.masked or bool((np.abs(cubic) <= _ROUNDED * size).all())
        return layers, sizes, masked, -1


def told_apart(given: GivenLinear, reference: GivenLinear, n: int) -> str | None:
    """In what one differs from the other, or None where their predictions are the same up to rounding."""
    if given.d != reference.d:
        return f"it is for d = {given.d}, and the other for d = {reference.d}"
    wanted, other = _Rounded.of(given, n), _Rounded.of(reference, n)
    if _near(wanted, other, _ROUNDED, only_read=True):
        return None
    for name, candidate in _variants(other, n):
        if _near(wanted, candidate, _NEAR) and not _near(other, candidate, _NEAR):
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


def _near(left: _Rounded, right: _Rounded, within: float, only_read: bool = False) -> bool:
    """Whether two compute the same up to this much of every entry of every layer."""
    (ours, mine, *of_ours), (theirs, others, *of_theirs) = left.forms(only_read), right.forms(only_read)
    if of_ours != of_theirs or len(ours) != len(theirs):
        return False
    for x, y, *sizes in zip(ours, theirs, mine, others, strict=True):
        size = np.maximum(*sizes)
        if not (np.abs(x - y) <= within * size + _LOST * size.max()).all():
            return False
    return True


def _differ(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Which entries of two matrices differ by more than rounding."""
    size = np.maximum(np.abs(ours), np.abs(theirs))
    found: np.ndarray = np.abs(ours - theirs) > _ROUNDED * size + _LOST * size.max((-2, -1), keepdims=True)
    return found


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
        for l, h, i, j in np.argwhere(_differ(ours.numpy(), theirs.numpy())).tolist():
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
        if _differ(ours, others).any():
            i, j = np.unravel_index(apart.argmax(), apart.shape)
            along = float((ours * others).sum() / max((others**2).sum(), 1e-300))
            if along and (np.abs(ours - along * others) <= _NEAR * np.abs(ours)).all():
                length = f"{abs(along):.6g}" if abs(abs(along) - 1) > 1e-5 else f"{abs(along):.15g}"
                turned = f"the sign of step {l} is wrong, and it" if along < 0 else f"step {l}"
                said.append(f"{turned} is {length} times as long")
            else:
                said.append(f"A_{l} differs, most in [{i}, {j}], by {ours[i, j] - others[i, j]:.3g}")
    return "; ".join(said) or "its layers are others"


def beyond_descent(given: GivenLinear, n: int) -> list[str]:
    """What a step of preconditioned descent on the examples does not do, and this does; empty for descent."""
    form, d, said = linear_form(given, n), given.d, []
    if form.sign != -1:
        said.append("the prediction has the other sign")
    arrays = [_array(layer) for layer in form.layers]

    def found(l: int, part: np.ndarray) -> float:
        near = _NEAR * np.abs(arrays[l]).max()
        return float(np.abs(part).max()) if part.size and np.abs(part).max() > near else 0.0

    moves = [l for l, layer in enumerate(arrays) if len(layer) > 1 and found(l, layer[:d])]
    alone = [
        l
        for l in moves
        if not found(l, arrays[l][:d, :, d, d])
        and not found(l, arrays[l][:d, d:])
        and not found(l, arrays[l][:d, :, :d, d])
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
        where = [(l, found(l, part)) for l, part in enumerate(parts) if found(l, part)]
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
    matrices = [np.array(A, dtype=float) for A in preconditioners(given, n)]
    said = ascents(matrices)
    for l, A in enumerate(matrices):
        skew = np.abs(A - A.T)
        if skew.max() > 1e-6 * max(np.abs(A).max(), 1e-300):
            i, j = np.unravel_index(skew.argmax(), skew.shape)
            said.append(
                f"A_{l} is not symmetric: [{i}, {j}] is {A[i, j]:.6g} and [{j}, {i}] is {A[j, i]:.6g}"
            )
    return said


def ascents(matrices: Sequence[np.ndarray]) -> list[str]:
    """Which steps w <- w - A_l grad R(w) do not descend, to first order, by the signs of A_l + A_l^T."""
    kinds: dict[str, list[int]] = {}
    for l, A in enumerate(matrices):
        if not A.any():
            continue
        values = np.linalg.eigvalsh((A + A.T) / 2)
        lost = 1e-12 * np.abs(A).max()
        if values[0] < -lost:
            kind = (
                "negative definite"
                if values[-1] < -lost
                else "negative semidefinite"
                if values[-1] <= lost
                else "indefinite"
            )
            kinds.setdefault(kind, []).append(l)
    said = []
    for kind, layers in kinds.items():
        verb = "can ascend" if kind == "indefinite" else "ascends" if len(layers) == 1 else "ascend"
        steps = f"step{'s' * (len(layers) > 1)} {_listed(layers)} {verb}"
        matrix = f"A_{layers[0]} is" if len(layers) == 1 else "their A_l are"
        said.append(f"{steps}: {matrix} {kind}{' (its symmetric part)' * (kind == 'indefinite')}")
    return said


def _listed(layers: Sequence[int]) -> str:
    if len(layers) > 3 and list(layers) == list(range(layers[0], layers[-1] + 1)):
        return f"{layers[0]} to {layers[-1]}"
    return ", ".join(map(str, layers))
