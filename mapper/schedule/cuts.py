"""Steps at which a problem falls into independent parts, and the parts between two of them.

An operator that is comparable with all others runs at the same step in every order. If, moreover,
nothing but its own results is live after it, what happens before and after does not depend on each
other: those results are on chip and have no copy yet, whatever came before.
"""

from __future__ import annotations

from mapper.schedule.neighbourhood import Window
from mapper.schedule.part import Part, part_of
from mapper.schedule.problem import Problem, Schedule, bits

__all__ = ["cuts_of", "parts_between", "segment_at"]


def cuts_of(problem: Problem) -> list[int]:
    """Steps before which a problem can be cut, 0 and the number of operators included."""
    cuts, live, readers = [0], set[int](), [sum(1 << o for o in c) for c in problem.consumers]
    n, done = len(problem.inputs), 0
    fixed = {w.first: o for o, w in enumerate(problem.windows) if w.last - w.first == 1}
    for t in sorted(fixed):
        o = fixed[t]
        # What has run by now is the same in every order: the operator and all its ancestors.
        fresh, done = (problem.ancestors[o] | 1 << o) & ~done, problem.ancestors[o] | 1 << o
        for p in bits(fresh):
            live.update(problem.operands[p])
        live = {a for a in live if readers[a] & ~done}
        if live <= set(problem.outputs[o]):
            cuts.append(t + 1)
    return cuts if cuts[-1] == n else [*cuts, n]


def parts_between(problem: Problem, capacity: int) -> list[Part]:
    """The parts between the cuts, their last results left to whoever comes next."""
    order = tuple(problem.operators)
    # Any topological order has the same operators between two cuts.
    at = sorted(order, key=lambda o: (problem.ancestors[o].bit_count(), o))
    cuts = cuts_of(problem)
    parts, done = [], 0
    for first, last in zip(cuts, cuts[1:], strict=False):
        del first
        if last < len(order):
            final = next(o for o in at if problem.windows[o] == (last - 1, last))
            now = problem.ancestors[final] | 1 << final
        else:
            final, now = -1, (1 << len(order)) - 1
        inside = bits(now & ~done)
        given = [
            a
            for a in problem.tensors
            if problem.producer[a] >= 0
            and done >> problem.producer[a] & 1
            and any(not done >> c & 1 for c in problem.consumers[a])
        ]
        parts.append(part_of(problem, capacity, inside, done=bits(done), resident=given))
        done = now
    return parts


def segment_at(
    problem: Problem, capacity: int, schedule: Schedule, first: int, last: int
) -> Window:
    """The part between two cuts, and what `schedule` pays for the tensors that are read in it."""
    order = schedule.order

    def border(t: int) -> list[int]:
        if t in (0, len(order)):
            return []
        after = set(order[t:])
        return [
            a for a in problem.outputs[order[t - 1]] if after.intersection(problem.consumers[a])
        ]

    part = part_of(
        problem,
        capacity,
        sorted(order[first:last]),  # numbered alike, whatever the schedule
        done=order[:first],
        resident=border(first),
        resident_after=border(last),
    )
    cost = transfers = 0
    for a in problem.tensors:
        moves = sum(first <= i.first < last for i in schedule.residency[a][1:])
        if moves and not problem.has_free_copy(a):
            moves += 1
        transfers += moves
        cost += moves * problem.sizes[a]
    return Window(first, last, part, cost, transfers)
