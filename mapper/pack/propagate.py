"""The bounds of a search: how they move when a buffer is placed, and back.

Everything from above is stored negated, so that both sides are one code: ``bounds`` holds, side
by side, the floors, the negated ceilings, the least bottoms and the negated greatest tops, and
all of these only rise on the way down the tree.
"""

from __future__ import annotations

from mapper.pack.arrays import Part, State
from mapper.pack.compiled import (
    DONE,
    FAR,
    FULL,
    HEAD,
    MARK,
    NOTHING,
    PLACED,
    TAIL,
    TRAIL,
    WORK,
    compiled,
)

__all__ = ["enqueue", "place", "propagate", "raise_bound", "undo"]


@compiled
def raise_bound(state: State, where: int, value: int) -> None:
    top = state.scalars[TRAIL]
    if top == state.trail_where.size:
        # The start is given up as aborted: nothing that follows from here is believed.
        state.scalars[FULL] = 1
        return
    state.trail_where[top] = where
    state.trail_value[top] = state.bounds[where]
    state.scalars[TRAIL] = top + 1
    state.bounds[where] = value


@compiled
def enqueue(state: State, x: int) -> None:
    if not state.queued[x]:
        state.queued[x] = 1
        tail = state.scalars[TAIL]
        state.queue[tail] = x
        state.scalars[TAIL] = tail + 1 if tail + 1 < state.queue.size else 0


@compiled
def _fail(state: State, section: int) -> bool:
    state.weight[section] += 1.0
    head, tail = state.scalars[HEAD], state.scalars[TAIL]
    while head != tail:
        state.queued[state.queue[head]] = 0
        head = head + 1 if head + 1 < state.queue.size else 0
    state.scalars[HEAD] = tail
    return False


@compiled
def propagate(part: Part, state: State) -> bool:
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
        least = FAR
        start = part.section[s]
        work += state.unplaced[s] + 4
        mine, other = 2 * sections + side * buffers, 2 * sections + (1 - side) * buffers
        for i in range(start, start + state.unplaced[s]):
            b = state.live[i]
            bound = state.bounds[mine + b]
            if bound < level:
                raise_bound(state, mine + b, level)
                if level + state.bounds[other + b] + part.size[b] > 0:
                    state.scalars[WORK] += work
                    return _fail(state, s)
                for t in range(part.begin[b], part.end[b]):
                    y = side * sections + t
                    state.stale[y] = 1
                    if state.bounds[y] == bound:  # it may have been the least of that section
                        enqueue(state, y)
                work += part.end[b] - part.begin[b]
                bound = level
            if bound < least:
                least = bound
        if least > level:
            raise_bound(state, x, least)
            if least + state.bounds[(1 - side) * sections + s] + state.room[s] > 0:
                state.scalars[WORK] += work
                return _fail(state, s)
    state.scalars[WORK] += work
    return True


@compiled
def place(part: Part, state: State, b: int, side: int, level: int) -> bool:
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
        raise_bound(state, x, level + size)
        state.stale[x] = state.stale[y] = 1
        enqueue(state, x)
        if state.bounds[y] == opposite:
            enqueue(state, y)
    return propagate(part, state)


@compiled
def undo(part: Part, state: State, depth: int) -> None:
    """Takes back the child of the frame at `depth`."""
    buffers, sections = part.size.size, part.section.size - 1
    mark = state.frame[depth, MARK]
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
    b = state.frame[depth, DONE]
    if b >= 0:
        state.placed[b] = 0
        state.scalars[PLACED] -= 1
        for s in range(part.begin[b], part.end[b]):
            # Placed last of those that are placed, so it stands right behind the unplaced ones.
            state.unplaced[s] += 1
            state.room[s] += part.size[b]
            state.stale[s] = state.stale[sections + s] = 1
    state.frame[depth, DONE] = NOTHING
