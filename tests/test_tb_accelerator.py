"""tb.accelerator: the testbench notices faults that a designer could make, each by its own rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tb.regress import regress
from tb.suite import Bench
from tests.support import smallest

# All faults are in one device, so that it is compiled once; an argument of the simulation picks one.
SELECTION = r"""
  integer fault;
  initial if (!$value$plusargs("fault=%d", fault)) fault = 0;
  reg [8:0] beats_left = 9'd0;
  reg [5:0] clock = 6'd0;
  always @(posedge clk) begin
    if (m_axi_awvalid & m_axi_awready) beats_left <= m_axi_awlen + 9'd1;
    else if (m_axi_wvalid & m_axi_wready) beats_left <= beats_left - 9'd1;
    clock <= clock + 6'd1;
  end
"""
DEVICE = (
    "  assign m_axi_awvalid = address_valid & may_store;",
    SELECTION + "  assign m_axi_awvalid = address_valid & (fault == 1 ? ~ stopping : may_store);",
    ".word_last(m_axi_wlast)",
    ".word_last(last_word)",
    "  assign word_last = m_axi_wlast;",
    (
        "  assign word_last = m_axi_wlast;\n  wire last_word;\n"
        "  assign m_axi_wlast = fault == 2 ? beats_left == 9'd2 : last_word;"
    ),
    r"? \$signal  : 13'h0100;",
    r"& (top.fault != 3) ? \$signal  : 13'h0100;",
    "  assign m_axi_rready = 1'h1;",
    "  assign m_axi_rready = ~ ((fault == 4) & (& clock));",
    "  assign beat = m_axi_rvalid;",
    "  assign beat = m_axi_rvalid & (m_axi_rready | fault == 4);",
    ".valid(m_axi_arvalid)",
    ".valid(read_valid)",
    "  assign beat_last = m_axi_rlast;",
    (
        "  assign beat_last = m_axi_rlast;\n  wire read_valid;\n"
        "  assign m_axi_arvalid = read_valid & ~ (fault == 7 & stopping);"
    ),
    ".cycles(cycles)",
    ".cycles(cycles + (fault == 5))",
    ".bytes_stored(bytes_stored)",
    ".bytes_stored(bytes_stored + (fault == 6))",
)

FAULTS = [
    (
        1,
        "AWVALID falls on a stop",
        "stop_while_offering",
        "m_axi_awvalid fell before it was accepted",
    ),
    (
        7,
        "ARVALID falls on a stop",
        "stop_while_offering",
        "m_axi_arvalid fell before it was accepted",
    ),
    (2, "WLAST comes one beat early", "short_program", "WLAST with 1 beats to come"),
    (3, "bursts cross 4 KiB", "short_program", "crosses 4096 bytes"),
    (4, "a beat is taken without RREADY", "short_program", "stopped by error LENGTH"),
    (5, "cycles are one too many", "short_program", "cycles is "),
    (6, "stored bytes are one too many", "short_program", "bytes_stored is "),
]


def faulty(fault: int) -> Bench:
    return replace(Bench.of(smallest(), DEVICE), plusargs=(f"fault={fault}",))


@pytest.mark.parametrize(("fault", "what", "test", "message"), FAULTS, ids=lambda v: str(v))
def test_faults_are_caught(fault: int, what: str, test: str, message: str) -> None:
    (outcome,) = regress([(faulty(fault), [test])], seed=1, jobs=1, waves=None)
    assert outcome.ran
    assert outcome.failure is not None, what
    assert message in outcome.failure
    assert outcome.waves is None


def test_the_device_without_a_fault_passes() -> None:
    outcomes = regress(
        [(faulty(0), ["short_program", "stop_while_offering"])], seed=1, jobs=1, waves=None
    )
    assert [outcome.failure for outcome in outcomes] == [None, None]
