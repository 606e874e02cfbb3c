"""How long a store takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from hw.bus.store import QUEUE_WORDS
from hw.memory.scratchpad import READ_LATENCY

__all__ = ["store_cycles"]


def store_cycles(bursts: Sequence[int], latency: int, interval: int) -> int:
    """Cycles from the acceptance of a store to the cycle that ends it, that one included.

    Walks through the cycles of the unit: words are read ahead into a queue, a burst's address goes
    out when the words of the burst before are sent, and the last response ends the store.

    Parameters
    ----------
    bursts : sequence of int
        Beats of each burst.
    latency : int
        Cycles from a burst's last word to its response.
    interval : int
        Cycles per beat.
    """
    to_read = sum(bursts)
    waiting = deque(bursts)
    cycle = 0
    inner = 0  # words in the queue's memory
    front = False  # a word at the queue's output
    reading = deque([False] * READ_LATENCY)  # words asked for, the latest last
    left = 0  # words of the burst under way that are not sent
    opened = -1  # cycle in which its address was accepted
    write_free = 0
    response = 0
    while waiting or left:
        cycle += 1
        level = inner + front
        read = to_read > 0 and level + sum(reading) < QUEUE_WORDS - 1
        address = bool(waiting) and left == 0
        send = front and left > 0 and cycle > opened and cycle >= write_free
        # The queue's memory refills its output when that is empty or taken.
        refill = inner > 0 and (not front or send)
        if send:
            write_free = cycle + interval
            if left == 1:
                response = max(response + 1, cycle + max(1, latency))
        left -= send
        if address:
            left, opened = waiting.popleft(), cycle
        inner += reading.popleft() - refill
        front = refill or (front and not send)
        to_read -= read
        reading.append(read)
    return response + 1
