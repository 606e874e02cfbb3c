"""A stretch of a problem with its borders: what the searches over down-sets work on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from mapper.schedule.problem import Problem, bits, repaired

__all__ = ["Contracted", "Part", "along", "contracted", "part_of"]


@dataclass(frozen=True)
class Part:
    """Operators, the tensors that they touch, and the state of these at the begin.

    Positions are the part's own. An operator is one step; a part may end with a border step, which
    reads all tensors that must be resident at the end.

    Attributes
    ----------
    capacity : int
        Bytes.
    sizes, fetch, write : tuple of int
        Per tensor: its bytes, and what it costs to read it back and to write it. A tensor that
        costs nothing to write has a copy off chip from the start.
    reads, makes : tuple of tuple of int
        Per operator: tensors that it needs, and tensors that begin with it.
    before : tuple of int
        Per operator: mask of the operators that must have run.
    load : tuple of int
        Per operator: bytes that it occupies while it runs, at least those of its operands.
    held : tuple of tuple of int
        Per operator: tensors that stay needed until it has run, though it does not read them.
    given : frozenset of int
        Tensors that were made earlier.
    resident, copied : frozenset of int
        Those of them that are on chip, and those that have a copy off chip, at the begin.
    operators : tuple of int
        Operators of the problem, where there is one for each; the border step is -1.
    tensors : tuple of int
        Tensors of the problem.
    """

    capacity: int
    sizes: tuple[int, ...]
    fetch: tuple[int, ...]
    write: tuple[int, ...]
    reads: tuple[tuple[int, ...], ...]
    makes: tuple[tuple[int, ...], ...]
    before: tuple[int, ...]
    load: tuple[int, ...]
    held: tuple[tuple[int, ...], ...]
    given: frozenset[int]
    resident: frozenset[int]
    copied: frozenset[int]
    operators: tuple[int, ...]
    tensors: tuple[int, ...]

    @cached_property
    def users(self) -> tuple[int, ...]:
        """Per tensor: mask of the operators that read or hold it."""
        masks = [0] * len(self.sizes)
        for o, (reads, held) in enumerate(zip(self.reads, self.held, strict=True)):
            for a in (*reads, *held):
                masks[a] |= 1 << o
        return tuple(masks)


def part_of(
    problem: Problem,
    capacity: int,
    operators: Sequence[int] | None = None,
    *,
    done: Collection[int] = (),
    resident: Collection[int] | None = None,
    copied: Collection[int] = (),
    resident_after: Collection[int] | None = None,
    charged: Collection[int] | None = None,
) -> Part:
    """The part of `problem` that consists of `operators`, which no path leaves and enters again.

    Parameters
    ----------
    problem : Problem
    capacity : int
        Bytes.
    operators : sequence of int, optional
        In a topological order; by default all.
    done : collection of int
        Operators that ran before.
    resident : collection of int, optional
        Tensors that are on chip at the begin. Without, every tensor that was made before enters
        free of charge at its first use and has a copy: a relaxation, for bounds.
    copied : collection of int
        Tensors that have a copy off chip at the begin, besides those that have one anyway.
    resident_after : collection of int, optional
        Tensors that later operators find on chip; others that they need must have a copy. Without,
        tensors that later operators need are forgotten after their last use.
    charged : collection of int, optional
        Tensors whose traffic counts; the others take room only while they are used.
    """
    chosen = list(problem.operators) if operators is None else list(operators)
    at = {o: i for i, o in enumerate(chosen)}
    inside = set(chosen)
    before_part = set(done)
    plan = resident is not None

    def later(a: int) -> bool:
        return any(c not in inside and c not in before_part for c in problem.consumers[a])

    def live_at_begin(a: int) -> bool:
        made = problem.producer[a]
        if made >= 0:
            return made in before_part and any(c not in before_part for c in problem.consumers[a])
        began = any(c in before_part for c in problem.consumers[a])
        return began and any(c not in before_part for c in problem.consumers[a])

    touched = dict.fromkeys(a for o in chosen for a in problem.operands[o])
    if plan:
        touched.update(dict.fromkeys(resident or ()))
    counted = [a for a in touched if charged is None or a in charged]
    # Largest first: the searches drop tensors in this order.
    counted.sort(key=lambda a: (-problem.sizes[a], a))
    index = {a: i for i, a in enumerate(counted)}
    given = {a for a in counted if plan and live_at_begin(a)}
    free = {
        a
        for a in counted
        if problem.has_free_copy(a)
        or (problem.producer[a] not in inside and not (plan and live_at_begin(a)))
    }
    reads: list[tuple[int, ...]] = []
    makes: list[tuple[int, ...]] = []
    before: list[int] = []
    load: list[int] = []
    held: list[tuple[int, ...]] = []
    for o in chosen:
        made = [a for a in problem.outputs[o] if a in index]
        reads.append(tuple(index[a] for a in problem.inputs[o] if a in index))
        makes.append(tuple(index[a] for a in made))
        before.append(sum(1 << at[p] for p in bits(problem.predecessors[o]) if p in at))
        load.append(sum(problem.sizes[a] for a in problem.operands[o]))
        held.append(())
    if resident_after is not None:
        end = len(chosen)
        reads.append(tuple(index[a] for a in counted if a in resident_after))
        makes.append(())
        before.append((1 << end) - 1)
        load.append(capacity)  # nothing else stays: what must have a copy is written by now
        held.append(tuple(index[a] for a in counted if a not in resident_after and later(a)))
    return Part(
        capacity=capacity,
        sizes=tuple(problem.sizes[a] for a in counted),
        fetch=tuple(problem.sizes[a] for a in counted),
        write=tuple(0 if a in free else problem.sizes[a] for a in counted),
        reads=tuple(reads),
        makes=tuple(makes),
        before=tuple(before),
        load=tuple(load),
        held=tuple(held),
        given=frozenset(index[a] for a in given),
        resident=frozenset(index[a] for a in given if a in (resident or ())),
        copied=frozenset(index[a] for a in given if a in free or a in copied),
        operators=(*chosen, *([-1] if resident_after is not None else [])),
        tensors=tuple(counted),
    )


@dataclass(frozen=True)
class Contracted:
    """A part with chains made one, and the operators of the original part in each."""

    part: Part
    members: tuple[tuple[int, ...], ...]


def contracted(part: Part, heaviest: int, *, relaxed: bool = True) -> Contracted:
    """A part with fewer operators: chains become one.

    Where the only result of `u` is read by `v` alone, and `v` reads nothing else and makes one
    tensor, both become one operator at the step of `u`, and the two tensors become one.

    Parameters
    ----------
    part : Part
    heaviest : int
        Largest load of a `v`, in bytes: the room that it needs is what the relaxation forgets.
    relaxed : bool
        Whether the result is a relaxation, for bounds: the tensor gets the smaller of both sizes
        and stands for whichever of the two is there, so every schedule of the part gives one that
        costs no more. Otherwise it gets the size of the later one and the step the larger load,
        which guides a search for an order in which chains run without a break.
    """
    n = len(part.reads)
    reads, makes = [list(r) for r in part.reads], [list(m) for m in part.makes]
    before, members = list(part.before), [[o] for o in range(n)]
    sizes, fetch, write = list(part.sizes), list(part.fetch), list(part.write)
    load, users = list(part.load), list(part.users)
    for u in range(n):
        while members[u] and len(makes[u]) == 1:
            (a,) = makes[u]
            if users[a].bit_count() != 1 or not write[a]:
                break
            v = users[a].bit_length() - 1
            if not members[v] or reads[v] != [a] or len(makes[v]) != 1 or part.held[v]:
                break
            if load[v] > heaviest:
                break
            others = before[v] & ~(1 << u)
            if not relaxed and others & ~before[u]:
                break
            (b,) = makes[v]
            makes[u] = [b]
            if relaxed:
                sizes[b] = min(sizes[a], sizes[b])
                fetch[b], write[b] = min(fetch[a], fetch[b]), min(write[a], write[b])
            else:
                load[u] = max(load[u], load[v])
            for o in range(n):
                if before[o] >> v & 1:
                    before[o] = before[o] & ~(1 << v) | 1 << u
            before[u] &= ~(1 << u)
            members[u] += members[v]
            members[v] = []
    kept = [o for o in range(n) if members[o]]
    at = {o: i for i, o in enumerate(kept)}
    used = {a for o in kept for a in (*reads[o], *makes[o], *part.held[o])} | part.given
    order = sorted(used, key=lambda a: (-sizes[a], a))
    index = {a: i for i, a in enumerate(order)}
    smaller = Part(
        capacity=part.capacity,
        sizes=tuple(sizes[a] for a in order),
        fetch=tuple(fetch[a] for a in order),
        write=tuple(write[a] for a in order),
        reads=tuple(tuple(index[a] for a in reads[o]) for o in kept),
        makes=tuple(tuple(index[a] for a in makes[o]) for o in kept),
        before=tuple(sum(1 << at[p] for p in bits(before[o])) for o in kept),
        load=tuple(load[o] for o in kept),
        held=tuple(tuple(index[a] for a in part.held[o]) for o in kept),
        given=frozenset(index[a] for a in part.given),
        resident=frozenset(index[a] for a in part.resident),
        copied=frozenset(index[a] for a in part.copied),
        operators=tuple(part.operators[o] for o in kept),
        tensors=tuple(part.tensors[a] for a in order),
    )
    return Contracted(smaller, tuple(tuple(members[o]) for o in kept))


def along(part: Part, order: Sequence[int]) -> Part:
    """`part` with its operators forced into `order`, or the nearest that its wiring allows."""
    before = list(part.before)
    allowed = repaired(part.before, order)
    for first, then in zip(allowed, allowed[1:], strict=False):
        before[then] |= 1 << first
    return replace(part, before=tuple(before))
