"""Runs a nest on Python integers: the value, and the cycles that it takes.

Carry-save pairs are compressed by real 3:2 rows on words of W bits, so a width that is too small
shows as a wrong result. Passes of a spatial loop that meet at a `sync` run interleaved.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

from hw.errors import InputError
from hw.notation.cycles import counted_digit, least_cycles, outside
from hw.notation.index import Affine, Star
from hw.notation.nest import Assign, Call, Expression, Kind, Loop, Nest, Node, Ref, Sync, is_pair
from hw.notation.recode import digits_of, radix_of
from hw.notation.scope import scopes
from hw.notation.validate import validate
from hw.notation.widths import encoded_format, pair_bias, row_bias
from hw.operand import Operand

__all__ = ["Result", "compress", "evaluate"]

Matrix = Sequence[Sequence[int]]
Value = int | tuple[int, int] | tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Result:
    """What a nest computes and how long it takes.

    Attributes
    ----------
    c : list of list of int
        (m, n), each a two's complement number of C's width.
    cycles : int
    idle : dict
        Per spatial loop, the cycles that its passes waited for one another, added up.
    """

    c: list[list[int]]
    cycles: int
    idle: dict[str, int]


def evaluate(nest: Nest, a: Matrix, b: Matrix) -> Result:
    """Runs `nest` on `a` (m, k) and `b` (k, n).

    Raises
    ------
    InputError
        The nest has no meaning, or a matrix has another shape or elements outside its format.
    """
    validate(nest)
    for name, matrix, shape, operand in (
        ("A", a, (nest.m, nest.k), nest.a),
        ("B", b, (nest.k, nest.n), nest.b),
    ):
        if len(matrix) != shape[0] or any(len(row) != shape[1] for row in matrix):
            raise InputError(f"{name} must be {shape[0]} by {shape[1]}.")
        worst = [v for row in matrix for v in row if not operand.min <= v <= operand.max]
        if worst:
            raise InputError(f"{name} must have elements of format {operand}, not {worst[0]}.")
    run = _Run(nest, a, b)
    clock = _Clock()
    for name in run.body(nest.body, (), {}, {}, clock):
        raise InputError(f"sync({name}) must be inside a spatial loop over {name}.")
    return Result(run.c, clock.now, run.idle)


def compress(words: Sequence[int], width: int) -> tuple[int, int]:
    """Rows of 3:2 full adders over `words`, modulo ``2**width``, until a pair is left."""
    mask = (1 << width) - 1
    rows = [word & mask for word in words]
    while len(rows) > 2:
        x, y, z, *rest = rows
        rows = [*rest, x ^ y ^ z, ((x & y | x & z | y & z) << 1) & mask]
    return (rows + [0, 0])[0], (rows + [0, 0])[1]


def _signed(value: int, width: int) -> int:
    half = 1 << (width - 1)
    return (value + half) % (2 * half) - half


@dataclass
class _Clock:
    now: int = 0


Frames = Mapping[tuple[int, ...], dict[tuple[str, tuple[int, ...]], Value]]
Waiting = Generator[str, None, None]


@dataclass
class _Run:
    nest: Nest
    a: Matrix
    b: Matrix
    c: list[list[int]] = field(init=False)
    idle: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        nest = self.nest
        self.c = [[0] * nest.n for _ in range(nest.m)]
        self._homes = scopes(nest)
        self._widths = dict(nest.widths)
        self._radix = radix_of(nest.recoding)
        self._expanded: dict[Affine, Affine] = {}
        self._formats: dict[Expression, Operand] = {}
        self._biases: dict[str, int] = {}
        self._groups: dict[Loop, Call] = {}

    def body(
        self,
        nodes: tuple[Node, ...],
        path: tuple[int, ...],
        at: dict[str, int],
        frames: Frames,
        clock: _Clock,
    ) -> Waiting:
        """Runs a loop body; yields the name of a loop whose passes it has to wait for."""
        frames = {**frames, path: {}}
        for i, node in enumerate(nodes):
            if isinstance(node, Assign):
                self._assign(node, at, frames)
            elif isinstance(node, Sync):
                yield node.var
            elif node.kind is Kind.SPATIAL:
                yield from self._spatial(node, (*path, i), at, frames, clock)
            else:
                start, timed = clock.now, least_cycles(node.body) > 0
                for number in self._passes(node, at, frames):
                    began = clock.now
                    yield from self.body(
                        node.body, (*path, i), {**at, node.var: number}, frames, clock
                    )
                    if not timed:
                        clock.now = began + 1
                if node.over is not None and not self._outside(node, at):
                    clock.now = max(clock.now, start + 1)

    def _passes(self, node: Loop, at: dict[str, int], frames: Frames) -> Sequence[int]:
        if node.over is None:
            return range(node.extent)
        found = self._read(node.over, at, frames)
        assert isinstance(found, tuple)
        return [position[0] for position in found if isinstance(position, tuple)]

    def _outside(self, node: Loop, at: dict[str, int]) -> bool:
        if node not in self._groups:
            self._groups[node] = counted_digit(self.nest, node)
        return outside(self.nest, self._groups[node], node.var, node.extent, at)

    def _spatial(
        self, node: Loop, path: tuple[int, ...], at: dict[str, int], frames: Frames, clock: _Clock
    ) -> Waiting:
        clocks = [_Clock(clock.now) for _ in range(node.extent)]
        passes = [
            self.body(node.body, path, {**at, node.var: i}, frames, own)
            for i, own in enumerate(clocks)
        ]
        while True:
            waits = {next(one, None) for one in passes}
            if len(waits) != 1:
                raise InputError(f"Nest {self.nest.name}: passes of {node.var} must all sync.")
            last = max(own.now for own in clocks)
            (name,) = waits
            if name in (None, node.var):
                waited = sum(last - own.now for own in clocks)
                if waited:
                    self.idle[node.var] = self.idle.get(node.var, 0) + waited
            clock.now = last
            if name is None:
                return
            if name != node.var:
                yield name
            for own in clocks:
                own.now = clock.now

    def _assign(self, node: Assign, at: dict[str, int], frames: Frames) -> None:
        value = self._value(node.value, at, frames, self._widths.get(node.target.name))
        name, key = node.target.name, self._key(node.target, at)
        width = self._widths.get(name)
        if isinstance(value, int) and width is not None:
            value = _signed(value, width)
        if name != "C":
            frames[self._homes[name]][name, key] = value
        elif key[0] < self.nest.m and key[1] < self.nest.n:
            assert isinstance(value, int)
            self.c[key[0]][key[1]] = value

    def _index(self, index: Affine, at: Mapping[str, int]) -> int:
        expanded = self._expanded.get(index)
        if expanded is None:
            expanded = self._expanded[index] = self.nest.expand(index)
        return expanded.value(at)

    def _key(self, ref: Ref, at: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(self._index(i, at) for i in ref.index if isinstance(i, Affine))

    def _matrix(self, ref: Ref, at: Mapping[str, int]) -> int:
        row, column = self._key(ref, at)
        matrix: Matrix = {"A": self.a, "B": self.b, "C": self.c}[ref.name]
        if 0 <= row < len(matrix) and 0 <= column < len(matrix[0]):
            return matrix[row][column]
        return 0

    def _read(self, ref: Ref, at: dict[str, int], frames: Frames) -> Value:
        if ref.name in ("A", "B", "C"):
            return self._matrix(ref, at)
        frame = frames[self._homes[ref.name]]
        zero: Value = (0, 0) if is_pair(ref.name) else 0
        return frame.get((ref.name, self._key(ref, at)), zero)

    def _all(
        self, ref: Ref, at: dict[str, int], frames: Frames
    ) -> list[tuple[tuple[int, ...], Value]]:
        """The values that a reference with stars stands for, each with its star positions."""
        stars = [isinstance(i, Star) for i in ref.index]
        if not any(stars):
            return [((), self._read(ref, at, frames))]
        wanted = [0 if isinstance(i, Star) else self._index(i, at) for i in ref.index]
        found = []
        for (name, key), value in frames[self._homes[ref.name]].items():
            if name == ref.name and all(
                star or have == want for star, have, want in zip(stars, key, wanted, strict=True)
            ):
                found.append((tuple(k for k, s in zip(key, stars, strict=True) if s), value))
        return sorted(found)

    def _number(self, expression: Expression, at: dict[str, int], frames: Frames) -> int:
        value = self._value(expression, at, frames, None)
        assert isinstance(value, int)
        return value

    def _value(
        self, expression: Expression, at: dict[str, int], frames: Frames, width: int | None
    ) -> Value:
        if isinstance(expression, Ref):
            return self._read(expression, at, frames)
        arguments = expression.arguments
        match expression.primitive:
            case "half_reduce":
                assert width is not None
                words: list[int] = []
                for argument in arguments:
                    if isinstance(argument, Ref):
                        for _, value in self._all(argument, at, frames):
                            words += value if isinstance(value, tuple) else (value,)  # type: ignore[arg-type]
                    else:
                        words.append(self._number(argument, at, frames))
                return compress(words, width)
            case "add":
                pair = self._value(arguments[0], at, frames, None)
                assert isinstance(pair, tuple) and isinstance(arguments[0], Ref)
                return _signed(sum(pair), self._widths[arguments[0].name])  # type: ignore[arg-type]
            case "unbias":
                pair = self._value(arguments[0], at, frames, None)
                assert isinstance(pair, tuple) and isinstance(arguments[0], Ref)
                name = arguments[0].name
                if name not in self._biases:
                    self._biases[name] = pair_bias(self.nest, name)
                return _signed(sum(pair) - self._biases[name], self._widths[name])  # type: ignore[arg-type]
            case "biased":
                row = self._number(arguments[0], at, frames) * self._number(
                    arguments[1], at, frames
                )
                return row + row_bias(self.nest, expression)
            case "sparse":
                assert isinstance(arguments[0], Ref)
                return tuple(key for key, digit in self._all(arguments[0], at, frames) if digit)
            case "encode":
                value = self._number(arguments[0], at, frames)
                form = self._formats.get(arguments[0])
                if form is None:
                    form = self._formats[arguments[0]] = encoded_format(self.nest, arguments[0])
                digits = digits_of(value, self.nest.recoding, form)
                return digits[self._index(expression.at[0], at)]
            case "shift":
                weight: int = self._radix ** self._index(expression.at[0], at)
                return self._number(arguments[0], at, frames) * weight
            case "neighbour":
                assert isinstance(arguments[0], Ref)
                first = any(k < 0 for k in self._key(arguments[0], at))
                return self._number(arguments[1 if first else 0], at, frames)
            case "difference":
                (name,) = expression.at[0].variables
                here = self._number(arguments[0], at, frames)
                if at[name] == 0:
                    return here
                return here - self._number(arguments[0], {**at, name: at[name] - 1}, frames)
            case "beta":
                n = self._index(expression.at[0], at)
                column = [row[n] if n < self.nest.n else 0 for row in self.b]
                return sum(x * y for x, y in zip(column[::2], column[1::2], strict=False))
        values = [self._number(argument, at, frames) for argument in arguments]
        match expression.primitive:
            case "map" | "alpha":
                return values[0] * values[1]
            case "correct":
                return values[0] - values[1] - values[2]
        assert expression.primitive in ("presum", "accumulate")
        return values[0] + values[1]
