"""Random masks: exact, by their weights, the same on any number of threads."""

from __future__ import annotations

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nascore import _core

ONE = _core.MASK_ONE
Weights = npt.NDArray[np.uint32]
weights = st.one_of(st.sampled_from([0, 1, ONE]), st.integers(0, ONE))
seeds = st.integers(0, 2**64 - 1)


def words(seed: int, stream: int, row: int, block: int, attempt: int) -> list[int]:
    counter = np.array([[row & 0xFFFFFFFF, row >> 32, stream, block | attempt << 16]], np.uint32)
    key = np.array([[seed & 0xFFFFFFFF, seed >> 32]], np.uint32)
    drawn: list[int] = _core.philox4x32(counter, key)[0].tolist()
    return drawn


def below(seed: int, stream: int, row: int, draw: int, bound: int) -> int:
    """Uniform in [0, bound): of 2**32 words, the remainder that would favour some is rejected."""
    for attempt in itertools.count():
        word = words(seed, stream, row, draw // 4, attempt)[draw % 4]
        if word * bound % 2**32 >= 2**32 % bound:
            return word * bound // 2**32
    raise AssertionError


def pick(shares: list[int], rest: int) -> int:
    for i, share in enumerate(shares):
        if rest < share:
            return i
        rest -= share
    raise AssertionError


def k_ref(row: list[int], k: int, seed: int, stream: int, counter: int) -> list[int]:
    left = list(row)
    drawn: list[int] = []
    for t in range(k):
        if not sum(left):
            left = [int(i not in drawn) for i in range(len(row))]
        drawn.append(pick(left, below(seed, stream, counter, t, sum(left))))
        left[drawn[-1]] = 0
    return drawn


@given(st.data(), st.integers(1, 9), st.integers(1, 40), seeds, st.integers(0, 2**64 - 50))
def test_k_of_n_is_its_reference(
    data: st.DataObject, n: int, rows: int, seed: int, counter: int
) -> None:
    k = data.draw(st.integers(1, n))
    table = data.draw(st.lists(weights, min_size=rows * n, max_size=rows * n))
    given = np.array(table, np.uint32).reshape(rows, n)
    drawn = _core.draw_k(given, k, seed, 5, counter)
    for i in {0, rows // 2, rows - 1}:
        assert drawn[i].tolist() == k_ref(given[i].tolist(), k, seed, 5, counter + i)
    assert all(len(set(row)) == k for row in drawn.tolist())
    positive = np.take_along_axis(given > 0, drawn.astype(np.int64), 1).sum(1)
    assert (positive == np.minimum(k, (given > 0).sum(1))).all()  # none of weight 0 before others


@given(st.lists(weights, min_size=1, max_size=40), seeds, st.integers(0, 2**64 - 1))
def test_bernoulli_is_its_reference(row: list[int], seed: int, counter: int) -> None:
    [mask] = _core.draw_bernoulli(np.array([row], np.uint32), seed, 5, counter)
    halves = [
        word >> shift & 0xFFFF
        for block in range(-(-len(row) // 8))
        for word in words(seed, 5, counter, block, 0)
        for shift in (0, 16)
    ]
    assert mask.tolist() == [h < w for h, w in zip(halves, row, strict=False)]
    assert all(m for m, w in zip(mask, row, strict=True) if w == ONE)
    assert not any(m for m, w in zip(mask, row, strict=True) if w == 0)


@given(st.lists(st.tuples(weights, st.booleans()), min_size=1, max_size=40), seeds)
def test_categorical_is_its_reference(row: list[tuple[int, bool]], seed: int) -> None:
    given, legal = np.array([[w for w, _ in row]], np.uint32), np.array([[m for _, m in row]])
    if not legal.any():
        with pytest.raises(ValueError, match="row 0 has nothing that is legal"):
            _core.draw_categorical(given, legal, seed, 5, 9)
        return
    shares = [w * m for w, m in row]
    if not any(shares):
        shares = [int(m) for _, m in row]
    [drawn] = _core.draw_categorical(given, legal, seed, 5, 9).tolist()
    assert drawn == pick(shares, below(seed, 5, 9, 0, sum(shares)))
    assert legal[0, drawn]


def chances(row: list[int], k: int) -> dict[tuple[int, ...], float]:
    """Of every way to draw k in turn by the shares of what is left."""
    found = {}
    for way in itertools.permutations(range(len(row)), k):
        left, p = sum(row), 1.0
        for i in way:
            p *= row[i] / left
            left -= row[i]
        found[way] = p
    return found


def agrees(counts: Counter[tuple[int, ...]], expected: dict[tuple[int, ...], float]) -> bool:
    """A chi-square test that a right sampler fails once in a million seeds."""
    n = counts.total()
    likely = {way: p * n for way, p in expected.items() if p > 0}
    assert set(counts) <= set(likely)
    assert min(likely.values()) > 5
    seen = [counts[way] for way in likely]
    return bool(stats.chisquare(seen, list(likely.values())).pvalue > 1e-6)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_order_drawn_has_its_distribution(k: int) -> None:
    row = [ONE, ONE // 2, ONE // 3, ONE // 4, 4096]
    drawn = _core.draw_k(np.tile(np.array(row, np.uint32), (200_000, 1)), k, 1, 5, 0)
    counts = Counter(map(tuple, drawn.tolist()))
    assert agrees(counts, chances(row, k))
    off = [ONE, ONE // 2, ONE // 3, ONE // 4, 5000]
    assert not agrees(counts, chances(off, k))  # the test would see an error of a percent


def test_1f2_a_certain_mask_and_equal_masks() -> None:
    certain = np.tile(np.array([ONE, 0, 0, 0, 0, 0], np.uint32), (10_000, 1))
    assert (_core.draw_k(certain, 1, 3, 5, 0) == 0).all()
    n, k, rows = 16, 4, 100_000
    drawn = _core.draw_k(np.full((rows, n), ONE // 2, np.uint32), k, 3, 5, 0)
    share = np.bincount(drawn.ravel(), minlength=n) / rows
    sigma = np.sqrt(k / n * (1 - k / n) / rows)
    assert (np.abs(share - k / n) < 3 * sigma).all()


def test_masks_and_choices_have_their_distribution() -> None:
    row, rows = [ONE // 8, ONE // 2, ONE, 60000], 100_000
    given = np.tile(np.array(row, np.uint32), (rows, 1))
    masks = Counter(map(tuple, _core.draw_bernoulli(given, 1, 5, 0).tolist()))
    bits = itertools.product([False, True], repeat=len(row))
    expected = {
        way: float(
            np.prod([w / ONE if on else 1 - w / ONE for w, on in zip(row, way, strict=True)])
        )
        for way in bits
    }
    assert agrees(masks, expected)
    legal = np.tile(np.array([True, False, True, True]), (rows, 1))
    choices = Counter((i,) for i in _core.draw_categorical(given, legal, 1, 5, 0).tolist())
    shares = [w if m else 0 for w, m in zip(row, legal[0], strict=True)]
    assert agrees(choices, {(i,): w / sum(shares) for i, w in enumerate(shares)})


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_any_number_of_threads_draws_the_same(threads: int) -> None:
    rng = np.random.default_rng(0)
    given = rng.integers(0, ONE, (5000, 12), np.uint32, endpoint=True)
    legal = rng.random((5000, 12)) < 0.9
    cuts = np.linspace(0, 5000, threads + 1).astype(int)

    def part(i: int) -> tuple[npt.NDArray[np.generic], ...]:
        here = slice(cuts[i], cuts[i + 1])
        at = (11, 5, int(cuts[i]))
        return (
            _core.draw_k(given[here], 5, *at),
            _core.draw_bernoulli(given[here], *at),
            _core.draw_categorical(given[here], legal[here], *at),
        )

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(part, range(threads)))
    whole = (
        _core.draw_k(given, 5, 11, 5, 0),
        _core.draw_bernoulli(given, 11, 5, 0),
        _core.draw_categorical(given, legal, 11, 5, 0),
    )
    for i, expected in enumerate(whole):
        assert (np.concatenate([p[i] for p in parts]) == expected).all()


def test_wrong_arguments_are_refused() -> None:
    given = np.full((3, 4), ONE, np.uint32)
    with pytest.raises(ValueError, match=r"weights: expected uint32 \[R, n\], got float64 \[3, 4"):
        _core.draw_k(given / ONE, 1, 0, 0, 0)  # type: ignore[arg-type]
    for k in (0, 5, -1):
        with pytest.raises(ValueError, match=f"k={k} must be 1 to 4"):
            _core.draw_k(given, k, 0, 0, 0)
    with pytest.raises(ValueError, match="rows of 0; give 1 to 32767 entries"):
        _core.draw_bernoulli(given[:, :0], 0, 0, 0)
    given[2, 1] += 1
    with pytest.raises(ValueError, match="row 2, entry 1: weight 65537 must be 0 to 65536"):
        _core.draw_bernoulli(given, 0, 0, 0)
    with pytest.raises(ValueError, match=r"legal: expected bool \[3, 4\], got bool \[3, 3\]"):
        _core.draw_categorical(given, np.ones((3, 3), bool), 0, 0, 0)
    assert _core.draw_k(given[:0], 2, 0, 0, 0).shape == (0, 2)
