"""The stages of a search by generated weights, but for the ranking, which is ask and tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nascore.search import AskTell, Run
from nascore.search.folder import RunError, unwritable
from nascore.spaces import Architecture
from nascore.surrogates.hyper_training import HyperTraining
from nascore.trial import Evaluation, Evaluator, Job, Proposal, Reward, Trial

FILE = "hypernetwork.pt"


@dataclass
class TrainHypernetwork:
    """Trains to the end of the recipe, and leaves every epoch in the run's file `FILE`."""

    training: Mapping[str, Any]  # the arguments of `HyperTraining`
    trials: int = 0

    def run(self, run: Run) -> Iterator[Trial]:
        """Goes on from the file where there is one. Raises RunError where it does not fit."""
        file = run.files / FILE
        training = HyperTraining(**self.training)
        epochs = training.recipe.epochs
        if file.exists():
            try:
                training.load(file)
            except ValueError as error:
                raise RunError(str(error)) from error
        while training.epoch < epochs and run.left_s() > 0:
            training.run_epoch()
            try:
                training.save(file)
            except OSError as error:
                raise unwritable(str(file), error) from error
            run.on_progress("training the hypernetwork", training.epoch, epochs)
        yield from ()


@dataclass
class TrainBest:
    """Trains for real the `trials` best of the first `ranked` trials, equal ones once.

    Where there are not as many different ones that did not fail, others fill the list.
    """

    evaluator: Evaluator
    reward: Reward
    trials: int
    ranked: int
    deadline_s: float | None = None

    def run(self, run: Run) -> Iterator[Trial]:
        candidates = [trial for trial in run.store.trials() if trial.number < self.ranked]
        chosen = best_first(candidates)[: self.trials]
        generated = {
            trial.architecture.hash: trial.metrics["generated_accuracy"]
            for trial in chosen
            if "generated_accuracy" in trial.metrics
        }
        agent = _Listed([trial.proposal for trial in chosen])
        evaluator = _WithGenerated(self.evaluator, generated)
        stage = AskTell(
            *(agent, evaluator, self.reward, self.trials),
            batch=self.trials,
            deadline_s=self.deadline_s,
        )
        yield from stage.run(run)


def best_first(trials: Sequence[Trial]) -> list[Trial]:
    """Those of different architectures that did not fail, the highest reward first; the others."""
    seen: set[str] = set()
    first: list[Trial] = []
    others: list[Trial] = []
    for trial in sorted(trials, key=lambda trial: (-trial.reward, trial.number)):
        new = trial.evaluation.ok and trial.architecture.hash not in seen
        (first if new else others).append(trial)
        seen.add(trial.architecture.hash)
    return first + others


@dataclass
class _Listed:
    """The agent that proposes what is on its list."""

    proposals: Sequence[Proposal]
    asked: int = field(default=0)

    def ask(self, n: int) -> list[Proposal]:
        self.asked += n
        return list(self.proposals[self.asked - n : self.asked])

    def tell(self, trials: Sequence[Trial]) -> None:
        """There is nothing to decide."""

    def state_dict(self) -> dict[str, Any]:
        return {"asked": self.asked}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.asked = state["asked"]


@dataclass(frozen=True)
class _WithGenerated:
    """`evaluator`, which puts beside what it found the accuracy with generated weights."""

    evaluator: Evaluator
    generated: Mapping[str, float]  # by the architecture's hash

    def key(self, architecture: Architecture) -> str:
        return self.evaluator.key(architecture)

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        found = []
        for job, evaluation in zip(jobs, self.evaluator.evaluate(jobs), strict=True):
            metrics = dict(evaluation.metrics)
            if job.architecture.hash in self.generated:
                metrics["generated_accuracy"] = self.generated[job.architecture.hash]
            found.append(replace(evaluation, metrics=metrics))
        return found
