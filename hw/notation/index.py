"""Index expressions: sums of multiples of loop variables, such as ``4*kt + kp``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["STAR", "Affine", "Index", "Star", "affine"]


@dataclass(frozen=True)
class Affine:
    """``sum(coefficient * variable) + constant``.

    Attributes
    ----------
    terms : tuple of (variable, coefficient)
        Largest coefficient first, then by name; no coefficient is zero. `of` brings any terms
        into this form, so that equal expressions compare equal.
    constant : int
    """

    terms: tuple[tuple[str, int], ...] = ()
    constant: int = 0

    @classmethod
    def of(cls, terms: Iterable[tuple[str, int]], constant: int = 0) -> Affine:
        total: dict[str, int] = {}
        for variable, coefficient in terms:
            total[variable] = total.get(variable, 0) + coefficient
        kept = [(v, c) for v, c in total.items() if c]
        return cls(tuple(sorted(kept, key=lambda t: (-t[1], t[0]))), constant)

    @property
    def variables(self) -> frozenset[str]:
        return frozenset(v for v, _ in self.terms)

    def value(self, at: Mapping[str, int]) -> int:
        """The number that it stands for; every variable must be in `at`."""
        return self.constant + sum(c * at[v] for v, c in self.terms)

    def substitute(self, by: Mapping[str, Affine]) -> Affine:
        """The same with variables replaced by expressions."""
        terms: list[tuple[str, int]] = []
        constant = self.constant
        for variable, coefficient in self.terms:
            new = by.get(variable, Affine(((variable, 1),)))
            terms += [(v, coefficient * c) for v, c in new.terms]
            constant += coefficient * new.constant
        return Affine.of(terms, constant)

    def __str__(self) -> str:
        parts = [v if c == 1 else f"{c}*{v}" for v, c in self.terms]
        if self.constant or not parts:
            parts.append(str(self.constant))
        return " + ".join(parts).replace("+ -", "- ")


@dataclass(frozen=True)
class Star:
    """All values along one dimension, as in ``pp[*]``."""

    def __str__(self) -> str:
        return "*"


STAR = Star()

Index = Affine | Star


def affine(index: str | int | Affine) -> Affine:
    """A variable's name, a number, or an expression, as an expression."""
    if isinstance(index, Affine):
        return index
    if isinstance(index, int):
        return Affine((), index)
    return Affine(((index, 1),))
