"""The token-local part of a block as a tape: products of matrices, and lists of instructions between them.

It is the structured reading once more, without a tensor for every intermediate result: slots are planes of
one array, and machine code (`icgd.construct.block.machine_code`) takes a few hundred numbers of each through
all tables of a layer while they are in the fastest cache.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from icgd.construct.block.heads import Aggregate, Clip, Gate, Read
from icgd.construct.block.hidden import Ridge
from icgd.construct.block.machine_code import PRODUCT, machine_code
from icgd.construct.block.stream import State, Stream
from icgd.construct.block.table import CELLS, DIRECT, SEARCHED, UNIFORM, LookupTable, PackedTable

_GIVEN = ("x", "y", "t")
"""The slots that a prompt fills; the others are zero before the first layer."""

Layers = Sequence[tuple[Sequence[nn.Module], Sequence[nn.Module]]]
"""Of each layer, its heads, and the parts of its MLP that act on tokens."""

_Ints = npt.NDArray[np.int64]

_NUMPY: Mapping[torch.dtype, Any] = {torch.float64: np.float64, torch.float32: np.float32}


@dataclass(frozen=True, eq=False)
class _Instruction:
    """target (+)= scale * table(bias + sum of slots with coefficients); without a table, a product of two."""

    table: PackedTable | None
    target: str
    inputs: tuple[tuple[str, float], ...]
    bias: float = 0.0
    scale: float = 1.0
    adds: bool = False


@dataclass(frozen=True, eq=False)
class _Matmul:
    """target = query @ matrix, or query @ the transpose of the matrix."""

    query: str
    matrix: str
    transposed: bool
    target: str


@dataclass(frozen=True, eq=False)
class _Section:
    """Instructions on planes of one size, in order."""

    size: int
    instructions: list[_Instruction]


class NoTape(Exception):
    """The block has a part that no tape can hold; the structured reading runs it, or says what is wrong."""


class Tape:
    """What a block does with tokens, in order, for float64 or float32 on the CPU.

    Made anew for each step, as parts may have been replaced.  Raises NoTape for a part of a class that is not
    ours, or that reads what another one writes at the same time.
    """

    CHUNK = 1 << 15
    """The target size, in numbers, of a plane: with fewer, calls take longer than what they do."""

    def __init__(self, stream: Stream, layers: Layers, code: Callable[..., None], dtype: torch.dtype) -> None:
        self.stream, self.compiled, self.real = stream, code, _NUMPY[dtype]
        self.sizes: dict[str, int] = {}
        self._filled = set(_GIVEN)
        self.steps: list[_Matmul | _Section | Aggregate] = []
        for heads, parts in layers:
            self._attend(heads)
            self._transform(parts)
        self._close()

    def _attend(self, heads: Iterable[nn.Module]) -> None:
        instructions: list[_Instruction] = []
        taken: set[str] = set()

        def product(query: str, matrix: str, transposed: bool, target: str) -> str:
            """The plane that will hold a product: the target itself if nothing is there yet."""
            self._require(query)
            free = target not in self._filled and target not in taken
            taken.add(target)
            place = self._plane(target if free else f"product {len(self.sizes)}", like=target)
            self.steps.append(_Matmul(query, matrix, transposed, place))
            return place

        for head in heads:
            if type(head) is Aggregate:
                self._require(head.key, head.value)
                # relu(key + offset) - offset in every example; the query token is mended when the tape runs.
                table = PackedTable(
                    DIRECT, (-head.offset, 0.0, 0.0, 0.0), np.array([[1.0, head.offset, 1.0]])
                )
                masked = self._plane(f"masked {head.key}", like=head.key)
                self._append([_Instruction(table, masked, ((head.key, 1.0),))])
                self._filled.discard(masked)
                self.steps.append(head)
            elif type(head) is Read:
                scores = product(head.query, head.matrix, not head.columns, head.target)
                instructions.append(_Instruction(self._packed(head.table), head.target, ((scores, 1.0),)))
            elif type(head) is Clip:
                self._require(*head.form)
                inputs = tuple(head.form.items())
                instructions.append(_Instruction(self._packed(head.table), head.target, inputs))
            elif type(head) is Gate:
                self._require(head.query, head.value)
                gate = head.query
                if head.matrix is not None:
                    gate = product(head.query, head.matrix, False, head.target)
                instructions.append(_Instruction(None, head.target, ((head.value, 1.0), (gate, 1.0))))
            else:
                raise NoTape
        self._append(instructions)

    def _transform(self, parts: Iterable[nn.Module]) -> None:
        erased: set[str] = set()
        instructions: list[_Instruction] = []
        for part in parts:
            if type(part) is not Ridge:
                raise NoTape
            if part.erases():
                erased.add(part.target)
                continue
            inputs = tuple((name, c) for name, c in part.form.items() if name in self._filled)
            table = self._packed(part.table)
            instructions.append(_Instruction(table, part.target, inputs, part.bias, part.scale))
        self._append(instructions)
        self._filled -= erased

    def _packed(self, table: LookupTable) -> PackedTable:
        found = table.packed()
        if found.kind in (UNIFORM, CELLS, SEARCHED) and found.rows.dtype != self.real:
            raise NoTape  # torch would compute in the wider precision
        return found

    def _require(self, *names: str) -> None:
        if not set(names) <= self._filled:
            raise NoTape

    def _plane(self, name: str, like: str | None = None) -> str:
        """Returns the name of a plane, which has a column from now on."""
        if name not in self.sizes:
            self.sizes[name] = self.stream[like or name].size
        return name

    def _append(self, instructions: list[_Instruction]) -> None:
        """Instructions that all read what was there before any of them; with earlier ones of their size."""
        written: set[str] = set()
        sections: dict[int, _Section] = {}
        for step in reversed(self.steps):
            if not isinstance(step, _Section):
                break
            sections.setdefault(step.size, step)
        for one in instructions:
            names = [self._plane(name) for name, _ in one.inputs]
            size = self.sizes[self._plane(one.target)]
            if not names or written & set(names) or any(self.sizes[name] != size for name in names):
                raise NoTape
            written.add(one.target)
            if size not in sections:
                sections[size] = _Section(size, [])
                self.steps.append(sections[size])
            sections[size].instructions.append(replace(one, adds=one.target in self._filled))
            self._filled.add(one.target)

    def _uses(self) -> Iterator[set[str]]:
        """The planes that each step reads or writes."""
        for step in self.steps:
            if isinstance(step, _Section):
                yield {
                    name for one in step.instructions for name in (one.target, *(n for n, _ in one.inputs))
                }
            elif isinstance(step, _Matmul):
                yield {step.query, step.target} & set(self.sizes)
            else:
                yield {step.key, f"masked {step.key}", step.value} & set(self.sizes)

    def _lay_out(self) -> None:
        """A column for each plane, counted in numbers per token; free for another once it has been used."""
        last = {name: number for number, names in enumerate(self._uses()) for name in names}
        self.columns: dict[str, int] = {}
        self.width, free, held = 0, defaultdict[int, list[int]](list), set[str]()
        for number, names in enumerate([set(_GIVEN) & set(self.sizes), *self._uses()], start=-1):
            for name in sorted(names - set(self.columns)):
                size = self.sizes[name]
                if not free[size]:
                    free[size].append(self.width)
                    self.width += size
                self.columns[name] = free[size].pop()
                held.add(name)
            for name in sorted(held):
                if last[name] <= number:
                    held.remove(name)
                    free[self.sizes[name]].append(self.columns[name])

    def _close(self) -> None:
        """All sections as arrays, and one table after the other."""
        self._lay_out()
        tables: list[PackedTable] = []
        self.code: dict[int, tuple[_Ints, npt.NDArray[Any]]] = {}
        for number, step in enumerate(self.steps):
            if not isinstance(step, _Section):
                continue
            some = step.instructions
            widest = max(len(one.inputs) for one in some)
            ints = np.zeros((len(some), 4 + widest), dtype=np.int64)
            reals = np.zeros((len(some), 2 + widest), dtype=self.real)
            for row, one in enumerate(some):
                columns = [self.columns[name] for name, _ in one.inputs]
                table = PRODUCT if one.table is None else len(tables)
                tables += [] if one.table is None else [one.table]
                ints[row, : 4 + len(columns)] = (
                    table,
                    self.columns[one.target],
                    one.adds,
                    len(columns),
                    *columns,
                )
                reals[row, : 2 + len(columns)] = one.bias, one.scale, *(c for _, c in one.inputs)
            self.code[number] = ints, reals
        starts = np.cumsum([0, *(each.rows.size for each in tables)]).tolist()
        kinds = [(each.kind, start, len(each.rows)) for each, start in zip(tables, starts, strict=False)]
        self.tables = (
            np.array(kinds, dtype=np.int64).reshape(-1, 3),
            np.array([*(each.place for each in tables), (0.0,) * 4], dtype=self.real),
            np.concatenate([np.empty(0), *(each.rows.ravel() for each in tables)]).astype(self.real),
        )

    def on(self, planes: Tensor) -> Callable[[State], dict[str, Tensor]]:
        """The tape on an array of its own, with `width` numbers for each token, which are overwritten."""
        return _Player(self, planes).run


class _Player:
    """A tape on an array of planes: for tokens of one shape, its views and places are made once."""

    def __init__(self, tape: Tape, planes: Tensor) -> None:
        self.tape, self.planes, self.numbers = tape, planes, planes.numpy()
        self.views: dict[str, Tensor] = {}
        self.shape = (0, 0)

    def _reshape(self, B: int, T: int) -> None:
        self.shape, rows, sizes = (B, T), B * T, self.tape.sizes
        self.views = {
            name: self.planes[column * rows : (column + sizes[name]) * rows].view(B, T, sizes[name])
            for name, column in self.tape.columns.items()
        }
        self.code = {}
        for number, (ints, reals) in self.tape.code.items():
            ints = ints.copy()
            ints[:, 1] *= rows
            ints[:, 4:] *= rows
            self.code[number] = ints, reals

    def run(self, state: State) -> dict[str, Tensor]:
        """The sums over these tokens, by weight matrix, as `Transformer._tokens` gives them."""
        B, T = state.tokens["x"].shape[:2]
        if self.shape != (B, T):
            self._reshape(B, T)
        views, totals, tape = self.views, dict[str, Tensor](), self.tape
        has_query = float(state.tokens["t"][0, -1, 0]) == 0.0
        for name in _GIVEN:
            if name in views:
                views[name].copy_(state.tokens[name])
        known = views | state.tokens
        for number, step in enumerate(tape.steps):
            if isinstance(step, _Section):
                count = B * T * step.size
                tape.compiled(self.numbers, 0, count, *self.code[number], *tape.tables)
            elif isinstance(step, _Matmul):
                matrix = state.shared[step.matrix]
                factor = matrix.mT if step.transposed else matrix
                torch.bmm(known[step.query], factor, out=views[step.target])
            else:
                keys = views[f"masked {step.key}"]
                if has_query:
                    keys[:, -1] = views[step.key][:, -1].sub(step.offset).clamp_(min=0)
                totals[step.target] = step.finish(torch.bmm(keys.mT, known[step.value]), 1)
        return totals


def tape_for(stream: Stream, layers: Layers, given: Sequence[Tensor]) -> Tape | None:
    """The tape of these layers for a prompt's tensors; None where there is no machine code for them.

    That is so without numba, on an accelerator, where a gradient is wanted, and for parts of other classes.
    """
    follows = torch.is_grad_enabled() and any(part.requires_grad for part in given)
    kinds = {(type(part), part.device.type, part.dtype) for part in given}
    if follows or torch.compiler.is_compiling() or len(kinds) > 1:
        return None
    if kinds not in ({(Tensor, "cpu", torch.float64)}, {(Tensor, "cpu", torch.float32)}):
        return None
    code = machine_code()
    try:
        return Tape(stream, layers, code, given[0].dtype) if code else None
    except NoTape:
        return None
