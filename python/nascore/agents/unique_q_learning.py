"""Q-learning that counts new architectures only (MetaQNN)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nascore.agents.q_learning import QLearning
from nascore.trial import Proposal, Trial

_PATIENCE = 1000  # draws for one proposal, lest a space that is used up hold the search


class UniqueQLearning(QLearning):
    """Q-learning in which a known architecture is learned from at once and never proposed again.

    So the schedule goes on by new architectures alone. An architecture that is drawn again before
    its reward is told is learned from as often when it is. Whatever is learned from is remembered,
    and then `replay` remembered episodes are swept; none is swept for being new. Once 1,000 draws
    in a row gave nothing new, a known architecture is proposed.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        if self.replay == 0:
            raise ValueError("replay=0: all learning is by replay here, give 1 or more")
        self._rewards: dict[str, float] = {}  # by the hashes of what was told
        self._waiting: dict[str, int] = {}  # draws of what was proposed and not told

    def ask(self, n: int) -> list[Proposal]:
        return [self._propose() for _ in range(n)]

    def _propose(self) -> Proposal:
        for _ in range(_PATIENCE):
            [proposal] = self._draw(1)
            key = proposal.architecture.hash
            if key in self._rewards:
                self._sweep(self._remember([(proposal.actions, self._rewards[key])]))
            elif key in self._waiting:
                self._waiting[key] += 1
            else:
                self._waiting[key] = 1
                break
        self._asked += 1
        return proposal

    def tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            key = trial.architecture.hash
            self._rewards[key] = trial.reward
            times = self._waiting.pop(key, 0)  # 0: proposed once more as nothing else was found
            for _ in range(times):
                self._sweep(self._remember([(trial.proposal.actions, trial.reward)]))

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "rewards": dict(self._rewards),
            "waiting": dict(self._waiting),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._rewards = dict(state["rewards"])
        self._waiting = dict(state["waiting"])
