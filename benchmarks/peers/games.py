"""Six choices of five, as each library wants a game; the worth of a choice does not change."""

from __future__ import annotations

import math
import random
from typing import Any

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pyspiel

CHOICES, SIZE = 6, 5
# Of each choice in 0..1/6, so that all together are worth 0..1.
WORTH = np.random.default_rng(0).permuted(np.tile(np.arange(SIZE), (CHOICES, 1)), axis=1)
WORTH = WORTH / (SIZE - 1) / CHOICES
BEST = int(WORTH[0].argmax())
UCT = math.sqrt(2)  # the bonus of every tree but mctx's: UCT sqrt(ln N / n)


class PythonSpace:
    """A `nascore.trial.Space`."""

    heads = (SIZE,)
    max_steps = CHOICES

    def start(self, n: int) -> np.ndarray:
        return np.full((n, CHOICES), -1, np.int16)

    def done(self, state: np.ndarray) -> np.ndarray:
        return state[:, -1] >= 0

    def legal(self, state: np.ndarray) -> np.ndarray:
        return np.repeat(~self.done(state)[:, None], SIZE, 1)

    def step(self, state: np.ndarray, action: np.ndarray) -> np.ndarray:
        after, made = state.copy(), (state >= 0).sum(1)
        rows = np.flatnonzero(made < CHOICES)
        after[rows, made[rows]] = action[rows]
        return after

    def observe(self, state: np.ndarray) -> np.ndarray:
        return state

    def features(self, state: np.ndarray) -> np.ndarray:
        return (state[:, :, None] == np.arange(SIZE)).reshape(len(state), -1).astype(np.float32)


class SpielState(pyspiel.State):
    def __init__(self, game: pyspiel.Game) -> None:
        super().__init__(game)
        self.made: list[int] = []

    def current_player(self) -> int:
        return pyspiel.PlayerId.TERMINAL if self.is_terminal() else 0

    def _legal_actions(self, player: int) -> list[int]:
        return list(range(SIZE))

    def _apply_action(self, action: int) -> None:
        self.made.append(action)

    def _action_to_string(self, player: int, action: int) -> str:
        return str(action)

    def is_terminal(self) -> bool:
        return len(self.made) == CHOICES

    def returns(self) -> list[float]:
        return [float(WORTH[np.arange(CHOICES), self.made].sum()) if self.is_terminal() else 0.0]

    def __str__(self) -> str:
        return str(self.made)


class SpielGame(pyspiel.Game):
    def __init__(self, params: Any = None) -> None:
        kind = pyspiel.GameType(
            short_name="python_choices",
            long_name="Choices",
            dynamics=pyspiel.GameType.Dynamics.SEQUENTIAL,
            chance_mode=pyspiel.GameType.ChanceMode.DETERMINISTIC,
            information=pyspiel.GameType.Information.PERFECT_INFORMATION,
            utility=pyspiel.GameType.Utility.GENERAL_SUM,
            reward_model=pyspiel.GameType.RewardModel.TERMINAL,
            max_num_players=1,
            min_num_players=1,
            provides_information_state_string=False,
            provides_information_state_tensor=False,
            provides_observation_string=False,
            provides_observation_tensor=False,
        )
        info = pyspiel.GameInfo(
            num_distinct_actions=SIZE,
            max_chance_outcomes=0,
            num_players=1,
            min_utility=0.0,
            max_utility=1.0,
            max_game_length=CHOICES,
        )
        super().__init__(kind, info, params or {})

    def new_initial_state(self, state: Any = None) -> SpielState:
        return SpielState(self)


pyspiel.register_game(SpielGame().get_type(), SpielGame)


def mctx_search(batch: int, simulations: int) -> Any:
    """A function of a random key: MuZero's search, each leaf worth one random completion."""
    worth = jnp.asarray(WORTH, jnp.float32)

    def value_of(state: jax.Array) -> jax.Array:  # [batch, CHOICES] -> [batch]
        return worth[jnp.arange(CHOICES), state].sum(1)

    def completed(key: jax.Array, state: jax.Array) -> jax.Array:
        return jnp.where(state < 0, jax.random.randint(key, state.shape, 0, SIZE), state)

    def step(_: Any, key: jax.Array, action: jax.Array, state: jax.Array) -> Any:
        made = (state >= 0).sum(1)
        after = jnp.where(jnp.arange(CHOICES) == made[:, None], action[:, None], state)
        ends, ended = made == CHOICES - 1, made >= CHOICES - 1
        output = mctx.RecurrentFnOutput(
            reward=jnp.where(ends, value_of(after), 0.0),
            discount=jnp.where(ended, 0.0, 1.0),
            prior_logits=jnp.zeros((batch, SIZE)),
            value=jnp.where(ended, 0.0, value_of(completed(key, after))),
        )
        return output, after

    def search(key: jax.Array) -> jax.Array:
        state = jnp.full((batch, CHOICES), -1)
        first, second = jax.random.split(key)
        root = mctx.RootFnOutput(
            prior_logits=jnp.zeros((batch, SIZE)),
            value=value_of(completed(first, state)),
            embedding=state,
        )
        found = mctx.muzero_policy(None, second, root, step, simulations, dirichlet_fraction=0.0)
        return found.search_tree.summary().visit_counts

    return search


class PlainNode:
    __slots__ = ("children", "total", "visits")

    def __init__(self) -> None:
        self.children: list[PlainNode] = []
        self.total, self.visits = 0.0, 0


def plain_search(simulations: int, draw: random.Random) -> list[int]:
    """UCT as one writes it in Python: the visits of the root's children."""
    worth = WORTH.tolist()
    root = PlainNode()
    for _ in range(simulations):
        node, path, value = root, [root], 0.0
        for choice in range(CHOICES):
            if not node.visits:
                value += sum(draw.choice(row) for row in worth[choice:])
                break
            if not node.children:
                node.children = [PlainNode() for _ in range(SIZE)]
            untried = [i for i, child in enumerate(node.children) if not child.visits]
            if untried:
                action = draw.choice(untried)
            else:
                log = math.log(node.visits)
                scores = [
                    c.total / c.visits + UCT * math.sqrt(log / c.visits) for c in node.children
                ]
                action = scores.index(max(scores))
            node = node.children[action]
            path.append(node)
            value += worth[choice][action]
        for node in path:
            node.visits += 1
            node.total += value
    return [child.visits for child in root.children]
