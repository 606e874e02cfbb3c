"""Functions of library cells, as Liberty writes them, over words of many bits at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hw.errors import InputError

__all__ = ["Function", "parse_function"]

Function = Callable[[Mapping[str, Any]], Any]
"""Value of a function, from the words at its pins; bit n of all words belongs together."""

_TOKEN = re.compile(r"\s*([A-Za-z_]\w*|[01]|[!'&*|+^()])")
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


def parse_function(text: str) -> Function:
    """The function `text` over words of 64 bits.

    Liberty's operators, the tightest first: ``!`` before and ``'`` behind what they invert, ``^``,
    then ``&`` or ``*`` or nothing at all, then ``|`` or ``+``.

    Raises
    ------
    InputError
        The text is no such function.
    """
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[str] = []
        at = 0
        for match in _TOKEN.finditer(text):
            if match.start() != at:
                break
            self.tokens.append(match[1])
            at = match.end()
        if text[at:].strip() or not self.tokens:
            raise self._error()
        self.at = 0

    def whole(self) -> Function:
        result = self._either()
        if self._next():
            raise self._error()
        return result

    def _error(self) -> InputError:
        return InputError(f"Function must be Liberty's, not {self.text!r}.")

    def _next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _take(self) -> str:
        token = self._next()
        self.at += 1
        return token

    def _either(self) -> Function:
        result = self._both()
        while self._next() in ("|", "+"):
            self._take()
            result = _joined(np.bitwise_or, result, self._both())
        return result

    def _both(self) -> Function:
        result = self._odd()
        while (token := self._next()) and token not in ("|", "+", ")"):
            if token in ("&", "*"):
                self._take()
            result = _joined(np.bitwise_and, result, self._odd())
        return result

    def _odd(self) -> Function:
        result = self._inverted()
        while self._next() == "^":
            self._take()
            result = _joined(np.bitwise_xor, result, self._inverted())
        return result

    def _inverted(self) -> Function:
        token = self._take()
        if token == "!":
            result = _not(self._inverted())
        elif token == "(":
            result = self._either()
            if self._take() != ")":
                raise self._error()
        elif token in ("0", "1"):
            result = _constant(token == "1")
        elif token and (token[0].isalpha() or token[0] == "_"):
            result = _pin(token)
        else:
            raise self._error()
        while self._next() == "'":
            self._take()
            result = _not(result)
        return result


def _joined(operator: Any, left: Function, right: Function) -> Function:
    return lambda pins: operator(left(pins), right(pins))


def _not(inner: Function) -> Function:
    return lambda pins: np.bitwise_xor(inner(pins), _ALL)


def _constant(high: bool) -> Function:
    value = _ALL if high else np.uint64(0)
    return lambda pins: value


def _pin(name: str) -> Function:
    return lambda pins: pins[name]
