"""A word-addressed memory with one read and one write port."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Ram"]


class Ram(wiring.Component):
    """Memory of `depth` words of `lanes` bytes. Read latency 1 cycle, one read and one write per cycle.

    A read of the word that is written in the same cycle may return anything: block memories differ,
    and to make them agree takes a comparison of the addresses and a register per bit.

    Parameters
    ----------
    depth, lanes : int
    wide : int
        Words of one read, a power of two. They lie in as many banks, so that a read may begin at
        any address.

    Members
    -------
    read_enable : In(1)
        Takes `read_address`; `read_data` holds its value until the next read.
    read_address : In(ceil(log2(depth)))
    read_data : Out(8 * lanes * wide)
        The word at the address in the lowest bits, then those that follow it. What lies past the
        end of the memory may be anything.
    write_enable : In(lanes)
        One bit per byte.
    write_address, write_data : In
    """

    def __init__(self, *, depth: int, lanes: int, wide: int = 1) -> None:
        if depth < 1 or lanes < 1:
            raise ValueError(f"memory must have words and bytes, not {depth} words of {lanes}")
        if wide < 1 or wide & (wide - 1):
            raise ValueError(f"words of one read must be a power of two, not {wide}")
        self._depth = depth
        self._lanes = lanes
        self._wide = wide
        bits = max(1, (depth - 1).bit_length())
        super().__init__(
            {
                "read_enable": In(1),
                "read_address": In(bits),
                "read_data": Out(8 * lanes * wide),
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

    @property
    def wide(self) -> int:
        return self._wide

    def elaborate(self, platform: object) -> Any:
        m = Module()
        wide = self._wide
        place = (wide - 1).bit_length()
        banks: list[Any] = []
        for n in range(wide):
            words = memory.Memory(
                shape=8 * self._lanes,
                depth=-(-self._depth // wide),
                init=[],
                attrs={"no_rw_check": 1},
            )
            m.submodules[f"words_{n}" if wide > 1 else "words"] = words
            read = words.read_port()
            write = words.write_port(granularity=8)
            # The first address from the read's on that lies in this bank.
            row = Signal(len(self.read_address) + 1, name=f"row_{n}")
            here = self.write_address[:place] == n if wide > 1 else Const(1)
            m.d.comb += [
                row.eq((self.read_address + (wide - 1 - n)) >> place),
                read.en.eq(self.read_enable),
                read.addr.eq(row),
                write.en.eq(self.write_enable & here.replicate(self._lanes)),
                write.addr.eq(self.write_address >> place),
                write.data.eq(self.write_data),
            ]
            banks.append(read.data)
        if wide == 1:
            m.d.comb += self.read_data.eq(banks[0])
            return m
        # Rotated so that the word at the address comes first.
        first = Signal(place)
        with m.If(self.read_enable):
            m.d.sync += first.eq(self.read_address[:place])
        both = Cat(*banks, *banks[:-1])
        m.d.comb += self.read_data.eq(both >> (first * (8 * self._lanes)))
        return m
