"""Uniform choice among the legal actions of every step: the baseline of every claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nascore import _core
from nascore.agents.sampling import Actions, States, sample
from nascore.trial import Proposal, Space, Trial

_STREAM = 16


class Random:
    """Proposes architectures whose every decision is uniform among the legal ones."""

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.seed = seed
        self._asked = 0

    def ask(self, n: int) -> list[Proposal]:
        proposals = sample(self.space, n, self._choose)
        self._asked += n
        return proposals

    def _choose(self, states: States, step: int) -> Actions:
        legal = self.space.legal(states)
        draws = _core.uniform(self.seed, _STREAM, (step << 40) + self._asked, len(states))
        wanted = (draws * legal.sum(1)).astype(np.int32)  # the wanted-th legal action
        return np.asarray((legal.cumsum(1) > wanted[:, None]).argmax(1), np.int32)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Chance learns nothing."""

    def state_dict(self) -> dict[str, Any]:
        return {"asked": self._asked}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._asked = state["asked"]
