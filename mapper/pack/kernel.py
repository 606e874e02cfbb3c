"""Depth-first search for the offsets of one part, compiled by numba.

Time is a row of *sections*, the maximal live sets. In section ``s`` all buffers that are not yet
placed lie between a floor and a ceiling; each of them has a least bottom and a greatest top.
A node picks a section and decides what rests on its floor: one of the buffers that can (a child
each), or nothing, and then the floor rises to where the next bottom can be. Filling from the
ceiling is the mirror image. Both are complete: the unplaced buffers of a solution can be pushed
down (or up) until each rests on something, without leaving the floors and ceilings.

The search stops at limits of nodes and of work, never at a clock, so it is the same everywhere.
All its state is in arrays: it goes on where it paused.
"""

from __future__ import annotations

import numpy as np

from mapper.pack.arrays import Part, Rules, State
from mapper.pack.branch import branch
from mapper.pack.compiled import (
    CHILDREN,
    DEPTH,
    DESCENDING,
    DONE,
    END,
    FULL,
    NEXT,
    NODES,
    NOTHING,
    PLACED,
    RISE,
    SECTION,
    SIDE,
    WASTE,
    WORK,
    compiled,
)
from mapper.pack.propagate import enqueue, place, propagate, raise_bound, undo

__all__ = [
    "ABORTED",
    "EXHAUSTED",
    "FULL",
    "LIMIT",
    "NODES",
    "PAUSED",
    "SOLVED",
    "WORK",
    "advance",
    "reset",
]

# What `advance` returns.
SOLVED, EXHAUSTED, PAUSED, LIMIT, ABORTED = 0, 1, 2, 3, 4


@compiled
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
        enqueue(state, x)
    return propagate(part, state)


@compiled
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
            if not branch(part, state, rules):
                return ABORTED
            scalars[DESCENDING] = 0
        depth = scalars[DEPTH] - 1
        if depth < 0:
            return EXHAUSTED
        if frame[depth, DONE] != NOTHING:
            undo(part, state, depth)
        if frame[depth, NEXT] == frame[depth, END]:
            scalars[DEPTH] = depth
            scalars[CHILDREN] = frame[depth - 1, END] if depth > 0 else 0
            continue
        child = state.child[frame[depth, NEXT]]
        frame[depth, NEXT] += 1
        frame[depth, DONE] = child
        scalars[NODES] += 1
        s, side = frame[depth, SECTION], frame[depth, SIDE]
        x = side * sections + s
        if child == WASTE:
            raise_bound(state, x, frame[depth, RISE])
            enqueue(state, x)
            fits = propagate(part, state)
        else:
            fits = place(part, state, child, side, state.bounds[x])
        if scalars[FULL]:
            return ABORTED
        scalars[DESCENDING] = 1 if fits else 0
