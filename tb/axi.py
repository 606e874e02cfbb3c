"""AXI in Python: a memory with stalls and errors, a manager of registers, and the rules of both.

One loop per clock cycle drives the memory's side of the port, samples all of it once it has settled,
and hands what it saw to the monitor; so every test checks the protocol.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from cocotb.task import resume
from cocotb.triggers import ReadOnly, RisingEdge

from tb.axi_rules import Held, check_burst

__all__ = ["OKAY", "SLVERR", "MemoryPort", "RegisterError", "RegisterPort"]

OKAY, SLVERR = 0, 2


@dataclass
class _Burst:
    address: int
    beats: int
    ready_at: int
    response: int


class MemoryPort:
    """The memory behind the ports ``m_axi_*``; `run` is started once and never ends.

    Attributes
    ----------
    memory : (bytes,) uint8
        The test reads and replaces it between runs. A burst that leaves it answers SLVERR.
    stalls : float
        Probability that a channel waits in a cycle.
    latency : int
        Cycles from an address to its first data, and from a burst's last word to its response.
    held : set of str
        Channels (``ar``, ``aw``, ``w``) on which nothing is accepted.
    fail_read, fail_write : int, optional
        That many bursts from now, one answers SLVERR.
    bursts : (int, int)
        Read and write bursts so far.
    """

    def __init__(self, dut: Any, *, latency: int = 6, seed: int = 0) -> None:
        self._dut = dut
        self.latency = latency
        self._rng = np.random.default_rng(seed)
        self.word = len(dut.m_axi_wstrb)
        self.memory: npt.NDArray[np.uint8] = np.zeros(0, np.uint8)
        self.stalls = 0.0
        self.held: set[str] = set()
        self.fail_read: int | None = None
        self.fail_write: int | None = None
        self.bursts = [0, 0]
        self._rules = {c: Held(dut, f"m_axi_{c}") for c in ("ar", "aw", "w")}
        self.forget()

    def forget(self) -> None:
        """Drops everything that is under way: the reset of the memory."""
        self._cycle = 0
        self._reads: deque[_Burst] = deque()
        self._writes: deque[_Burst] = deque()
        self._responses: deque[_Burst] = deque()
        self._offers_read = self._offers_response = False
        for rule in self._rules.values():
            rule.forget()

    async def run(self) -> None:
        dut = self._dut
        edge, settled = RisingEdge(dut.clk), ReadOnly()
        while True:
            self._drive()
            await settled
            if int(dut.rst.value):
                self.forget()
            else:
                for rule in self._rules.values():
                    rule.check()
                self._transfer()
                self._cycle += 1
            await edge

    @property
    def idle(self) -> bool:
        """Whether no burst is under way."""
        return not (self._reads or self._writes or self._responses)

    def _go(self) -> bool:
        return self.stalls == 0 or self._rng.random() >= self.stalls

    def _drive(self) -> None:
        dut = self._dut
        dut.m_axi_arready.value = int("ar" not in self.held and self._go())
        dut.m_axi_awready.value = int("aw" not in self.held and self._go())
        taking = bool(self._writes) and "w" not in self.held
        dut.m_axi_wready.value = int(taking and self._go())
        # What was offered stays until it is taken.
        if not self._offers_read:
            head = self._reads[0] if self._reads else None
            self._offers_read = bool(head and self._cycle >= head.ready_at and self._go())
            if self._offers_read and head:
                end = head.address + self.word
                inside = end <= len(self.memory)
                data = self.memory[head.address : end].tobytes() if inside else b""
                dut.m_axi_rdata.value = int.from_bytes(data, "little")
                dut.m_axi_rresp.value = head.response if inside else SLVERR
                dut.m_axi_rlast.value = int(head.beats == 1)
        dut.m_axi_rvalid.value = int(self._offers_read)
        if not self._offers_response:
            done = self._responses[0] if self._responses else None
            self._offers_response = bool(done and self._cycle >= done.ready_at and self._go())
            if self._offers_response and done:
                dut.m_axi_bresp.value = done.response
        dut.m_axi_bvalid.value = int(self._offers_response)

    def _transfer(self) -> None:
        """Takes what both sides agreed on in this cycle."""
        dut = self._dut
        if self._offers_read and int(dut.m_axi_rready.value):
            self._offers_read = False
            self._reads[0].address += self.word
            self._reads[0].beats -= 1
            if not self._reads[0].beats:
                self._reads.popleft()
        if self._offers_response and int(dut.m_axi_bready.value):
            self._offers_response = False
            self._responses.popleft()
        if int(dut.m_axi_wvalid.value) and int(dut.m_axi_wready.value):
            self._write(self._writes[0])
        if int(dut.m_axi_arvalid.value) and int(dut.m_axi_arready.value):
            self._reads.append(self._accept("ar"))
        if int(dut.m_axi_awvalid.value) and int(dut.m_axi_awready.value):
            self._writes.append(self._accept("aw"))

    def _accept(self, channel: str) -> _Burst:
        address, beats = check_burst(self._dut, f"m_axi_{channel}", self.word)
        reads = channel == "ar"
        fail = self.fail_read if reads else self.fail_write
        after = None if fail is None or fail == 0 else fail - 1
        if reads:
            self.fail_read = after
        else:
            self.fail_write = after
        self.bursts[not reads] += 1
        return _Burst(address, beats, self._cycle + self.latency, SLVERR if fail == 0 else OKAY)

    def _write(self, burst: _Burst) -> None:
        dut = self._dut
        burst.beats -= 1
        assert int(dut.m_axi_wlast.value) == (burst.beats == 0), (
            f"WLAST with {burst.beats} beats to come"
        )
        assert int(dut.m_axi_wstrb.value) == (1 << self.word) - 1, "WSTRB must be all ones"
        end = burst.address + self.word
        if end > len(self.memory):
            burst.response = SLVERR
        elif burst.response == OKAY:
            data = int(dut.m_axi_wdata.value).to_bytes(self.word, "little")
            self.memory[burst.address : end] = np.frombuffer(data, np.uint8)
        burst.address = end
        if not burst.beats:
            burst.ready_at = self._cycle + self.latency
            self._responses.append(self._writes.popleft())


class RegisterError(RuntimeError):
    """A register access was answered by an error."""


class RegisterPort:
    """Manager of the ports ``s_axi_*``.

    `read` and `write` block and belong to a thread of `cocotb.task.bridge`, so that this is the bus
    of `hw.driver.Driver`; `load` and `store` are for coroutines.

    Attributes
    ----------
    stalls : float
        Probability that a channel waits in a cycle.
    """

    def __init__(self, dut: Any, *, seed: int = 0) -> None:
        self._dut = dut
        self._rng = np.random.default_rng(seed)
        self.stalls = 0.0
        for name in ("awvalid", "wvalid", "arvalid", "bready", "rready"):
            getattr(dut, f"s_axi_{name}").value = 0
        for name in ("awaddr", "awprot", "wdata", "wstrb", "araddr", "arprot"):
            getattr(dut, f"s_axi_{name}").value = 0
        self.read = resume(self.load)
        self.write = resume(self.store)

    async def store(self, address: int, value: int, strobe: int = 15) -> None:
        """Writes the bytes that `strobe` names.

        Raises
        ------
        RegisterError
            The answer was no OKAY.
        """
        aw = ("aw", {"addr": address})
        w = ("w", {"data": value, "strb": strobe})
        await self._transact([aw, w], "b", address)

    async def load(self, address: int) -> int:
        """Reads a register; raises as `store`."""
        return await self._transact([("ar", {"addr": address})], "r", address)

    async def _transact(
        self, requests: list[tuple[str, dict[str, int]]], answer: str, address: int
    ) -> int:
        """Offers requests at times of their own, and takes the answer."""
        dut = self._dut
        edge, settled = RisingEdge(dut.clk), ReadOnly()
        rule = Held(dut, f"s_axi_{answer}")
        waiting, offered = dict(requests), set()
        for _ in range(1000):
            for channel, payload in waiting.items():
                if channel not in offered and self._rng.random() >= self.stalls:
                    offered.add(channel)
                    getattr(dut, f"s_axi_{channel}valid").value = 1
                    for field, value in payload.items():
                        getattr(dut, f"s_axi_{channel}{field}").value = value
            getattr(dut, f"s_axi_{answer}ready").value = int(self._rng.random() >= self.stalls)
            await settled
            rule.check()
            taken = [c for c in offered if int(getattr(dut, f"s_axi_{c}ready").value)]
            answered = all(
                int(getattr(dut, f"s_axi_{answer}{end}").value) for end in ("valid", "ready")
            )
            response = int(getattr(dut, f"s_axi_{answer}resp").value)
            value = int(dut.s_axi_rdata.value)
            await edge
            for channel in taken:
                getattr(dut, f"s_axi_{channel}valid").value = 0
                offered.remove(channel)
                del waiting[channel]
            if answered:
                assert not waiting, f"an answer came before {list(waiting)} was taken"
                getattr(dut, f"s_axi_{answer}ready").value = 0
                if response != OKAY:
                    raise RegisterError(f"register {address:#04x} answered {response}")
                return value
        raise AssertionError(f"register {address:#04x} must answer within 1000 cycles")
