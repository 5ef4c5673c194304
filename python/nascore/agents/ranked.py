"""Rewards without units: an agent's settings then hold whatever is measured, and in what."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nascore.trial import Agent, Proposal, Trial


class Ranked:
    """Tells `agent`, for each reward, the share of those told before that it beats.

    An equal one counts half, and the first reward is 0.5.
    """

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._seen: list[float] = []  # sorted

    def ask(self, n: int) -> list[Proposal]:
        return self.agent.ask(n)

    def tell(self, trials: Sequence[Trial]) -> None:
        self.agent.tell([replace(trial, reward=self._rank(trial.reward)) for trial in trials])

    def _rank(self, reward: float) -> float:
        seen = self._seen
        beaten = (bisect_left(seen, reward) + bisect_right(seen, reward)) / 2
        rank = beaten / len(seen) if seen else 0.5
        insort(seen, reward)
        return rank

    def state_dict(self) -> dict[str, Any]:
        return {"seen": list(self._seen), "agent": self.agent.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._seen = list(state["seen"])
        self.agent.load_state_dict(state["agent"])
