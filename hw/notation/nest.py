"""Loop nests of a matrix multiplication in the bit-weight dimension, as data.

``C[m,n] = sum_k A[m,k] * B[k,n]``, with A recoded into digits of weight ``radix**bw``. A `Nest` is
a tree of loops over time (`Kind.TEMPORAL`), over hardware (`SPATIAL`), or over the nonzero digits
of a group (`SPARSE`), with assignments of primitives at the leaves.

What a nest means
-----------------
*Variables.* A, B and C are the matrices. Any other name lives in the innermost loop body that
holds all its uses, and is new, and zero, each time that body is entered: an accumulator needs no
initialisation. Loops outside that body give it a copy per pass; loops inside must be in its
index. A name in round brackets such as ``(s, c)`` is a carry-save pair of a declared width W; only
``s + c`` modulo ``2**W`` has a meaning.

*Time.* Assignments take none. One pass of a temporal or sparse loop takes what the loops in time
inside it take, or one cycle where there are none. A sparse loop without any pass takes one cycle
too. The passes of a spatial loop start together; the loop ends with the last of them. ``sync(v)``
makes the passes of v meet earlier.

*Padding.* A and B are zero outside their sizes, and what is written outside C is dropped. A group
that lies outside A altogether is not issued: its sparse loop takes no cycle.

Primitives
----------
======================== ==========================================================================
``encode(x)[bw]``        digit bw of x
``map(sel, y)``          the multiple of y that a digit selects
``biased(sel, y)``       the same plus ``2**bits`` of y: a row in one's complement with its top bit
                         inverted, so that it needs neither a negator nor sign extension
``shift(x, bw)``         ``x * radix**bw``
``half_reduce(x, ...)``  carry-save compression of numbers and pairs into the pair assigned to
``add(pair)``            carry-propagate addition: the signed number of W bits that a pair stands for
``unbias(pair)``         the same, less what biased rows have added to the pair
``accumulate(x, y)``     ``x + y`` with carry propagation
``sparse(sel[*])``       positions of the nonzero digits of a group, for a sparse loop
``presum(x, y)``         ``x + y`` before a product (fast inner product)
``alpha(x, y)``          product of two neighbours of a row of A: what ``presum`` adds too much
``beta()[n]``            the same sum for column n of B, known beforehand
``correct(x, y, z)``     ``x - y - z``
``neighbour(x, y)``      x of the pass before in a spatial loop; y in the first
``difference(x)[v]``     x less the x of the pass before of v; x in the first
======================== ==========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from hw.notation.index import STAR, Affine, Index, affine
from hw.operand import Operand

__all__ = [
    "PRIMITIVES",
    "Assign",
    "Call",
    "Expression",
    "Kind",
    "Loop",
    "Nest",
    "Node",
    "Ref",
    "Sync",
    "call",
    "calls",
    "is_pair",
    "loop",
    "map_expression",
    "refs",
    "var",
]


class Kind(Enum):
    """Where the passes of a loop run."""

    TEMPORAL = "for"
    SPATIAL = "parfor"
    SPARSE = "sparse"


@dataclass(frozen=True)
class Ref:
    """An element of a matrix or variable."""

    name: str
    index: tuple[Index, ...] = ()

    @property
    def variables(self) -> frozenset[str]:
        """Index variables as written, definitions of the nest not expanded."""
        return frozenset().union(*(i.variables for i in self.index if isinstance(i, Affine)))


@dataclass(frozen=True)
class Call:
    """A primitive with its arguments, and index arguments `at` where it has them."""

    primitive: str
    arguments: tuple[Expression, ...]
    at: tuple[Affine, ...] = ()


Expression = Ref | Call

PRIMITIVES: dict[str, tuple[int | None, int]] = {
    "encode": (1, 1),
    "map": (2, 0),
    "biased": (2, 0),
    "shift": (1, 1),
    "half_reduce": (None, 0),
    "add": (1, 0),
    "unbias": (1, 0),
    "accumulate": (2, 0),
    "sparse": (1, 0),
    "presum": (2, 0),
    "alpha": (2, 0),
    "beta": (0, 1),
    "correct": (3, 0),
    "neighbour": (2, 0),
    "difference": (1, 1),
}
"""Number of arguments (None: any) and of index arguments."""


@dataclass(frozen=True)
class Assign:
    """``target = value``; the value passes `delay` registers on its way (retiming)."""

    target: Ref
    value: Expression
    delay: int = 0


@dataclass(frozen=True)
class Sync:
    """Passes of the spatial loop `var` wait here for each other."""

    var: str


@dataclass(frozen=True)
class Loop:
    """Passes of `body` with `var` from 0 below `extent`.

    A sparse loop visits only the positions in the variable `over`, which `sparse` has made.
    """

    var: str
    extent: int
    kind: Kind
    body: tuple[Node, ...]
    over: Ref | None = None


Node = Loop | Assign | Sync


@dataclass(frozen=True)
class Nest:
    """A loop nest and what it needs to have a meaning.

    Attributes
    ----------
    name : str
    a, b : Operand
        Formats of the elements of A and B.
    recoding : str
        ``mbe``, ``ent`` or ``radix2``.
    m, n, k : int
        A is (m, k), B is (k, n).
    where : tuple of (name, Affine)
        Names of indices that loops make together, such as ``m = 4*mt + mp``.
    widths : tuple of (variable, bits)
        Of C, of every pair, and of any variable that shall wrap.
    body : tuple of Node
    """

    name: str
    a: Operand
    b: Operand
    recoding: str
    m: int
    n: int
    k: int
    where: tuple[tuple[str, Affine], ...]
    widths: tuple[tuple[str, int], ...]
    body: tuple[Node, ...]

    def width(self, name: str) -> int | None:
        """Declared width of a variable."""
        return dict(self.widths).get(name)

    def with_width(self, name: str, bits: int) -> Nest:
        return replace(self, widths=tuple(sorted({**dict(self.widths), name: bits}.items())))

    def without_width(self, name: str) -> Nest:
        return replace(self, widths=tuple((v, w) for v, w in self.widths if v != name))

    def expand(self, index: Affine) -> Affine:
        """`index` over loop variables only."""
        return index.substitute(dict(self.where))

    def loop_variables(self, expression: Expression | Ref) -> frozenset[str]:
        """Loop variables in the indices of `expression`, its index arguments included."""
        names: set[str] = set()
        for ref in refs(expression):
            for index in ref.index:
                if isinstance(index, Affine):
                    names |= self.expand(index).variables
        for made in calls(expression):
            for at in made.at:
                names |= self.expand(at).variables
        return frozenset(names)

    def walk(self) -> Iterator[tuple[tuple[int, ...], tuple[Loop, ...], Node]]:
        """Every node in the order of the text, with its path and the loops around it."""

        def visit(
            nodes: tuple[Node, ...], path: tuple[int, ...], around: tuple[Loop, ...]
        ) -> Iterator[tuple[tuple[int, ...], tuple[Loop, ...], Node]]:
            for i, node in enumerate(nodes):
                yield (*path, i), around, node
                if isinstance(node, Loop):
                    yield from visit(node.body, (*path, i), (*around, node))

        return visit(self.body, (), ())

    def loops(self, name: str) -> list[tuple[tuple[int, ...], tuple[Loop, ...], Loop]]:
        """Every loop over the variable `name`."""
        return [
            (path, around, node)
            for path, around, node in self.walk()
            if isinstance(node, Loop) and node.var == name
        ]


def refs(expression: Expression) -> Iterator[Ref]:
    """Every element that `expression` reads."""
    if isinstance(expression, Ref):
        yield expression
    else:
        for argument in expression.arguments:
            yield from refs(argument)


def calls(expression: Expression, primitive: str | None = None) -> Iterator[Call]:
    """Every primitive in `expression`, or every one of that name, outermost first."""
    if isinstance(expression, Call):
        if primitive in (None, expression.primitive):
            yield expression
        for argument in expression.arguments:
            yield from calls(argument, primitive)


def map_expression(
    expression: Expression, change: Callable[[Expression], Expression]
) -> Expression:
    """`expression` with `change` applied to each part, inner parts first."""
    if isinstance(expression, Call):
        inner = tuple(map_expression(argument, change) for argument in expression.arguments)
        expression = replace(expression, arguments=inner)
    return change(expression)


def is_pair(name: str) -> bool:
    """Whether a variable is a carry-save pair."""
    return name.startswith("(")


# To write nests in Python.


class _Variable:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getitem__(self, index: object) -> Ref:
        items = index if isinstance(index, tuple) else (index,)
        return Ref(self._name, tuple(STAR if i in ("*", STAR) else affine(i) for i in items))

    def __call__(self) -> Ref:
        return Ref(self._name)


def var(name: str) -> _Variable:
    """A variable to be indexed: ``var("A")["m", "k"]``; ``var("p")()`` has no index."""
    return _Variable(name)


def call(primitive: str, *arguments: Expression, at: str | Affine | None = None) -> Call:
    """A primitive: ``call("encode", A["m", "k"], at="bw")``.

    Raises
    ------
    ValueError
        There is no such primitive, or it has another number of arguments.
    """
    if primitive not in PRIMITIVES:
        raise ValueError(f"primitive must be one of {', '.join(PRIMITIVES)}, not {primitive!r}")
    count, indices = PRIMITIVES[primitive]
    places = () if at is None else (affine(at),)
    if count not in (None, len(arguments)) or (count is None and not arguments):
        wanted = "at least 1" if count is None else count
        raise ValueError(f"{primitive} must have {wanted} arguments, not {len(arguments)}")
    if len(places) != indices:
        raise ValueError(f"{primitive} must have {indices} index arguments, not {len(places)}")
    return Call(primitive, arguments, places)


def loop(kind: str, *nodes: Node, over: Ref | None = None, **extents: int) -> Loop:
    """Nested loops: ``loop("for", ..., mt=2, nt=2)``; with `over`, one sparse loop."""
    wanted = Kind.SPARSE if over is not None else Kind(kind)
    body: tuple[Node, ...] = nodes
    for name, extent in reversed(extents.items()):
        body = (Loop(name, extent, wanted, body, over),)
    (made,) = body
    if not isinstance(made, Loop):
        raise ValueError("a loop must have a variable")
    return made
