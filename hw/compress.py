"""Carry-save compression: many addends become a {sum, carry} pair without a carry chain."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth import Cat, Const, Signal

__all__ = ["Addend", "compress", "tree_depth"]


@dataclass(frozen=True)
class Addend:
    """One input of a compressor tree.

    Attributes
    ----------
    value : amaranth.Value
        The word; it is taken modulo ``2**width`` of the tree.
    arrival : int
        When the word settles, in full-adder delays; late words enter the tree late.
    """

    value: Any
    arrival: int = 0


def compress(
    m: Any, addends: Sequence[Addend], width: int, carries: Sequence[Any] = ()
) -> tuple[Any, Any]:
    """Adds to module `m` what reduces `addends` to two words of the same sum modulo ``2**width``.

    Rows of 3:2 full adders, always over the three words that settle first (Wallace's tree when
    all arrive together). The depth does not depend on `width`.

    Parameters
    ----------
    carries : sequence of Value
        Single bits of weight 1, at most one per row of full adders, which has a vacant place for
        it: they cost nothing.

    Returns
    -------
    (sum, carry)
        Amaranth values of `width` bits.

    Raises
    ------
    ValueError
        `addends` is empty, `width` is below 1, or there are more `carries` than rows of adders.
    """
    if not addends or width < 1:
        raise ValueError(f"a compressor must have addends and a width, not {len(addends)}, {width}")
    if len(carries) > max(0, len(addends) - 2):
        raise ValueError(
            f"carries must be at most {max(0, len(addends) - 2)} for {len(addends)} addends, "
            f"not {len(carries)}"
        )
    vacant = [*carries][::-1]
    heap = [(a.arrival, order, a.value) for order, a in enumerate(addends)]
    heapq.heapify(heap)
    order = len(heap)
    while len(heap) > 2:
        (_, _, x), (_, _, y), (arrival, _, z) = (heapq.heappop(heap) for _ in range(3))
        x, y, z = (_fit(v, width) for v in (x, y, z))
        # Signals, not expressions: a word that two adders read would otherwise be built twice.
        total = Signal(width, name=f"csa_sum_{order}")
        carry = Signal(width, name=f"csa_carry_{order}")
        m.d.comb += [
            total.eq(x ^ y ^ z),
            carry.eq(
                Cat(
                    vacant.pop() if vacant else Const(0, 1),
                    ((x & y) | (x & z) | (y & z))[: width - 1],
                )
            ),
        ]
        heapq.heappush(heap, (arrival + 1, order, total))
        heapq.heappush(heap, (arrival + 1, order + 1, carry))
        order += 2
    words = [_fit(value, width) for _, _, value in sorted(heap)]
    return (words[0], words[1]) if len(words) == 2 else (words[0], Const(0, width))


def tree_depth(arrivals: Sequence[int]) -> int:
    """Full-adder delays until the pair of `compress` has settled."""
    heap = list(arrivals)
    heapq.heapify(heap)
    while len(heap) > 2:
        arrival = [heapq.heappop(heap) for _ in range(3)][2]
        heapq.heappush(heap, arrival + 1)
        heapq.heappush(heap, arrival + 1)
    return max(heap)


def _fit(value: Any, width: int) -> Any:
    """`value` zero-extended or cut to `width` bits; the caller has sign-extended what is signed."""
    bits = value.as_unsigned() if value.shape().signed else value
    if len(bits) >= width:
        return bits[:width]
    return Cat(bits, Const(0, width - len(bits)))
