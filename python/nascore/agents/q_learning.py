"""Tabular Q-learning with an epsilon schedule and experience replay (MetaQNN, BlockQNN)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nascore import _core
from nascore.sampling import Actions, States, padded, sample, walk
from nascore.trial import Proposal, Space, Trial

Episode = tuple[tuple[int, ...], float]  # the actions that wrote an architecture, its reward
Schedule = tuple[tuple[float, int], ...]  # (epsilon, iterations) from the first to the last

_COIN, _REPLAY = 16, 18  # random streams; the table's tie-break and choice use _COIN + 1


def epsilon_at(schedule: Schedule, proposal: int, trials: int) -> float:
    """The epsilon of proposal number `proposal`, with the schedule stretched over `trials`."""
    iteration = proposal * sum(n for _, n in schedule) // trials
    for epsilon, n in schedule:
        if iteration < n:
            return epsilon
        iteration -= n
    return schedule[-1][0]


class QLearning:
    """Q-learning over a space, keyed on what it observes, or with `by_depth` on the step alone.

    An episode of T actions that ended with reward r_T is swept in reverse:
    Q(s_T-1, a_T) <- (1-alpha) Q + alpha r_T, and before it
    Q(s_t, a_t+1) <- (1-alpha) Q + alpha (r_t + gamma max Q(s_t+1, .)),
    where r_t = r_T / T with `shaping` (BlockQNN, eq. 6) and 0 without. Every told trial is swept
    once; then `replay` remembered ones, drawn with replacement, are swept for each told one.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        trials: int,
        schedule: Schedule,
        alpha: float,
        gamma: float,
        initial_q: float,
        replay: int,
        shaping: bool,
        by_depth: bool = False,
    ) -> None:
        if not schedule or any(not 0 <= e <= 1 or n < 1 for e, n in schedule):
            raise ValueError(
                f"schedule={schedule}: give (epsilon, iterations) pairs, "
                "0 <= epsilon <= 1 and at least one iteration each"
            )
        if replay < 0:
            raise ValueError(f"replay={replay}: give the number of draws per told trial, 0 or more")
        self.space = space
        self.seed = seed
        self.trials = trials
        self.schedule = schedule
        self.replay = replay
        self.shaping = shaping
        self.by_depth = by_depth
        width = self._key(space.start(1), 0).shape[1]
        self.table = _core.QTable(max(space.heads), width, alpha, gamma, initial_q)
        self._memory: list[Episode] = []
        self._asked = 0
        self._drawn = 0  # architectures written, which a subclass may keep to itself
        self._replayed = 0

    @property
    def epsilon(self) -> float:
        """The share of random decisions in the next proposal."""
        return epsilon_at(self.schedule, self._asked, self.trials)

    def ask(self, n: int) -> list[Proposal]:
        proposals = self._draw(n)
        self._asked += n
        return proposals

    def _draw(self, n: int) -> list[Proposal]:
        proposals = sample(self.space, n, self._choose)
        self._drawn += n
        return proposals

    def _key(self, states: States, step: int) -> npt.NDArray[np.int16]:
        if self.by_depth:
            return np.full((len(states), 1), step, np.int16)
        return self.space.observe(states)

    def _choose(self, states: States, step: int) -> Actions:
        return self.table.choose(
            self._key(states, step),
            self.space.legal(states),
            self.epsilon,
            self.seed,
            _COIN,
            (step << 40) + self._drawn,
        )

    def tell(self, trials: Sequence[Trial]) -> None:
        told = [(trial.proposal.actions, trial.reward) for trial in trials]
        self._sweep(told + self._remember(told))

    def _remember(self, told: Sequence[Episode]) -> list[Episode]:
        """Puts episodes into the memory; what is to be replayed for them."""
        self._memory += told
        draws = self.replay * len(told)
        picks = _core.integers(self.seed, _REPLAY, self._replayed, draws, len(self._memory))
        self._replayed += draws
        return [self._memory[i] for i in picks]

    def _sweep(self, episodes: Sequence[Episode]) -> None:
        states = list(walk(self.space, padded([actions for actions, _ in episodes])))
        keys = np.stack([self._key(state, step) for step, state in enumerate(states)], axis=1)
        legal = np.stack([self.space.legal(state) for state in states], axis=1)
        for i, (actions, reward) in enumerate(episodes):
            length = len(actions)
            rewards = np.full(length, reward / length if self.shaping else 0.0)
            rewards[-1] = reward
            self.table.sweep(
                keys[i, :length], np.array(actions, np.int32), legal[i, :length], rewards
            )

    def state_dict(self) -> dict[str, Any]:
        return {
            "asked": self._asked,
            "drawn": self._drawn,
            "replayed": self._replayed,
            "memory": list(self._memory),
            "table": [torch.from_numpy(a) for a in self.table.state()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError if the table belongs to another space."""
        self.table.load(*(a.numpy() for a in state["table"]))
        self._asked = state["asked"]
        self._drawn = state["drawn"]
        self._replayed = state["replayed"]
        self._memory = [(tuple(actions), reward) for actions, reward in state["memory"]]
