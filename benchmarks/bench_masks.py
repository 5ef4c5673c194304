"""Masks drawn per second, on one thread: k of n without replacement, beside NumPy and torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from nascore import _core

ROWS = 200_000


def rate(draw: Callable[[], object], repeats: int = 7) -> float:
    """Rows per second of this thread's own time, the median: others may share the core."""
    seconds = []
    for _ in range(repeats):
        start = time.thread_time()
        draw()
        seconds.append(time.thread_time() - start)
    return ROWS / sorted(seconds)[repeats // 2]


@pytest.mark.parametrize(("n", "k"), [(16, 4), (8, 4), (8, 1), (32, 16)])
def test_k_of_n(benchmark: Any, n: int, k: int) -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    masks = rng.random((ROWS, n), np.float32)
    weights = np.rint(masks * _core.MASK_ONE).astype(np.uint32)
    as_tensor = torch.from_numpy(masks)

    def gumbel() -> object:
        scores = np.log(masks) + rng.gumbel(size=masks.shape).astype(np.float32)
        return np.argpartition(scores, n - k, axis=1)[:, n - k :]

    def exponential() -> object:  # the same distribution with less arithmetic
        scores = rng.standard_exponential(masks.shape, np.float32) / masks
        return np.argpartition(scores, k, axis=1)[:, :k]

    def ours() -> object:
        return _core.draw_k(weights, k, 1, 2, 3)

    peers = {
        "numpy, gumbel": gumbel,
        "numpy, exponential": exponential,
        "torch.multinomial": lambda: torch.multinomial(as_tensor, k),
    }
    assert len({tuple(sorted(row)) for row in _core.draw_k(weights[:100], k, 1, 2, 3).tolist()}) > 1
    rates = {"nascore": rate(ours), **{name: rate(draw) for name, draw in peers.items()}}
    benchmark(ours)
    benchmark.extra_info.update(rates)
    told = "; ".join(f"{name} {r / 1e6:.2f}" for name, r in rates.items())
    print(f"\n{k} of {n}, million rows/s of one thread: {told}")
