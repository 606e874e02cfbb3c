"""reports.ppa.digits: recodings, distributions and counted cycles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.errors import InputError
from reports.ppa.digits import Recoding, count, digits, parse_distribution

ALL = np.arange(-128, 128)


@pytest.mark.parametrize(
    ("recoding", "histogram"),
    # How many of the 256 values have 0, 1, 2, 3, 4 nonzero digits.
    [("booth", [1, 12, 54, 108, 81]), ("en-t", [1, 15, 60, 108, 72])],
)
def test_digits_of_every_value(recoding: Recoding, histogram: list[int]) -> None:
    found = digits(ALL, recoding)
    assert (found @ 4 ** np.arange(4) == ALL).all()
    assert np.abs(found).max() == 2
    assert np.bincount((found != 0).sum(axis=1)).tolist() == histogram


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(["booth", "en-t"]),
    st.sampled_from([(1, 1, 1), (4, 1, 1), (4, 2, 1), (4, 1, 3), (2, 3, 2)]),
)
def test_counts_one_digit_after_another(
    seed: int, recoding: Recoding, shape: tuple[int, int, int]
) -> None:
    group, lanes, columns = shape
    rows, groups = 2 * columns, 3
    values = np.random.default_rng(seed).integers(-3, 4, (rows, group * lanes * groups))
    counted = count(values, recoding=recoding, group=group, lanes=lanes, columns=columns)

    found = digits(values, recoding)
    alone, together = 0, 0
    for tile in range(0, rows, columns):
        slowest = 0
        for row in range(tile, tile + columns):
            time = 0
            for weight in range(4):
                lane_times = [0] * lanes
                for g in range(groups * lanes):
                    issued = sum(
                        int(found[row, k, weight] != 0) for k in range(g * group, (g + 1) * group)
                    )
                    lane_times[g % lanes] += max(1, issued)
                time += max(lane_times)
                alone += sum(lane_times)
            slowest = max(slowest, time)
        together += slowest * columns
    assert counted.per_mac * values.size * lanes == pytest.approx(alone)
    assert counted.per_mac_synchronised * values.size == pytest.approx(together)
    assert counted.digits_per_operand * values.size == pytest.approx(np.count_nonzero(found))


def test_long_draws_come_near_the_exact_means() -> None:
    # Sum over digits of 4 p + (1 - p)^4, a quarter of it: 2.342 for N(0, 20), 2.924 for uniform.
    for name, expected in (("normal:20", 2.342), ("uniform", 2.924)):
        values = parse_distribution(name).draw(512, 1024, 1)
        assert count(values, recoding="en-t").per_mac == pytest.approx(expected, abs=0.01)


def test_clipping_puts_the_tails_at_the_ends() -> None:
    cut, clipped = parse_distribution("normal:60").table, parse_distribution("normal:60:clip").table
    assert sum(cut) == pytest.approx(1) == sum(clipped)
    assert cut[255] < cut[254] and clipped[255] > 10 * clipped[254]
    assert cut[128] == max(cut)


def test_a_file_is_taken_in_its_order(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.array([[1, -2], [3, -128]], np.int8))
    distribution = parse_distribution(str(tmp_path / "t.npy"))
    assert distribution.draw(2, 3, 0).tolist() == [[1, -2, 3], [-128, 1, -2]]
    assert distribution.table[0] == distribution.table[129] == 0.25


def test_refuses(tmp_path: Path) -> None:
    np.save(tmp_path / "float.npy", np.zeros(3))
    (tmp_path / "text.npy").write_text("no")
    for text in ("gauss", "normal:", "normal:-1", "normal:x", "normal:3:cut"):
        with pytest.raises(InputError, match=r"^--distribution must be "):
            parse_distribution(text)
    with pytest.raises(InputError, match="must hold int8 values"):
        parse_distribution(str(tmp_path / "float.npy"))
    for name in ("text.npy", "absent.npy"):
        with pytest.raises(InputError, match="must name a readable .npy file"):
            parse_distribution(str(tmp_path / name))
    with pytest.raises(ValueError, match="^operands must fill tiles and groups, not 3 x 4$"):
        count(np.zeros((3, 4), np.int64), recoding="booth", columns=2)
