"""Which block of weights lies where in the weight memory while a program is made."""

from __future__ import annotations

from collections.abc import Callable

from hw.errors import InputError
from hw.spec import Spec
from mapper.plan import Plan

__all__ = ["WeightMemory"]

Load = Callable[[str, bytes, int], object]  # operator, block, word address


class WeightMemory:
    """Finds places, in words, and loads what is not there.

    What operators share and the plan keeps lies at its addresses; behind it blocks follow one
    another, and begin again where they do not fit.
    """

    def __init__(self, plan: Plan, spec: Spec, load: Load) -> None:
        self._plan = plan
        self._bytes = spec.weight_buffer.bytes
        self._word_bytes = spec.word_bytes
        self._load = load
        self._shared = {
            name: n
            for n, s in enumerate(plan.shared_weights)
            if s.address is not None
            for name in s.operators
        }
        self._bases = self._bases_of()
        self._base = 0
        self._next = 0
        self._held: dict[tuple[str, bytes], int] = {}
        self._staying: dict[tuple[int, bytes], int] = {}

    def begin(self, step: int) -> None:
        """A step of the plan begins: only what operators share may be there."""
        self._base = self._bases[step]
        self.forget()

    def restart(self) -> None:
        """Blocks follow right behind what stays for other steps."""
        self._next = self._base

    def forget(self) -> None:
        """Every block is loaded again."""
        self._held.clear()

    def find(self, operator: str, block: bytes) -> int:
        """Word address of a block, which is loaded if need be.

        Raises
        ------
        InputError
            It does not fit.
        """
        if operator not in self._shared:
            key = operator, block
            if key not in self._held:
                self._held[key] = self._stream(operator, block)
            return self._held[key]
        group = self._shared[operator]
        if (group, block) not in self._staying:
            before = sum(len(known) for n, known in self._staying if n == group)
            address = self._plan.shared_weights[group].address
            assert address is not None
            start = (address + before) // self._word_bytes
            self._staying[group, block] = start
            self._load(operator, block, start)
        return self._staying[group, block]

    def slots(self, size: int) -> tuple[int, int]:
        """Two places of so many bytes behind what stays; what was there is gone."""
        self.forget()
        self.restart()
        return self._base, self._base + size // self._word_bytes

    def _stream(self, operator: str, block: bytes) -> int:
        """Loads a block for one operator, behind all that stays."""
        words, limit = len(block) // self._word_bytes, self._bytes // self._word_bytes
        if words > limit - self._base:
            raise InputError(
                f"weight_buffer.bytes must be at least {len(block)} for the weights of one word of "
                f"output channels of {operator!r}, not {self._bytes}."
            )
        self._next = max(self._next, self._base)
        if self._next + words > limit:
            self._next = self._base
        start = self._next
        self._next += words
        self._load(operator, block, start)
        return start

    def _bases_of(self) -> list[int]:
        """Per step, the word behind all shared weights that stay then."""
        at = {name: t for t, name in enumerate(self._plan.order)}
        bases = [0] * len(at)
        for shared in self._plan.shared_weights:
            if shared.address is None:
                continue
            steps = [at[name] for name in shared.operators]
            end = (shared.address + shared.bytes) // self._word_bytes
            for t in range(min(steps), max(steps) + 1):
                bases[t] = max(bases[t], end)
        return bases
