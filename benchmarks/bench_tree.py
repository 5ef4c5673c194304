"""Simulations per second of the tree, on one thread, beside the same tree in plain Python."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nascore import _core
from nascore.spaces import BlockSpace, ChoicesSpace
from nascore.spaces.core_space import CoreSpace

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from tree_kit import PlainTree, same

SIMULATIONS = 200_000


@pytest.mark.parametrize("space", [ChoicesSpace((5,) * 6), BlockSpace(12)], ids=lambda s: s.name)
def test_simulations(benchmark: Any, space: CoreSpace) -> None:
    width = space.features(space.start(1)).shape[1]
    weights = np.random.default_rng(0).integers(0, 9, width) / 64

    def tree(simulations: int) -> _core.Tree:
        made = _core.Tree(space.core, "ucb1", 2.0, seed=1)
        made.simulate(simulations, weights)
        return made

    def value(state: np.ndarray) -> float:
        features = space.features(state[None])[0].tolist()
        return sum(f * w for f, w in zip(features, weights.tolist(), strict=True))

    plain = PlainTree(space, "ucb1", 2.0, seed=1)
    start = time.perf_counter()
    plain.simulate(1000, value)
    slow = 1000 / (time.perf_counter() - start)
    assert same(plain, tree(1000))

    grown = benchmark(tree, SIMULATIONS)
    rate = SIMULATIONS / benchmark.stats.stats.median
    benchmark.extra_info.update({"simulations_per_s": rate, "python_simulations_per_s": slow})
    print(
        f"\n{space.name}: {rate:,.0f} simulations/s; python {slow:,.0f}; "
        f"ratio {rate / slow:,.0f}; {grown.size:,} nodes, {grown.bytes / grown.size:.0f} bytes each"
    )
