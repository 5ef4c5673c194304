"""Simulations per second of tree searches, ours beside others', on one thread: `make bench-peers`.

The seconds are the processor's, so that a busy machine is no disadvantage to the slow.

Every search starts from an empty tree of the same game, six choices of five, and values a new leaf
by one random completion; those with UCB1 must prefer the best first choice. mctx makes fewer
simulations, as each costs it more the more there are; it compiles for one shape, which is reported
apart, and its rule explores less.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import pyspiel
import pytest
from games import BEST, CHOICES, SIZE, UCT, WORTH, PythonSpace, mctx_search, plain_search

from nascore import _core
from nascore.spaces import ChoicesSpace

FEW, MANY, MCTX = 2_000, 200_000, 200


def rate(benchmark: Any, name: str, simulations: int, search: Callable[[], Any]) -> Any:
    """Times a search and prints its row; returns what it found."""
    found = benchmark(search)
    per_s = simulations / benchmark.stats.stats.median
    benchmark.extra_info["simulations_per_s"] = per_s
    print(f"\n| {name} | {per_s:,.0f} |")
    return found


def check(visits: Sequence[int], simulations: int) -> None:
    """All simulations but those that ended at the root went to its children, most to the best."""
    assert simulations - 1 <= sum(visits) <= simulations
    assert int(np.argmax(visits)) == BEST


def tree(space: _core.Space) -> _core.Tree:
    return _core.Tree(space, "ucb1", UCT / 8**0.5, seed=1)


@pytest.mark.parametrize("simulations", [FEW, MANY])
def test_nascore(benchmark: Any, simulations: int) -> None:
    space = ChoicesSpace((SIZE,) * CHOICES)

    def search() -> list[int]:
        grown = tree(space.core)
        grown.simulate(simulations, WORTH.ravel())
        return grown.children(0)[1].tolist()

    check(
        rate(benchmark, f"nascore, its own space, {simulations:,}", simulations, search),
        simulations,
    )


def test_nascore_python_space(benchmark: Any) -> None:
    space = _core.PythonSpace(PythonSpace())

    def search() -> list[int]:
        grown = tree(space)
        grown.simulate(FEW, WORTH.ravel())
        return grown.children(0)[1].tolist()

    check(rate(benchmark, f"nascore, space in Python, {FEW:,}", FEW, search), FEW)


def test_nascore_python_space_together(benchmark: Any) -> None:
    """Forty simulations wait for their values at a time, which Python gives to all at once."""
    space = _core.PythonSpace(PythonSpace())

    def search() -> list[int]:
        grown = tree(space)
        for _ in range(FEW // 40):
            ends = grown.select(40)
            states = grown.complete(ends, 1)[:, 0]
            grown.back_up(ends, WORTH[np.arange(CHOICES), states].sum(1))
        return grown.children(0)[1].tolist()

    check(rate(benchmark, f"nascore, space in Python, 40 at a time, {FEW:,}", FEW, search), FEW)


def spiel(game: pyspiel.Game) -> Callable[[], list[int]]:
    def search() -> list[int]:
        bot = pyspiel.MCTSBot(
            game,
            pyspiel.RandomRolloutEvaluator(n_rollouts=1, seed=1),
            UCT,
            FEW,
            1000,
            solve=False,
            seed=1,
            verbose=False,
        )
        children = bot.mcts_search(game.new_initial_state()).children
        visits = {child.action: child.explore_count for child in children}
        return [visits.get(action, 0) for action in range(game.num_distinct_actions())]

    return search


def test_open_spiel_python_game(benchmark: Any) -> None:
    search = spiel(pyspiel.load_game("python_choices"))
    check(rate(benchmark, f"OpenSpiel's C++ tree, game in Python, {FEW:,}", FEW, search), FEW)


def test_open_spiel_its_own_game(benchmark: Any) -> None:
    """Another game: up to nine moves, two players."""
    search = spiel(pyspiel.load_game("tic_tac_toe"))
    found = rate(benchmark, f"OpenSpiel's C++ tree, its C++ tic-tac-toe, {FEW:,}", FEW, search)
    assert sum(found) <= FEW
    assert int(np.argmax(found)) == 4  # the middle


@pytest.mark.parametrize("batch", [1, 64])
def test_mctx(benchmark: Any, batch: int) -> None:
    key = jax.random.key(1)
    start = time.process_time()
    compiled = jax.jit(mctx_search(batch, MCTX)).lower(key).compile()
    compiling = time.process_time() - start
    benchmark.extra_info["compile_s"] = compiling
    name = f"mctx, batch {batch}, {MCTX} each, compiled in {compiling:.1f} s"
    found = rate(benchmark, name, batch * MCTX, lambda: compiled(key).block_until_ready())
    assert (np.asarray(found).sum(1) == MCTX).all()


def test_plain_python(benchmark: Any) -> None:
    search = lambda: plain_search(FEW, random.Random(1))  # noqa: E731
    check(rate(benchmark, f"plain Python, {FEW:,}", FEW, search), FEW)
