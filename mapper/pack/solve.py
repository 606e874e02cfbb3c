"""From buffers and a capacity to offsets, to a proof that there are none, or to neither."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mapper.limits import Limits
from mapper.pack.arrays import Window, part_of
from mapper.pack.buffers import Buffer, meetings, neighbours_of, peak_load, rounded
from mapper.pack.greedy import first_fit, orders, sweep_fit
from mapper.pack.question import Piece, check_question, pieces_of, unit_of, windows_of

if TYPE_CHECKING:
    from mapper.pack.opinion import Opinion
    from mapper.pack.portfolio import Budget, Search

__all__ = ["OnProgress", "Packing", "Spending", "decide", "pack"]

# Steps of the search per unit of deterministic effort: roughly a second of one core.
WORK_PER_EFFORT = 100_000_000

# Pairs of buffers that meet. Where there are more, what the search needs would not fit into memory.
MOST_MEETINGS = 10_000_000

# Receives starts and nodes so far, a few times per second.
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Packing:
    """The answer to one packing question.

    Attributes
    ----------
    status : str
        ``packed``; ``infeasible`` (proven: no offsets exist); ``unknown`` (a limit was reached).
    offsets : tuple of int
        One per buffer when packed, else empty.
    peak_load : int
        Least bytes for the buffers that live at the worst time: no capacity below suffices.
    peak_at : int
        That time.
    conflict : tuple of int
        When infeasible: positions of buffers that alone already have no offsets.
    starts, nodes : int
        Of the search; 0 when first fit or the load answered.
    """

    status: str
    offsets: tuple[int, ...]
    peak_load: int
    peak_at: int
    conflict: tuple[int, ...] = ()
    starts: int = 0
    nodes: int = 0


@dataclass
class Spending:
    """What is left of the limits over several questions, and what was done so far."""

    limits: Limits
    on_progress: OnProgress | None = None
    starts: int = 0
    nodes: int = 0
    work: int = field(init=False)

    def __post_init__(self) -> None:
        self.work = int(self.limits.effort * WORK_PER_EFFORT)

    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.work <= 0 or self.limits.exhausted()


def pack(
    buffers: Sequence[Buffer],
    capacity: int,
    *,
    alignment: int | Sequence[int] = 1,
    fixed: Mapping[int, int] | None = None,
    limits: Limits | None = None,
    on_progress: OnProgress | None = None,
) -> Packing:
    """Finds offsets: by first fit along several orders, then by a complete search.

    Where more than `MOST_MEETINGS` pairs of buffers live together, only the load and a sweep over
    the begins are tried: what they leave open is ``unknown``.

    Parameters
    ----------
    buffers : sequence of Buffer
    capacity : int
        Bytes.
    alignment : int or sequence of int
        Every offset is a multiple of it, or each of its own; see `mapper.pack.mixed`.
    fixed : mapping of int to int, optional
        Offsets that are given, by position in `buffers`.
    limits : Limits, optional
        Of the search. Without a limit in seconds the answer depends on the seed only.
    on_progress : callable, optional

    Raises
    ------
    InputError
        A buffer does not live or has no size, or capacity, alignment or an offset are impossible.
    """
    if not isinstance(alignment, int):
        if len(set(alignment)) > 1 or len(alignment) != len(buffers):
            from mapper.pack.mixed import pack_mixed

            return pack_mixed(buffers, capacity, alignment, fixed=fixed, limits=limits)
        alignment = alignment[0] if alignment else 1
    check_question(buffers, capacity, alignment, fixed or {})
    spending = Spending(limits or Limits(), on_progress)
    return decide(buffers, capacity, alignment, fixed or {}, spending, spending.work)


def decide(
    buffers: Sequence[Buffer],
    capacity: int,
    alignment: int,
    fixed: Mapping[int, int],
    spending: Spending,
    work: int,
) -> Packing:
    """`pack` for a question that is checked, with at most `work` of what is left."""
    load, at = peak_load(buffers, alignment)
    if load > capacity:
        living = tuple(i for i, b in enumerate(buffers) if b.lower <= at < b.upper)
        return Packing("infeasible", (), load, at, living)
    clash = _clash(buffers, capacity, alignment, fixed)
    if clash:
        return Packing("infeasible", (), load, at, clash)
    unit = unit_of(buffers, alignment, fixed)
    windows = windows_of(buffers, capacity, unit, fixed)
    if meetings(buffers) > MOST_MEETINGS:
        swept = sweep_fit(windows)
        if _within(windows, swept):
            return Packing("packed", tuple(unit * o for o in swept), load, at)
        return Packing("unknown", (), load, at)
    offsets = [0] * len(buffers)
    hard: list[tuple[Piece, list[Window]]] = []
    for piece in pieces_of(buffers):
        own = [windows[b] for b in piece.members]
        found = _first_fit(own, spending.limits)
        if found is None:
            hard.append((piece, own))
        else:
            _write(offsets, piece, found, unit)
    starts, nodes = spending.starts, spending.nodes
    status = "unknown" if hard else "packed"
    conflict: tuple[int, ...] = ()
    if hard and not spending.limits.exhausted():
        status, conflict = _search(hard, offsets, unit, spending, work)
    return Packing(
        status=status,
        offsets=tuple(offsets) if status == "packed" else (),
        peak_load=load,
        peak_at=at,
        conflict=conflict,
        starts=spending.starts - starts,
        nodes=spending.nodes - nodes,
    )


def _clash(
    buffers: Sequence[Buffer], capacity: int, alignment: int, fixed: Mapping[int, int]
) -> tuple[int, ...]:
    """A fixed buffer above the capacity, or two that meet and overlap."""
    for i, offset in fixed.items():
        if offset + buffers[i].size > capacity:
            return (i,)
    positions = list(fixed)
    for mine, near in enumerate(neighbours_of([buffers[i] for i in positions])):
        for other in near:
            i, j = positions[mine], positions[other]
            if fixed[i] <= fixed[j] < fixed[i] + rounded(buffers[i].size, alignment):
                return (i, j)
    return ()


def _within(windows: Sequence[Window], offsets: Sequence[int]) -> bool:
    return all(w.bottom <= o <= w.top - w.size for o, w in zip(offsets, windows, strict=True))


def _first_fit(windows: Sequence[Window], limits: Limits) -> list[int] | None:
    neighbours = neighbours_of(windows)
    for order in orders(windows):
        offsets = first_fit(windows, order, neighbours, limits.exhausted)
        if offsets is None or _within(windows, offsets):
            return offsets
    return None


def _search(
    hard: Sequence[tuple[Piece, list[Window]]],
    offsets: list[int],
    unit: int,
    spending: Spending,
    work: int,
) -> tuple[str, tuple[int, ...]]:
    """Status, and the conflict if there is none; writes `offsets`. All pieces in turns."""
    # Here, because importing the compiler takes longer than most questions.
    from mapper.pack.opinion import Opinion
    from mapper.pack.portfolio import Budget, Search

    budget = Budget(min(work, spending.work), _deadline(spending.limits))
    allowed, seed = budget.work, spending.limits.seed
    searches = [
        _Hard(
            piece,
            Search(part_of(windows, piece.sections), seed),
            Opinion(windows, piece.sections, seed),
        )
        for piece, windows in hard
    ]
    before = spending.starts, spending.nodes

    def tick() -> None:
        spending.starts = before[0] + sum(part.search.starts for part in searches)
        spending.nodes = before[1] + sum(part.search.nodes for part in searches)
        if spending.on_progress is not None:
            spending.on_progress(spending.starts, spending.nodes)

    budget.on_tick = tick
    try:
        return _take_turns(searches, offsets, unit, budget, spending.limits)
    finally:
        tick()
        spending.work -= allowed - budget.work


class _Hard(NamedTuple):
    """What first fit missed, and who looks for it."""

    piece: Piece
    search: Search
    opinion: Opinion


def _take_turns(
    searches: Sequence[_Hard], offsets: list[int], unit: int, budget: Budget, limits: Limits
) -> tuple[str, tuple[int, ...]]:
    left = list(searches)
    while left:
        for part in list(left):
            if budget.spent():
                return "unknown", ()
            found: Search | Opinion = part.search
            before = budget.work
            status = part.search.start(budget)
            if status == "unknown" and part.opinion.due(before - budget.work):
                if budget.spent():
                    return "unknown", ()
                found = part.opinion
                status, charged = part.opinion.ask(limits, budget.work)
                budget.work -= charged
            if status == "infeasible":
                return status, tuple(part.piece.members)
            if status == "packed":
                _write(offsets, part.piece, found.offsets(), unit)
                left.remove(part)
    return "packed", ()


def _write(offsets: list[int], piece: Piece, found: Sequence[int], unit: int) -> None:
    for b, offset in zip(piece.members, found, strict=True):
        offsets[b] = offset * unit


def _deadline(limits: Limits) -> float | None:
    return None if limits.seconds is None else limits.started + limits.seconds
