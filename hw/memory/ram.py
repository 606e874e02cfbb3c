"""A word-addressed memory with one read and one write port."""

from __future__ import annotations

from typing import Any

from amaranth import Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Ram"]


class Ram(wiring.Component):
    """Memory of `depth` words of `lanes` bytes. Read latency 1 cycle, one read and one write per cycle.

    A read of the word that is written in the same cycle may return anything: block memories differ,
    and to make them agree takes a comparison of the addresses and a register per bit.

    Members
    -------
    read_enable : In(1)
        Takes `read_address`; `read_data` holds its value until the next read.
    read_address : In(ceil(log2(depth)))
    read_data : Out(8 * lanes)
    write_enable : In(lanes)
        One bit per byte.
    write_address, write_data : In
    """

    def __init__(self, *, depth: int, lanes: int) -> None:
        if depth < 1 or lanes < 1:
            raise ValueError(f"memory must have words and bytes, not {depth} words of {lanes}")
        self._depth = depth
        self._lanes = lanes
        bits = max(1, (depth - 1).bit_length())
        super().__init__(
            {
                "read_enable": In(1),
                "read_address": In(bits),
                "read_data": Out(8 * lanes),
                "write_enable": In(lanes),
                "write_address": In(bits),
                "write_data": In(8 * lanes),
            }
        )

    @property
    def depth(self) -> int:
        return self._depth

    @property
    def lanes(self) -> int:
        return self._lanes

    def elaborate(self, platform: object) -> Any:
        m = Module()
        m.submodules.words = words = memory.Memory(
            shape=8 * self._lanes, depth=self._depth, init=[], attrs={"no_rw_check": 1}
        )
        read = words.read_port()
        write = words.write_port(granularity=8)
        m.d.comb += [
            read.en.eq(self.read_enable),
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
            write.en.eq(self.write_enable),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
        ]
        return m
