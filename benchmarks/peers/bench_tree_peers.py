"""Tree searches, ours beside others' on the same game, six choices of five.

Every search starts from an empty tree and values a new leaf by one random completion; those with
UCB1 must prefer the best first choice. mctx makes fewer simulations, as each costs it more the more
there are; the time that it takes to compile for a shape is not counted, and its rule explores less.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import jax
import numpy as np
import pyspiel
from games import BEST, CHOICES, SIZE, UCT, WORTH, PythonSpace, mctx_search, plain_search

from nascore import _core
from nascore.spaces import ChoicesSpace
from side_by_side import Compare, Route

N, MCTX = 2_000, 200
Visits = Sequence[int]  # of the root's children


def tree(space: _core.Space) -> _core.Tree:
    return _core.Tree(space, "ucb1", UCT / 8**0.5, seed=1)


def visits_of(grown: _core.Tree) -> Visits:
    return grown.children(0)[1].tolist()


def simulate(space: _core.Space) -> Visits:
    grown = tree(space)
    grown.simulate(N, WORTH.ravel())
    return visits_of(grown)


def spiel(game: pyspiel.Game) -> Callable[[], Visits]:
    def search() -> Visits:
        bot = pyspiel.MCTSBot(
            game,
            pyspiel.RandomRolloutEvaluator(n_rollouts=1, seed=1),
            UCT,
            N,
            1000,
            solve=False,
            seed=1,
            verbose=False,
        )
        children = bot.mcts_search(game.new_initial_state()).children
        visits = {child.action: child.explore_count for child in children}
        return [visits.get(action, 0) for action in range(game.num_distinct_actions())]

    return search


def compiled(batch: int) -> Route:
    key = jax.random.key(1)
    search = jax.jit(mctx_search(batch, MCTX)).lower(key).compile()
    return Route(lambda: np.asarray(search(key).block_until_ready())[0].tolist(), batch * MCTX)


PEERS = {
    "OpenSpiel, game in Python": Route(spiel(pyspiel.load_game("python_choices")), N),
    "plain Python": Route(lambda: plain_search(N, random.Random(1)), N),
}


def check(*visits: Visits) -> None:
    """All simulations but those that ended at the root went to its children, most to the best."""
    for found in visits:
        assert N - 1 <= sum(found) <= N
        assert int(np.argmax(found)) == BEST


def test_a_space_of_its_own(compare: Compare) -> None:
    def agree(ours: Visits, spiel: Visits, plain: Visits, other: Visits, *mctx: Visits) -> None:
        check(ours, spiel, plain)
        assert int(np.argmax(other)) == 4  # the middle
        assert all(sum(found) == MCTX for found in mctx)

    space = ChoicesSpace((SIZE,) * CHOICES)
    compare(
        "tree, simulations in a space of its own",
        "simulations",
        {
            "nascore": Route(lambda: simulate(space.core), N),
            **PEERS,
            "OpenSpiel's own tic-tac-toe": Route(spiel(pyspiel.load_game("tic_tac_toe")), N),
            "mctx": compiled(1),
            "mctx, 64 at a time": compiled(64),
        },
        agree,
    )


def test_a_space_in_python(compare: Compare) -> None:
    space = _core.PythonSpace(PythonSpace())

    def together() -> Visits:
        """Forty simulations wait for their values, which Python gives to all at once."""
        grown = tree(space)
        for _ in range(N // 40):
            ends = grown.select(40)
            states = grown.complete(ends, 1)[:, 0]
            grown.back_up(ends, WORTH[np.arange(CHOICES), states].sum(1))
        return visits_of(grown)

    compare(
        "tree, simulations in a space written in Python",
        "simulations",
        {
            "nascore": Route(together, N),
            "nascore, one at a time": Route(lambda: simulate(space), N),
            **PEERS,
        },
        check,
    )
