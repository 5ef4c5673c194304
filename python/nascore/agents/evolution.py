"""Regularized evolution (Real et al., AAAI 2019): the oldest dies, whatever it is worth."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nascore import _core
from nascore.sampling import Actions, States, draw, padded, sample, walk
from nascore.trial import Proposal, Space, Trial

_DRAW, _CONTEST, _PLACE, _CHANGE = 16, 17, 18, 19  # random streams


class Evolution:
    """Mutates the best of `sample` members, drawn with replacement, of the last `population` told.

    The first `population` proposals are random. A mutation is one decision of the parent changed to
    another legal one; the rest is replayed while it is legal, and else drawn at random.
    """

    def __init__(self, space: Space, seed: int, *, population: int, sample: int) -> None:
        if population < 1 or sample < 1:
            raise ValueError(f"population={population}, sample={sample}: give at least 1 of each")
        self.space = space
        self.seed = seed
        self.population = population
        self.sample = sample
        self._members: deque[tuple[tuple[int, ...], float]] = deque(maxlen=population)
        self._asked = 0

    def ask(self, n: int) -> list[Proposal]:
        return [self._propose() for _ in range(n)]

    def _propose(self) -> Proposal:
        newborn = self._asked < self.population or not self._members
        plan: tuple[int, ...] = () if newborn else self._mutated(self._parent())
        [proposal] = sample(self.space, 1, lambda states, step: self._follow(plan, states, step))
        self._asked += 1
        return proposal

    def _parent(self) -> tuple[int, ...]:
        first = self._asked * self.sample
        picks = _core.integers(self.seed, _CONTEST, first, self.sample, len(self._members))
        return max((self._members[i] for i in picks), key=lambda member: member[1])[0]

    def _mutated(self, parent: tuple[int, ...]) -> tuple[int, ...]:
        """The parent's actions with one changed; as they are where none has an alternative."""
        legal = np.concatenate([self.space.legal(s) for s in walk(self.space, padded([parent]))])
        legal[np.arange(len(parent)), parent] = False
        places = np.flatnonzero(legal.any(1))
        if not places.size:
            return parent
        place = int(places[self._pick(_PLACE, len(places))])
        others = np.flatnonzero(legal[place])
        return (
            *parent[:place],
            int(others[self._pick(_CHANGE, len(others))]),
            *parent[place + 1 :],
        )

    def _pick(self, stream: int, bound: int) -> int:
        return int(_core.integers(self.seed, stream, self._asked, 1, bound)[0])

    def _follow(self, plan: tuple[int, ...], states: States, step: int) -> Actions:
        legal = self.space.legal(states)
        if step < len(plan) and legal[0, plan[step]]:
            return np.array([plan[step]], np.int32)
        return draw(legal, _core.uniform(self.seed, _DRAW, (step << 40) + self._asked, 1))

    def tell(self, trials: Sequence[Trial]) -> None:
        self._members.extend((trial.proposal.actions, trial.reward) for trial in trials)

    def state_dict(self) -> dict[str, Any]:
        return {"asked": self._asked, "members": list(self._members)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._asked = state["asked"]
        self._members.clear()
        self._members.extend((tuple(actions), reward) for actions, reward in state["members"])
