"""Where the search goes on: the section of a node, and its children in order."""

from __future__ import annotations

import numpy as np

from mapper.pack.arrays import Part, Rules, State
from mapper.pack.compiled import (
    CHILDREN,
    DEPTH,
    DONE,
    END,
    FAR,
    MARK,
    NEXT,
    NOTHING,
    RISE,
    SECTION,
    SIDE,
    TRAIL,
    WASTE,
    WORK,
    compiled,
)

__all__ = ["branch"]


@compiled
def _random(state: State) -> float:
    """Uniform in [0, 1); xorshift64*."""
    x = state.random[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state.random[0] = x
    return float((x * np.uint64(2685821657736338717)) >> np.uint64(11)) / 9007199254740992.0


@compiled
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


@compiled
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
    rise = FAR
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


@compiled
def branch(part: Part, state: State, rules: Rules) -> bool:
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
        state.child[end] = WASTE
        end += 1
    state.frame[depth, SECTION] = s
    state.frame[depth, SIDE] = side
    state.frame[depth, NEXT] = top
    state.frame[depth, END] = end
    state.frame[depth, RISE] = rise
    state.frame[depth, MARK] = state.scalars[TRAIL]
    state.frame[depth, DONE] = NOTHING
    state.scalars[DEPTH] = depth + 1
    state.scalars[CHILDREN] = end
    return True
