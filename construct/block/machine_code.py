"""The instructions of a tape as machine code, by numba where it is installed, at the first use."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from icgd.construct.block.table import DIRECT, LINEAR, SEARCHED, UNIFORM

PRODUCT = -1
"""In the place of a table: the instruction multiplies its two inputs."""

_BLOCK = 512
"""So many numbers of each plane go through all instructions of a section before the next ones: they stay in
the fastest cache."""


# A plain function of arrays: numba compiles it, once for float64 and once for float32, and a test runs it as
# it stands. Comparisons are written so that what is not a number stays so.
def run_section(
    planes: npt.NDArray[Any],
    first: int,
    last: int,
    ints: npt.NDArray[np.int64],
    reals: npt.NDArray[Any],
    kinds: npt.NDArray[np.int64],
    places: npt.NDArray[Any],
    data: npt.NDArray[Any],
) -> None:
    """Instructions on entries first, ..., last - 1 of planes, one after the other, in place.

    planes: all planes, one after another.  An instruction is a row of ints, [table or PRODUCT, where its
    target starts, whether it adds, how many inputs, where each of them starts], and of reals, [bias, scale, a
    coefficient for each input]: target (+)= scale * table(bias + sum of inputs with coefficients).
    kinds: of each table [kind, where it starts in data, how many rows]; places, with a last row of zeros, and
    data: see `PackedTable`.
    """
    argument, value = np.empty_like(planes[:_BLOCK]), np.empty_like(planes[:_BLOCK])
    piece_of = np.empty(_BLOCK, dtype=np.int64)
    zero = places[-1, 0]
    for begin in range(first, last, _BLOCK):
        many = min(_BLOCK, last - begin)
        for line in range(ints.shape[0]):
            table, inputs, bias, scale = ints[line, 0], ints[line, 3], reals[line, 0], reals[line, 1]
            target = planes[ints[line, 1] + begin : ints[line, 1] + begin + many]
            given, by = planes[ints[line, 4] + begin : ints[line, 4] + begin + many], reals[line, 2]
            if table == PRODUCT:
                other = planes[ints[line, 5] + begin : ints[line, 5] + begin + many]
                for i in range(many):
                    value[i] = given[i] * other[i]
            else:
                for i in range(many):
                    argument[i] = bias + by * given[i]
                for k in range(1, inputs):
                    given, by = (
                        planes[ints[line, 4 + k] + begin : ints[line, 4 + k] + begin + many],
                        reals[line, 2 + k],
                    )
                    for i in range(many):
                        argument[i] += by * given[i]
                kind, at, rows = kinds[table, 0], kinds[table, 1], kinds[table, 2]
                origin, per_cell = places[table, 0], places[table, 1]
                before, top = places[table, 2], places[table, 3]
                if kind == LINEAR:
                    for i in range(many):
                        value[i] = origin + per_cell * argument[i]
                elif kind == DIRECT:
                    for i in range(many):
                        value[i] = origin
                    for unit in range(rows):
                        a, b, c = data[at + 3 * unit], data[at + 3 * unit + 1], data[at + 3 * unit + 2]
                        for i in range(many):
                            above = b + a * argument[i]
                            value[i] += c * (zero if above < zero else above)
                elif kind == SEARCHED:
                    for i in range(many):
                        low, high = 0, rows - 1
                        while low < high:
                            middle = (low + high) // 2
                            if data[at + 3 * middle] < argument[i]:
                                low = middle + 1
                            else:
                                high = middle
                        value[i] = data[at + 3 * low + 1] + data[at + 3 * low + 2] * argument[i]
                else:
                    width = 2 if kind == UNIFORM else 4
                    for i in range(many):
                        place = (argument[i] - origin) * per_cell + before
                        place = place if place > zero else zero
                        place = place if place < top else top
                        piece_of[i] = at + width * np.int64(place)
                    if kind == UNIFORM:
                        for i in range(many):
                            piece = piece_of[i]
                            value[i] = data[piece] + data[piece + 1] * argument[i]
                    else:
                        for i in range(many):
                            piece = piece_of[i]
                            past = argument[i] - data[piece + 2]
                            past = zero if past < zero else past
                            value[i] = data[piece] + data[piece + 1] * argument[i] + data[piece + 3] * past
            if ints[line, 2]:
                for i in range(many):
                    target[i] += scale * value[i]
            else:
                for i in range(many):
                    target[i] = scale * value[i]


@cache
def machine_code() -> Callable[..., None] | None:
    """`run_section`, which is compiled at its first call; None where numba is not installed."""
    try:
        import numba
    except ImportError:
        return None
    compiled = partial(numba.njit, nogil=True, fastmath={"contract"}, error_model="numpy")
    try:  # what is compiled is kept beside this file, or else in the user's cache
        found: Callable[..., None] = compiled(cache=True)(run_section)
    except RuntimeError:
        found = compiled()(run_section)
    return found
