"""The activation memory: banks that load, execute and store use side by side."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.memory.ram import Ram

__all__ = ["READ_LATENCY", "ScratchpadMemory", "read_port", "write_port"]

READ_LATENCY = 2
"""Cycles from an address to its word: the memory, and the register behind the choice of a bank."""

_ADDRESS_BITS = 24


def read_port(lanes: int) -> wiring.Signature:
    """Reads of one unit. Directions are those of the unit."""
    return wiring.Signature(
        {"enable": Out(1), "address": Out(_ADDRESS_BITS), "data": In(8 * lanes)}
    )


def write_port(lanes: int) -> wiring.Signature:
    """Writes of one unit, one enable per byte. Directions are those of the unit."""
    return wiring.Signature(
        {"enable": Out(lanes), "address": Out(_ADDRESS_BITS), "data": Out(8 * lanes)}
    )


class ScratchpadMemory(wiring.Component):
    """Memory of `banks` equal banks, one after another in the address space.

    Each bank has one read and one write port. Store and execute share the read ports, load and
    execute the write ports. Nobody waits: two units in one port at once are an error, so what a
    program takes does not depend on who comes first.

    Read latency `READ_LATENCY` cycles; one read and one write per unit and cycle.

    Parameters
    ----------
    depth : int
        Words of a bank.
    banks : int
    lanes : int
        Bytes of a word.

    Members
    -------
    execute_read, store_read : In(read_port(lanes))
        A word is there for one cycle.
    execute_write, load_write : In(write_port(lanes))
    conflict, out_of_range : Out(1)
        In the cycle before, two units used one port of one bank; an address was beyond the last
        bank, and neither read nor written.
    """

    def __init__(self, *, depth: int, banks: int, lanes: int) -> None:
        if banks < 1:
            raise ValueError(f"scratchpad must have at least 1 bank, not {banks}")
        self._depth = depth
        self._banks = banks
        self._lanes = lanes
        super().__init__(
            {
                "execute_read": In(read_port(lanes)),
                "store_read": In(read_port(lanes)),
                "execute_write": In(write_port(lanes)),
                "load_write": In(write_port(lanes)),
                "conflict": Out(1),
                "out_of_range": Out(1),
            }
        )

    @property
    def depth(self) -> int:
        return self._depth

    @property
    def banks(self) -> int:
        return self._banks

    @property
    def lanes(self) -> int:
        return self._lanes

    def elaborate(self, platform: object) -> Any:
        m = Module()
        reads, writes = ("execute_read", "store_read"), ("execute_write", "load_write")
        ports = {name: getattr(self, name) for name in (*reads, *writes)}
        # Bit b of `asked`: the port names a word of bank b. `taken`, `used`: a cycle later.
        asked = {name: Signal(self._banks, name=f"{name}_asked") for name in ports}
        taken = {name: Signal(self._banks, name=f"{name}_taken") for name in ports}
        used = {name: Signal(name=f"{name}_used") for name in ports}
        banks = [Ram(depth=self._depth, lanes=self._lanes) for _ in range(self._banks)]
        for b, bank in enumerate(banks):
            m.submodules[f"bank_{b}"] = bank
            for name, port in ports.items():
                inside, _ = self._place(port.address, b)
                m.d.comb += asked[name][b].eq(port.enable.any() & inside)

            def chosen(names: tuple[str, str], b: int = b) -> tuple[Any, Any, Any]:
                """Whether one of two units uses the bank, which word, and whether it is the second."""
                second = asked[names[1]][b]
                address = Mux(second, ports[names[1]].address, ports[names[0]].address)
                return asked[names[0]][b] | second, self._place(address, b)[1], second

            read, read_address, _ = chosen(reads)
            write, write_address, loads = chosen(writes)
            enable = Mux(loads, self.load_write.enable, self.execute_write.enable)
            m.d.comb += [
                bank.read_enable.eq(read),
                bank.read_address.eq(read_address),
                bank.write_enable.eq(enable & write.replicate(self._lanes)),
                bank.write_address.eq(write_address),
                bank.write_data.eq(Mux(loads, self.load_write.data, self.execute_write.data)),
            ]
        for name, port in ports.items():
            m.d.sync += [taken[name].eq(asked[name]), used[name].eq(port.enable.any())]
        # A register behind the choice of a bank: neither it nor the errors lie in the way of an
        # address, which comes late in its cycle.
        for name in reads:
            words = [
                bank.read_data & taken[name][b].replicate(8 * self._lanes)
                for b, bank in enumerate(banks)
            ]
            word = Signal(8 * self._lanes, name=f"{name}_word", reset_less=True)
            m.d.sync += word.eq(reduce(or_, words) if len(banks) > 1 else banks[0].read_data)
            m.d.comb += ports[name].data.eq(word)
        m.d.comb += [
            self.conflict.eq(
                (taken[reads[0]] & taken[reads[1]]).any()
                | (taken[writes[0]] & taken[writes[1]]).any()
            ),
            self.out_of_range.eq(Cat(*(used[name] & ~taken[name].any() for name in ports)).any()),
        ]
        return m

    def _place(self, address: Any, bank: int) -> tuple[Any, Any]:
        """Whether an address lies in a bank, and where in it."""
        depth = self._depth
        if depth & (depth - 1) == 0:
            bits = depth.bit_length() - 1
            return address[bits:] == bank, address[:bits]
        low = bank * depth
        return (address >= low) & (address < low + depth), address - low
