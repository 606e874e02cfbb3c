"""The syntax of Liberty files: nested groups of attributes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Group", "parse"]

_TOKEN = re.compile(
    r"/\*.*?\*/|\\\s*\n|//[^\n]*"  # comments and continued lines: no token
    r'|"((?:[^"\\]|\\.)*)"'
    r"|([A-Za-z0-9_.+\-\[\]*!&|^'<>/]+)"
    r"|([{}():;,=])",
    re.S,
)


@dataclass
class Group:
    """One ``name (arguments) { ... }`` of the file.

    Attributes
    ----------
    name : str
    arguments : list of str
    values : dict
        Simple attributes, ``key : value;``, and complex ones, ``key (a, b);``, as lists of words;
        what is given repeatedly (``fanout_length``) is one list.
    groups : list of Group
    """

    name: str
    arguments: list[str]
    values: dict[str, list[str]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Group]:
        """The groups of that name, in file order."""
        return (group for group in self.groups if group.name == name)

    def text(self, key: str, default: str = "") -> str:
        """Value of a simple attribute."""
        return self.values.get(key, [default])[0]

    def number(self, key: str, default: float = 0.0) -> float:
        """Value of a numeric attribute."""
        return float(self.values[key][0]) if key in self.values else default


def parse(text: str) -> Group:
    """The outermost group of a Liberty text.

    Raises
    ------
    ValueError
        The text ends inside a group, or is not Liberty.
    """
    root = Group("", [])
    open_groups = [root]
    words: list[str] = []
    arguments: list[str] | None = None
    colon = False

    def finish() -> None:
        nonlocal arguments, colon
        if words:
            here = open_groups[-1].values
            if arguments is not None:
                here.setdefault(words[0], []).extend(arguments)
            elif colon:
                here[words[0]] = [" ".join(words[1:])]
        words.clear()
        arguments, colon = None, False

    inside = False
    line_break = 0
    for match in _TOKEN.finditer(text):
        kind = match.lastindex
        if kind is None:
            continue
        if kind < 3:
            # Some writers leave out the semicolon after ``key (a, b)``: the next word starts anew.
            if arguments is not None and not inside:
                finish()
            word = match[kind]
            if inside and arguments is not None:
                arguments.append(word)
            else:
                if colon and len(words) > 1 and "\n" in text[line_break : match.start()]:
                    finish()
                words.append(word)
                line_break = match.end()
            continue
        mark = match[3]
        if mark == "(":
            if colon:
                words.append(mark)
            else:
                arguments, inside = [], True
        elif mark == ")":
            inside = False
        elif mark == ":":
            colon = True
        elif mark == "{":
            if not words:
                raise ValueError("Liberty group must have a name")
            group = Group(words[0], arguments or [])
            open_groups[-1].groups.append(group)
            open_groups.append(group)
            words.clear()
            arguments, colon = None, False
        elif mark == "}":
            finish()
            if len(open_groups) == 1:
                raise ValueError("Liberty text must not close more groups than it opens")
            open_groups.pop()
        elif mark == ";":
            finish()
    if len(open_groups) != 1 or len(root.groups) != 1:
        raise ValueError("Liberty text must be one library group")
    return root.groups[0]
