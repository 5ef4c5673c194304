"""The stages of a search by generated weights, but for the ranking, which is ask and tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nascore.search import Run
from nascore.search.finalists import Finalists
from nascore.search.folder import RunError, unwritable
from nascore.spaces import Architecture
from nascore.surrogates.hyper_training import HyperTraining
from nascore.trial import Evaluation, Evaluator, Job, Reward, Trial

FILE = "hypernetwork.pt"
GENERATED = ("generated_accuracy", "generated_area")


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
    """`Finalists`, whose trials have the accuracy and area with generated weights as well."""

    evaluator: Evaluator
    reward: Reward
    trials: int
    deadline_s: float | None = None

    def run(self, run: Run) -> Iterator[Trial]:
        generated = {
            trial.architecture.hash: {
                name: trial.metrics[name] for name in GENERATED if name in trial.metrics
            }
            for trial in run.store.trials()
            if "generated_accuracy" in trial.metrics
        }
        evaluator = _WithGenerated(self.evaluator, generated)
        yield from Finalists(evaluator, self.reward, self.trials, self.deadline_s).run(run)


@dataclass(frozen=True)
class _WithGenerated:
    """`evaluator`, which puts beside what it found what generated weights gave."""

    evaluator: Evaluator
    generated: Mapping[str, Mapping[str, float]]  # by the architecture's hash

    def key(self, architecture: Architecture) -> str:
        return self.evaluator.key(architecture)

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        found = []
        for job, evaluation in zip(jobs, self.evaluator.evaluate(jobs), strict=True):
            metrics = {**evaluation.metrics, **self.generated.get(job.architecture.hash, {})}
            found.append(replace(evaluation, metrics=metrics))
        return found
