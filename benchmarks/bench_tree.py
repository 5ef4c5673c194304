"""The tree beside the same tree in plain Python, and what millions of nodes cost."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from nascore import _core
from nascore.spaces import BlockSpace, ChoicesSpace
from nascore.spaces.core_space import CoreSpace

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from side_by_side import Compare, Route
from tree_kit import PlainTree, same

FEW, MANY = 500, 200_000
SPACES = [ChoicesSpace((5,) * 6), BlockSpace(12)]


def weights_of(space: CoreSpace) -> np.ndarray:
    width = space.features(space.start(1)).shape[1]
    return np.random.default_rng(0).integers(0, 9, width) / 64


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
@pytest.mark.parametrize("transpositions", [False, True], ids=["tree", "transpositions"])
def test_simulations(compare: Compare, space: CoreSpace, transpositions: bool) -> None:
    weights = weights_of(space)

    def tree(simulations: int) -> _core.Tree:
        made = _core.Tree(space.core, "ucb1", 2.0, seed=1, transpositions=transpositions)
        made.simulate(simulations, weights)
        return made

    def value(state: np.ndarray) -> float:
        features = space.features(state[None])[0].tolist()
        return sum(f * w for f, w in zip(features, weights.tolist(), strict=True))

    key = (lambda state: tuple(space.key(state[None])[0].tolist())) if transpositions else None

    def plain() -> PlainTree:
        made = PlainTree(space, "ucb1", 2.0, seed=1, key=key)
        made.simulate(FEW, value)
        return made

    def agree(grown: _core.Tree, theirs: PlainTree) -> None:
        assert grown.visits(0) == MANY
        assert same(theirs, tree(FEW))

    compare(
        f"simulations in {space.name}, {'with' if transpositions else 'without'} transpositions",
        "simulations",
        {"nascore": Route(lambda: tree(MANY), MANY), "plain Python": Route(plain, FEW)},
        agree,
    )


@pytest.mark.parametrize("transpositions", [False, True], ids=["tree", "transpositions"])
def test_ten_million_nodes(benchmark: Any, transpositions: bool) -> None:
    space = BlockSpace(12)
    weights, resident = weights_of(space), psutil.Process().memory_info
    before = resident().rss

    def grow() -> _core.Tree:
        tree = _core.Tree(space.core, "ucb1", 2.0, seed=1, transpositions=transpositions)
        while tree.size < 10_000_000:
            tree.simulate(10_000, weights)
        return tree

    tree = benchmark.pedantic(grow, rounds=1)
    rate = tree.visits(0) / benchmark.stats.stats.median
    held = (resident().rss - before) / tree.size
    assert tree.bytes / tree.size <= (80 if transpositions else 48)
    benchmark.extra_info.update({"simulations_per_s": rate, "bytes_per_node": held})
    print(
        f"\n{tree.size:,} nodes of {tree.visits(0):,} simulations at {rate:,.0f}/s; "
        f"{tree.bytes / tree.size:.1f} bytes a node reserved, {held:.1f} resident"
    )
