"""The tree beside the same tree in plain Python."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
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
