"""Which layer of a run is written as a waveform."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from hw.errors import InputError
from hw.files import staged_directory
from sim.runner.library import SimulationError

__all__ = ["WavesOf", "require_layer", "staged_waves"]

_SHOWN = 6


@dataclass(frozen=True)
class WavesOf:
    """A layer, by its exact name, and the file for its waveform (VCD)."""

    layer: str
    file: Path


def require_layer(option: str, layer: str, names: Sequence[str]) -> None:
    """Refuses a name that no layer has, and tells names that are near it.

    Raises
    ------
    InputError
        In a sentence about ``--option``.
    """
    if layer in names:
        return
    near = [name for name in names if layer and layer.lower() in name.lower()]
    near += [name for name in get_close_matches(layer, names, _SHOWN) if name not in near]
    shown = ", ".join(map(repr, (near or names)[:_SHOWN]))
    rest = len(near or names) - _SHOWN
    more = f" and {rest} more" if rest > 0 else ""
    raise InputError(
        f"--{option} must be the name of a layer, not {layer!r}: "
        f"{'near it are' if near else 'layers are'} {shown}{more}."
    )


@contextmanager
def staged_waves(folder: Path, model: Path, layer: str | None) -> Iterator[WavesOf | None]:
    """Yields where the waveform of `layer` is to be written, which is None without a layer.

    The file appears in `folder`, as ``MODEL.LAYER.vcd``, when the block succeeds; and when the
    simulation fails in it, for then the waveform shows why.

    Raises
    ------
    InputError
        `folder` cannot be written to.
    SimulationError
        That of the block, which then names the file.
    """
    if layer is None:
        yield None
        return
    # Nothing in the name that splits paths.
    part = "".join(c if c.isalnum() or c in "._-" else "_" for c in layer)
    name = f"{model.stem}.{part}.vcd"
    failure = None
    with staged_directory(folder) as scratch:
        try:
            yield WavesOf(layer, scratch / name)
        except SimulationError as error:
            if not (scratch / name).exists():
                raise
            failure = SimulationError(f"{error}; the waveform up to there is {folder / name}")
    if failure is not None:
        raise failure
