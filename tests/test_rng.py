"""Philox 4x32-10: the published vectors, no state, and the distributions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nascore import _core

words = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("counter", "key", "out"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_known_answers_of_random123(counter: list[int], key: list[int], out: list[int]) -> None:
    got = _core.philox4x32(np.array([counter], np.uint32), np.array([key], np.uint32))
    assert got.tolist() == [out]


@given(st.integers(0, 2**64 - 1), words, st.integers(0, 2**64 - 6), st.integers(1, 2**32 - 1))
def test_a_number_depends_on_seed_stream_and_counter_alone(
    seed: int, stream: int, counter: int, bound: int
) -> None:
    for draw in (
        lambda at, n: _core.uniform(seed, stream, at, n),
        lambda at, n: _core.normal(seed, stream, at, n),
        lambda at, n: _core.integers(seed, stream, at, n, bound),
    ):
        assert draw(counter, 5).tolist() == [draw(counter + i, 1)[0] for i in range(5)]


def test_seeds_and_streams_give_other_numbers() -> None:
    draws = [_core.uniform(seed, stream, 0, 64) for seed in (0, 1, 2**32) for stream in (0, 1)]
    assert len(np.unique(draws)) == 6 * 64


def chi_square(counts: npt.NDArray[np.int64]) -> float:
    expected = counts.sum() / len(counts)
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize(
    ("bound", "buckets", "critical"),  # chi-square at 1e-4 with buckets - 1 degrees of freedom
    [
        (2, 2, 15.14),
        (7, 7, 27.86),
        (48, 48, 90.07),
        # Here 32 bits modulo the bound would give the first third twice the weight.
        (3 << 30, 3, 18.42),
        (2**32 - 1, 3, 18.42),
    ],
)
def test_integers_are_unbiased(bound: int, buckets: int, critical: float) -> None:
    numbers = _core.integers(5, 0, 0, 300_000, bound)
    assert numbers.max() < bound
    counts = np.bincount(numbers.astype(np.int64) * buckets // bound, minlength=buckets)
    assert chi_square(counts) < critical


def test_uniform_numbers_fill_the_unit_interval() -> None:
    numbers = _core.uniform(6, 0, 0, 300_000)
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    counts = np.bincount((numbers * 48).astype(np.int64), minlength=48)
    assert chi_square(counts) < 90.07
    low_bits = np.bincount((numbers * 2**53).astype(np.int64) & 1, minlength=2)
    assert chi_square(low_bits) < 15.14


def test_normal_numbers_are_normal() -> None:
    n = 300_000
    numbers = np.sort(_core.normal(7, 0, 0, n))
    assert abs(numbers.mean()) < 4 / n**0.5
    assert abs((numbers**2).mean() - 1) < 4 * (2 / n) ** 0.5
    assert abs((numbers**3).mean()) < 4 * (15 / n) ** 0.5
    assert abs((numbers**4).mean() - 3) < 4 * (96 / n) ** 0.5
    # Quantiles of the normal distribution at 2.5, 25 and 97.5 %.
    for share, quantile in ((0.025, -1.959964), (0.25, -0.674490), (0.975, 1.959964)):
        found = np.searchsorted(numbers, quantile) / n
        assert abs(found - share) < 4 * (share * (1 - share) / n) ** 0.5


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="bound=0 must be at least 1"):
        _core.integers(0, 0, 0, 1, 0)
    with pytest.raises(ValueError, match="n=-1 must not be negative"):
        _core.uniform(0, 0, 0, -1)
    with pytest.raises(ValueError, match=r"key: expected uint32 \[3, 2\], got uint32 \[1, 2\]"):
        _core.philox4x32(np.zeros((3, 4), np.uint32), np.zeros((1, 2), np.uint32))
