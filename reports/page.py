"""One HTML page of a run: tables and pictures, readable without a network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2

__all__ = ["Picture", "Section", "Table", "embedded", "page"]


@dataclass(frozen=True)
class Table:
    """Rows under a header; every column but the first is aligned right, and those of `words`."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[int] = ()


@dataclass(frozen=True)
class Picture:
    """An image beside the page, or in it (see `embedded`), and what it shows."""

    file: str
    caption: str


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes
    ----------
    title : str
    text : str
        One paragraph: what was done, and what the numbers leave out.
    table : Table, optional
    pictures : sequence of Picture
    """

    title: str
    text: str
    table: Table | None = None
    pictures: Sequence[Picture] = ()


def embedded(svg: Path) -> str:
    """An SVG file as the address of a picture, for a page that stands alone."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.read_bytes()).decode("ascii")


def page(title: str, summary: str, sections: Sequence[Section], footer: str) -> str:
    """HTML text; every value is escaped."""
    template = (resources.files("reports") / "templates" / "page.html.jinja").read_text("utf-8")
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string(template).render(
        title=title, summary=summary, sections=sections, footer=footer
    )
