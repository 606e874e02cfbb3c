"""What cells add to their accumulators in one cycle, proved by algebra for any state and width."""

from __future__ import annotations

from typing import Any

from hw.operand import Operand
from hw.pe.base import CellElement
from hw.pe.fast_inner import FastInnerElement
from hw.pe.sparse_digit import DigitElement
from tb.formal.algebra import Bits, Netlist, Polynomial, constant, product, total, variable, word

__all__ = ["cell_adds", "digit_cell_adds", "merged_mac_adds"]


def cell_adds(pe: CellElement, net: Netlist | None = None) -> bool:
    """Whether every step of a carry-save cell adds its product and the step bias modulo ``2**W``.

    From any state and for any inputs: a first product replaces what was there, and a cycle without
    enable or without valid operands changes nothing. That is the induction step for every sequence.
    """
    net = net or Netlist.of(pe.create())
    modulus = 1 << pe.accumulator_bits
    enable = variable(net.words["enable"][0])
    if isinstance(pe, FastInnerElement):
        half = len(net.words["factors"]) // 2
        factors = [net.words["factors"][:half], net.words["factors"][half:]]
        if not _presums(pe, net, factors, enable):
            return False
        left, right = (word(f, signed=pe.presum.signed) for f in factors)
        gain = product(left, right)
        taken = product(enable, variable(net.words["factors_valid"][0]))
        first = variable(net.words["factors_first"][0])
    else:
        a, b = (
            word(net.words[name], signed=operand.signed)
            for name, operand in (("a", pe.activation), ("b", pe.weight))
        )
        gain = product(a, b)
        taken = product(enable, variable(net.words["valid"][0]))
        first = variable(net.words["first"][0])
    gain = total([gain, constant(pe.step_bias)])
    before, after = _pair(net, "accumulator", pe.accumulator_bits)
    return net.equal(after, _selected(taken, _step(first, before, gain), before), modulus)


def digit_cell_adds(pe: DigitElement, net: Netlist | None = None) -> bool:
    """Whether every cycle of a digit cell adds each lane's digit times its weight, and the bias.

    Digits are any but *one and two at once*, which is no digit.
    """
    net = net or Netlist.of(pe.create())
    bits = pe.weight.bits
    gains = [constant(pe.cycle_bias)]
    ports, weights = net.words["digits"], net.words["weights"]
    if [net.registers[w] for w in weights if isinstance(w, int)] != list(net.words["b"]):
        return False
    for lane in range(pe.lanes):
        one, two, neg = (variable(b) for b in ports[3 * lane : 3 * lane + 3])
        sign = total([constant(1), product(constant(-2), neg)])
        # With one and two both high the digit means nothing: there it is what the cell takes it for.
        both = product(one, two)
        magnitude = total([one, product(constant(2), two), product(constant(-3), both)])
        weight = word(weights[bits * lane : bits * (lane + 1)], signed=pe.weight.signed)
        gains.append(product(product(sign, magnitude), weight))
    before, after = _pair(net, "pair", pe.pair_bits)
    clear = variable(net.words["clear"][0])
    expected = _step(clear, before, total(gains))
    forbidden = [frozenset(p) for p in _pairs_of(ports, pe.lanes)]
    return _equal_without(net, after, expected, 1 << pe.pair_bits, forbidden)


def merged_mac_adds(operand: Operand, net: Netlist) -> bool:
    """Whether every cycle of a merged mac adds the product of the operands before, or begins with it."""
    held = {taken: register for register, taken in net.registers.items()}
    a, b = (word([held[bit] for bit in net.words[name]], signed=operand.signed) for name in "ab")
    first = variable(held[net.words["first"][0]])
    before = word(net.words["accumulator"])
    after = word([net.registers[bit] for bit in net.words["accumulator"] if isinstance(bit, int)])
    return net.equal(after, _step(first, before, product(a, b)), 1 << len(net.words["accumulator"]))


def _presums(pe: FastInnerElement, net: Netlist, factors: list[Bits], enable: Polynomial) -> bool:
    """Whether the operand registers take the two sums of operands, and their tags, when enabled."""
    modulus = 1 << pe.presum.bits
    a, b = (_elements(net.words[name], 2) for name in ("a", "b"))
    cross = pe.kind == "fip"
    formats = (pe.activation, pe.weight) if cross else (pe.presum, pe.presum)
    for n in range(2):
        sums = [
            word(a[n], signed=formats[0].signed),
            word(b[1 - n if cross else n], signed=formats[1].signed),
        ]
        held = word(factors[n])
        after = word([net.registers[bit] for bit in factors[n] if isinstance(bit, int)])
        if not net.equal(after, _selected(enable, total(sums), held), modulus):
            return False
    for name in ("valid", "first"):
        own = net.words[f"factors_{name}"][0]
        after = variable(net.next(f"factors_{name}")[0])
        value = _selected(enable, variable(net.words[name][0]), variable(own))
        if name == "valid":  # it has a reset
            value = product(value, total([constant(1), product(constant(-1), _reset(net))]))
        if not net.equal(after, value, 2):
            return False
    return True


def _reset(net: Netlist) -> Polynomial:
    return variable(net.words["rst"][0])


def _elements(bits: Bits, count: int) -> list[Bits]:
    size = len(bits) // count
    return [bits[n * size : (n + 1) * size] for n in range(count)]


def _pair(net: Netlist, name: str, width: int) -> tuple[Polynomial, Polynomial]:
    """Sum of the two words of a register, now and in the next cycle."""
    now, following = net.words[name], net.next(name)
    return (
        total([word(now[:width]), word(now[width:])]),
        total([word(following[:width]), word(following[width:])]),
    )


def _selected(select: Polynomial, yes: Polynomial, no: Polynomial) -> Polynomial:
    return total([product(select, yes), no, product(product(constant(-1), select), no)])


def _step(first: Polynomial, before: Polynomial, gain: Polynomial) -> Polynomial:
    kept = total([before, product(product(constant(-1), first), before)])
    return total([kept, gain])


def _pairs_of(ports: Bits, lanes: int) -> list[tuple[Any, Any]]:
    return [(ports[3 * lane], ports[3 * lane + 1]) for lane in range(lanes)]


def _equal_without(
    net: Netlist,
    left: Polynomial,
    right: Polynomial,
    modulus: int,
    forbidden: list[frozenset[int]],
) -> bool:
    """As `Netlist.equal`, where the bits of a forbidden set are never all high."""
    difference = total([left, {m: -x for m, x in right.items()}])
    try:
        rest = net.resolve(difference, modulus)
    except RuntimeError:
        return False
    return all(any(pair <= monomial for pair in forbidden) for monomial in rest)
