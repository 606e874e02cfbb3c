"""bitweft explain: a derivation as a user reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bitweft.cli import create_app
from hw.notation.derive import DERIVATIONS, Sizes, derive
from hw.notation.parse import parse

APP = create_app(["explain", "check"])


def explain(*arguments: str | Path) -> Result:
    return CliRunner().invoke(APP, ["explain", *(str(argument) for argument in arguments)])


def test_help_shows_an_example() -> None:
    result = explain("--help")
    assert result.exit_code == 0
    assert "Example: bitweft explain opt4c --k 128" in " ".join(result.output.split())


def test_without_a_name_all_are_listed() -> None:
    result = explain()
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == list(DERIVATIONS)


def test_a_step_has_its_rule_its_reason_its_nest_and_its_figures() -> None:
    result = explain("opt1", "--k", "8", "--rows", "2", "--cols", "2")
    assert result.exit_code == 0
    assert (
        result.output
        == """\
0. traditional nest
one product per cell and cycle; every carry propagates.

nest mac: C[2,2] = A[2,8] int8 * B[8,2] int8, mbe
where m = 2*mt + mp, n = 2*nt + np
bits (s, c) = 16, C = 32
for mt < 1, nt < 1, k < 8:
  parfor mp < 2, np < 2:
    parfor bw < 4:
      pp[bw] = shift(map(encode(A[m,k])[bw], B[k,n]), bw)
    (s, c) = half_reduce(pp[*])                            # 4:2, 16 bits
    p = add((s, c))
    C[m,n] += p

encoders                4
selectors               16
negators                4
3:2 rows                8
adders in the loop      8
accumulator bits        128
cycles                  8

1. R1: hoist add over k
Legal: (s, c) is redundant and lives modulo 2^32; k is not in the index of C[m,n], and the result \
needs 19 of its 32 bits.

nest opt1: C[2,2] = A[2,8] int8 * B[8,2] int8, mbe
where m = 2*mt + mp, n = 2*nt + np
bits (s, c) = 32, C = 32
for mt < 1, nt < 1:
  for k < 8:
    parfor mp < 2, np < 2:
      parfor bw < 4:
        pp[bw] = shift(map(encode(A[m,k])[bw], B[k,n]), bw)
      (s, c)[mp,np] = half_reduce(pp[*], (s, c)[mp,np])      # 6:2, 32 bits
  parfor mp < 2, np < 2:
    C[m,n] = add((s, c)[mp,np])

3:2 rows                8 -> 16
adders in the loop      8 -> 0
adders outside          0 -> 1
accumulator bits        128 -> 256

"""
    )


@pytest.mark.parametrize("name", DERIVATIONS)
def test_summary_for_machines(name: str, tmp_path: Path) -> None:
    path = tmp_path / "steps.json"
    result = explain(name, "--k", "9", "--m", "3", "--json", path)
    assert result.exit_code == 0, result.output
    summary = json.loads(path.read_text())
    steps = derive(name, Sizes(k=9, m=3))
    assert summary["pe"] == name
    assert [step["rule"] or "" for step in summary["steps"]] == [step.rule for step in steps]
    assert [parse(step["nest"]) for step in summary["steps"]] == [step.nest for step in steps]
    assert summary["hardware"] == []


@pytest.mark.parametrize("name", ["opt1x", "opt4c"])
def test_hardware_is_counted_beside(name: str, tmp_path: Path) -> None:
    path = tmp_path / "steps.json"
    result = explain(name, "--weight", "int4", "--hardware", "--json", path)
    assert result.exit_code == 0, result.output
    rows = json.loads(path.read_text())["hardware"]
    assert result.output.count("agrees") == len(rows) >= 6
    assert all(row["agrees"] for row in rows)
    assert "DIFFERS" not in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["opt9"], f"PE must be one of {', '.join(DERIVATIONS)}, not 'opt9'."),
        (["opt1", "--k", "0"], "k must be at least 1, not 0."),
        (
            ["opt1", "--activation", "float"],
            "--activation and --weight must be 'int2' to 'int16' or 'uint2' to 'uint16'.",
        ),
        (
            ["opt1", "--k", "131072"],
            "accumulator_bits must be at least 33 for 131072 products of int8 by int8, not 32.",
        ),
        (["--hardware"], "A PE must be named for --json and --hardware: see 'bitweft explain'."),
        (
            ["opt1x", "--recoding", "radix2"],
            "R10 needs digits of radix 4: at radix 2 no slot is vacant.",
        ),
        (
            ["opt1", "--recoding", "ent", "--hardware"],
            "recoding of opt1 must be mbe in hardware, not ent.",
        ),
        (["opt4e", "--lanes", "2", "--hardware"], "lanes must be 4 in hardware, not 2."),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], message: str) -> None:
    result = explain(*arguments)
    assert result.exit_code == 2
    assert result.output == f"bitweft: error: {message}\n"


def test_a_size_that_the_hardware_does_not_have() -> None:
    result = explain("opt4c", "--group", "3", "--hardware")
    assert result.exit_code == 2
    assert result.output.startswith("bitweft: error: --hardware cannot build opt4c: input should ")
