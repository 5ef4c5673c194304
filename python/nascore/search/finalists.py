"""A last stage: the best of what a search found, each trained in earnest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from operator import attrgetter
from typing import Any

from nascore.search.ask_tell import AskTell
from nascore.search.folder import RunError
from nascore.search.loop import Run
from nascore.trial import Evaluator, Proposal, Reward, Trial


class Finalists:
    """The `trials` best different architectures of the stages before, evaluated once more.

    The best have the greatest `rank`. Where fewer succeeded, they are repeated, at no cost.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        reward: Reward,
        trials: int,
        deadline_s: float | None = None,
        rank: Callable[[Trial], Any] = attrgetter("rank"),
    ) -> None:
        if trials < 1:
            raise ValueError(f"trials={trials}: a stage needs at least one trial")
        self.evaluator = evaluator
        self.reward = reward
        self.trials = trials
        self.deadline_s = deadline_s
        self.rank = rank

    def run(self, run: Run) -> Iterator[Trial]:
        """Starts, or goes on from the log. Raises RunError where no trial before succeeded."""
        first = run.first
        good = (t for t in run.store.trials() if t.number < first and t.evaluation.ok)
        best: dict[str, Proposal] = {}
        for trial in sorted(good, key=self.rank, reverse=True):
            proposal = Proposal(trial.architecture, trial.proposal.actions)
            best.setdefault(trial.architecture.hash, proposal)
        if not best:
            raise RunError(
                f"none of {first} trials succeeded, so there is no best to train; "
                "`nascore show` tells why each failed"
            )
        n = self.trials
        chosen = list(islice(cycle(best.values()), n))
        stage = AskTell(
            _All(chosen), self.evaluator, self.reward, n, batch=n, deadline_s=self.deadline_s
        )
        yield from stage.run(run)


@dataclass(frozen=True)
class _All:
    """An agent that proposes what it is given, at once, and learns nothing."""

    proposals: Sequence[Proposal]

    def ask(self, n: int) -> list[Proposal]:
        return [*self.proposals[:n]]

    def tell(self, trials: Sequence[Trial]) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass
