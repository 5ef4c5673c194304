"""Uniform choice among the legal actions of every step: the baseline of every claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nascore import _core
from nascore.sampling import Actions, States, draw, sample
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
        uniforms = _core.uniform(self.seed, _STREAM, (step << 40) + self._asked, len(states))
        return draw(self.space.legal(states), uniforms)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Chance learns nothing."""

    def state_dict(self) -> dict[str, Any]:
        return {"asked": self._asked}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._asked = state["asked"]
