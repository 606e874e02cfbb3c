"""Depth-first search for the offsets of one part, compiled by numba.

Time is a row of *sections*, the maximal live sets. In section ``s`` all buffers that are not yet
placed lie between a floor and a ceiling; each of them has a least bottom and a greatest top.
A node picks a section and decides what rests on its floor: one of the buffers that can (a child
each), or nothing, and then the floor rises to where the next bottom can be. Filling from the
ceiling is the mirror image. Both are complete: the unplaced buffers of a solution can be pushed
down (or up) until each rests on something, without leaving the floors and ceilings.

Everything from above is stored negated, so that both sides are one code: ``bounds`` holds, side
by side, the floors, the negated ceilings, the least bottoms and the negated greatest tops, and
all of these only rise on the way down the tree.

The search stops at limits of nodes and of work, never at a clock, so it is the same everywhere.
All its state is in arrays: it goes on where it paused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from mapper.pack.arrays import FRAME_FIELDS, SCALARS, Part, Rules, State

__all__ = ["ABORTED", "EXHAUSTED", "LIMIT", "PAUSED", "SOLVED", "advance", "reset"]

F = TypeVar("F", bound=Callable[..., Any])


def _compiled(function: F) -> F:
    try:
        return cast(F, numba.njit(cache=True)(function))
    except RuntimeError:  # neither the folder of the source nor the user's can be written to
        return cast(F, numba.njit(function))


# What `advance` returns.
SOLVED, EXHAUSTED, PAUSED, LIMIT, ABORTED = 0, 1, 2, 3, 4

# Where the scalars are in `State.scalars`.
NODES, WORK, DEPTH, TRAIL, CHILDREN, PLACED, FULL, DESCENDING, HEAD, TAIL = range(SCALARS)

_FAR = 1 << 62


_SECTION, _SIDE, _NEXT, _END, _RISE, _MARK, _DONE = range(FRAME_FIELDS)
_WASTE, _NOTHING = -1, -2


@_compiled
def reset(part: Part, state: State, seed: int) -> bool:
    """Prepares a start; false when the bounds alone show that there is no solution."""
    buffers, sections = part.size.size, part.section.size - 1
    state.scalars[:] = 0
    state.scalars[DESCENDING] = 1
    state.random[0] = np.uint64(seed)
    state.placed[:] = 0
    state.stale[:] = 1
    state.queued[:] = 0
    state.room[:] = 0
    state.unplaced[:] = 0
    for s in range(sections):
        state.bounds[s] = 0
        state.bounds[sections + s] = -part.height
    for b in range(buffers):
        state.bounds[2 * sections + b] = part.bottom[b]
        state.bounds[2 * sections + buffers + b] = -part.top[b]
        for s in range(part.begin[b], part.end[b]):
            at = part.section[s] + state.unplaced[s]
            state.live[at] = b
            state.spot[part.first[b] + s - part.begin[b]] = at
            state.unplaced[s] += 1
            state.room[s] += part.size[b]
        if part.bottom[b] + part.size[b] > part.top[b]:
            return False
    for s in range(sections):
        if state.room[s] > part.height:
            return False
    for x in range(2 * sections):
        _enqueue(state, x)
    return _propagate(part, state)


@_compiled
def _random(state: State) -> float:
    """Uniform in [0, 1); xorshift64*."""
    x = state.random[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state.random[0] = x
    return float((x * np.uint64(2685821657736338717)) >> np.uint64(11)) / 9007199254740992.0


@_compiled
def _set(state: State, where: int, value: int) -> None:
    top = state.scalars[TRAIL]
    if top == state.trail_where.size:
        # The start is given up as aborted: nothing that follows from here is believed.
        state.scalars[FULL] = 1
        return
    state.trail_where[top] = where
    state.trail_value[top] = state.bounds[where]
    state.scalars[TRAIL] = top + 1
    state.bounds[where] = value


@_compiled
def _enqueue(state: State, x: int) -> None:
    if not state.queued[x]:
        state.queued[x] = 1
        tail = state.scalars[TAIL]
        state.queue[tail] = x
        state.scalars[TAIL] = tail + 1 if tail + 1 < state.queue.size else 0


@_compiled
def _fail(state: State, section: int) -> bool:
    state.weight[section] += 1.0
    head, tail = state.scalars[HEAD], state.scalars[TAIL]
    while head != tail:
        state.queued[state.queue[head]] = 0
        head = head + 1 if head + 1 < state.queue.size else 0
    state.scalars[HEAD] = tail
    return False


@_compiled
def _propagate(part: Part, state: State) -> bool:
    """Raises bounds to a fixed point; false when some buffer or section no longer fits.

    A buffer's bottom is not below the floors of its sections. A floor is not below the least
    bottom of its unplaced buffers: what lies beneath all of them is lost.
    """
    buffers, sections = part.size.size, part.section.size - 1
    work = 0
    while state.scalars[HEAD] != state.scalars[TAIL]:
        head = state.scalars[HEAD]
        x = state.queue[head]
        state.scalars[HEAD] = head + 1 if head + 1 < state.queue.size else 0
        state.queued[x] = 0
        state.stale[x] = 1
        side = 1 if x >= sections else 0
        s = x - side * sections
        if state.unplaced[s] == 0:
            continue
        level = state.bounds[x]
        least = _FAR
        start = part.section[s]
        work += state.unplaced[s] + 4
        mine, other = 2 * sections + side * buffers, 2 * sections + (1 - side) * buffers
        for i in range(start, start + state.unplaced[s]):
            b = state.live[i]
            bound = state.bounds[mine + b]
            if bound < level:
                _set(state, mine + b, level)
                if level + state.bounds[other + b] + part.size[b] > 0:
                    state.scalars[WORK] += work
                    return _fail(state, s)
                for t in range(part.begin[b], part.end[b]):
                    y = side * sections + t
                    state.stale[y] = 1
                    if state.bounds[y] == bound:  # it may have been the least of that section
                        _enqueue(state, y)
                work += part.end[b] - part.begin[b]
                bound = level
            if bound < least:
                least = bound
        if least > level:
            _set(state, x, least)
            if least + state.bounds[(1 - side) * sections + s] + state.room[s] > 0:
                state.scalars[WORK] += work
                return _fail(state, s)
    state.scalars[WORK] += work
    return True


@_compiled
def _place(part: Part, state: State, b: int, side: int, level: int) -> bool:
    buffers, sections = part.size.size, part.section.size - 1
    size = part.size[b]
    state.placed[b] = 1
    state.scalars[PLACED] += 1
    state.offset[b] = level if side == 0 else -level - size
    opposite = state.bounds[2 * sections + (1 - side) * buffers + b]
    for s in range(part.begin[b], part.end[b]):
        at = state.spot[part.first[b] + s - part.begin[b]]
        last = part.section[s] + state.unplaced[s] - 1
        c = state.live[last]
        state.live[at], state.live[last] = c, b
        state.spot[part.first[c] + s - part.begin[c]] = at
        state.spot[part.first[b] + s - part.begin[b]] = last
        state.unplaced[s] -= 1
        state.room[s] -= size
        x, y = side * sections + s, (1 - side) * sections + s
        _set(state, x, level + size)
        state.stale[x] = state.stale[y] = 1
        _enqueue(state, x)
        if state.bounds[y] == opposite:
            _enqueue(state, y)
    return _propagate(part, state)


@_compiled
def _undo(part: Part, state: State, depth: int) -> None:
    """Takes back the child of the frame at `depth`."""
    buffers, sections = part.size.size, part.section.size - 1
    mark = state.frame[depth, _MARK]
    top = state.scalars[TRAIL]
    state.scalars[WORK] += top - mark
    while top > mark:
        top -= 1
        where = state.trail_where[top]
        state.bounds[where] = state.trail_value[top]
        if where < 2 * sections:
            state.stale[where] = 1
        else:
            side = 1 if where >= 2 * sections + buffers else 0
            b = where - 2 * sections - side * buffers
            for s in range(part.begin[b], part.end[b]):
                state.stale[side * sections + s] = 1
    state.scalars[TRAIL] = mark
    b = state.frame[depth, _DONE]
    if b >= 0:
        state.placed[b] = 0
        state.scalars[PLACED] -= 1
        for s in range(part.begin[b], part.end[b]):
            # Placed last of those that are placed, so it stands right behind the unplaced ones.
            state.unplaced[s] += 1
            state.room[s] += part.size[b]
            state.stale[s] = state.stale[sections + s] = 1
    state.frame[depth, _DONE] = _NOTHING


@_compiled
def _choose(part: Part, state: State, rules: Rules) -> int:
    """The section of the best score among the eligible ones, plus `sections` if from above.

    Eligible: whatever can rest on its floor rests flat, all its sections having equal floors.
    The lowest section always is.
    """
    buffers, sections = part.size.size, part.section.size - 1
    best, choice = np.inf, -1
    for side in range(2 if rules.two_sided else 1):
        base, mine = side * sections, 2 * sections + side * buffers
        state.run[sections - 1] = sections - 1
        for s in range(sections - 2, -1, -1):
            same = state.bounds[base + s] == state.bounds[base + s + 1]
            state.run[s] = state.run[s + 1] if same else s
        state.scalars[WORK] += 3 * sections
        for s in range(sections):
            if state.unplaced[s] == 0:
                continue
            x = base + s
            level = state.bounds[x]
            if state.stale[x]:
                number, low, high = 0, s, s + 1
                start = part.section[s]
                for i in range(start, start + state.unplaced[s]):
                    b = state.live[i]
                    if state.bounds[mine + b] == level:
                        number += 1
                        low = min(low, part.begin[b])
                        high = max(high, part.end[b])
                state.candidates[x] = number
                state.least_begin[x], state.greatest_end[x] = low, high
                state.stale[x] = 0
                state.scalars[WORK] += state.unplaced[s]
            if state.run[state.least_begin[x]] < state.greatest_end[x] - 1:
                continue
            slack = -(state.bounds[s] + state.bounds[sections + s] + state.room[s])
            score = float(state.candidates[x])
            if slack > 0:
                score += 0.5 + slack / part.height
            if rules.rule != 0:
                height = level if side == 0 else part.height + level
                score = height + 0.01 * score
                if rules.rule == 3:
                    score += slack + 1
            if rules.weighted:
                score /= state.weight[s]
            score *= 1.0 + 0.01 * _random(state)
            if score < best:
                best, choice = score, x
    return choice


@_compiled
def _rise(part: Part, state: State, x: int) -> int:
    """Where the lowest bottom in the section can be if nothing rests on its floor.

    Either at a least bottom above the floor, or on a buffer that does not cover the section: one
    that covers it would be lower there. Beside the section only the span of the candidates
    matters.
    """
    buffers, sections = part.size.size, part.section.size - 1
    side = 1 if x >= sections else 0
    s, mine = x - side * sections, 2 * sections + side * buffers
    low, high, level = state.least_begin[x], state.greatest_end[x], state.bounds[x]
    rise = _FAR
    for i in range(part.section[s], part.section[s] + state.unplaced[s]):
        bound = state.bounds[mine + state.live[i]]
        if bound > level:
            rise = min(rise, bound)
    for c in range(buffers):
        if not state.placed[c] and part.begin[c] < high and part.end[c] > low:
            if part.begin[c] > s or part.end[c] <= s:
                rise = min(rise, state.bounds[mine + c] + part.size[c])
    state.scalars[WORK] += buffers
    return rise


@_compiled
def _branch(part: Part, state: State, rules: Rules) -> bool:
    """Opens a frame with its children; false when a row runs out."""
    buffers, sections = part.size.size, part.section.size - 1
    depth, top = state.scalars[DEPTH], state.scalars[CHILDREN]
    x = _choose(part, state, rules)
    side = 1 if x >= sections else 0
    s, mine = x - side * sections, 2 * sections + side * buffers
    if depth == state.frame.shape[0] or top + state.unplaced[s] + 1 > state.child.size:
        return False
    level = state.bounds[x]
    rise = _rise(part, state, x)
    wasteful = rise - level <= -(state.bounds[s] + state.bounds[sections + s] + state.room[s])
    end = top
    for i in range(part.section[s], part.section[s] + state.unplaced[s]):
        b = state.live[i]
        if state.bounds[mine + b] != level:
            continue
        if part.end[b] - part.begin[b] == 1 and part.size[b] <= rise - level:
            wasteful = False  # it could be moved into the hole
        at, known = end, False
        for j in range(top, end):
            known = known or part.kind[state.child[j]] == part.kind[b]
        if known:
            continue
        while at > top and rules.rank[state.child[at - 1]] > rules.rank[b]:
            state.child[at] = state.child[at - 1]
            at -= 1
        state.child[at] = b
        end += 1
    if wasteful:
        state.child[end] = _WASTE
        end += 1
    state.frame[depth, _SECTION] = s
    state.frame[depth, _SIDE] = side
    state.frame[depth, _NEXT] = top
    state.frame[depth, _END] = end
    state.frame[depth, _RISE] = rise
    state.frame[depth, _MARK] = state.scalars[TRAIL]
    state.frame[depth, _DONE] = _NOTHING
    state.scalars[DEPTH] = depth + 1
    state.scalars[CHILDREN] = end
    return True


@_compiled
def advance(part: Part, state: State, rules: Rules, nodes: int, work: int) -> int:
    """Goes on with a start until `nodes` nodes in all, or `work` in all.

    Returns
    -------
    int
        SOLVED: offsets are in ``state.offset``. EXHAUSTED: there is no solution. LIMIT, PAUSED:
        nodes, or work, have run out. ABORTED: rows have run out, which says nothing.
    """
    sections = part.section.size - 1
    scalars, frame = state.scalars, state.frame
    while True:
        if scalars[PLACED] == part.size.size:
            return SOLVED
        if scalars[NODES] >= nodes:
            return LIMIT
        if scalars[WORK] >= work:
            return PAUSED
        if scalars[DESCENDING]:
            if not _branch(part, state, rules):
                return ABORTED
            scalars[DESCENDING] = 0
        depth = scalars[DEPTH] - 1
        if depth < 0:
            return EXHAUSTED
        if frame[depth, _DONE] != _NOTHING:
            _undo(part, state, depth)
        if frame[depth, _NEXT] == frame[depth, _END]:
            scalars[DEPTH] = depth
            scalars[CHILDREN] = frame[depth - 1, _END] if depth > 0 else 0
            continue
        child = state.child[frame[depth, _NEXT]]
        frame[depth, _NEXT] += 1
        frame[depth, _DONE] = child
        scalars[NODES] += 1
        s, side = frame[depth, _SECTION], frame[depth, _SIDE]
        x = side * sections + s
        if child == _WASTE:
            _set(state, x, frame[depth, _RISE])
            _enqueue(state, x)
            fits = _propagate(part, state)
        else:
            fits = _place(part, state, child, side, state.bounds[x])
        if scalars[FULL]:
            return ABORTED
        scalars[DESCENDING] = 1 if fits else 0
