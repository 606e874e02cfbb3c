"""Compilation of the search, and where things are in the rows of its state.

numba's cache does not notice a change in another module: after an edit of this one, or of
`mapper.pack.propagate` or `mapper.pack.branch`, remove ``mapper/pack/__pycache__/*.nb*``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from mapper.clock import watch_compiler
from mapper.pack.arrays import FRAME_FIELDS, SCALARS

watch_compiler()

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compiles at the first call and keeps the result on disk where it can."""
    try:
        return cast(F, numba.njit(cache=True)(function))
    except RuntimeError:  # neither the folder of the source nor the user's can be written to
        return cast(F, numba.njit(function))


# Where the scalars are in `State.scalars`.
NODES, WORK, DEPTH, TRAIL, CHILDREN, PLACED, FULL, DESCENDING, HEAD, TAIL = range(SCALARS)

# Where things are in a row of `State.frame`.
SECTION, SIDE, NEXT, END, RISE, MARK, DONE = range(FRAME_FIELDS)

# Children that are no buffer: the floor rises; nothing was done yet.
WASTE, NOTHING = -1, -2

# Above every bound.
FAR = 1 << 62
