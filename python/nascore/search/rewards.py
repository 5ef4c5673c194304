"""The number that an agent gets for an evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nascore.trial import Evaluation, Job


def early_stop(accuracy: float, mflops: float, density: float, mu: float, rho: float) -> float:
    """BlockQNN's eq. 7: `accuracy` in percent, less the penalties of large and dense blocks."""
    return accuracy - mu * math.log(mflops) - rho * math.log(density)


def compression(saved: float, accuracy: float, teacher_accuracy: float) -> float:
    """N2N's C (2 - C) A / A_teacher: C is the share of the teacher's parameters that is `saved`."""
    return saved * (2 - saved) * accuracy / teacher_accuracy


@dataclass(frozen=True)
class EarlyStop:
    """`early_stop` of an evaluation; `floor` for a failed or empty one, and the least of any."""

    mu: float = 1.0
    rho: float = 8.0
    floor: float = 0.0

    def __call__(self, job: Job, evaluation: Evaluation) -> float:
        metrics = evaluation.metrics
        if not evaluation.ok or not metrics["density"]:
            return self.floor
        accuracy = 100 * evaluation.accuracy
        mflops = 2 * metrics["macs"] / 1e6
        return max(self.floor, early_stop(accuracy, mflops, metrics["density"], self.mu, self.rho))


@dataclass(frozen=True)
class Accuracy:
    """`scale` times a power of the validation accuracy; `floor` for a failed one."""

    floor: float = 0.0
    scale: float = 100.0  # so in percent
    power: float = 1.0

    def __call__(self, job: Job, evaluation: Evaluation) -> float:
        if not evaluation.ok:
            return self.floor
        return self.scale * math.pow(evaluation.accuracy, self.power)


@dataclass(frozen=True)
class Area:
    """`scale` times the area under accuracy against multiply-adds; `floor` for a failed one.

    What generated weights give it of is `generated_area`, what training does `val_area`.
    """

    floor: float = 0.0
    scale: float = 100.0  # so in percent

    def __call__(self, job: Job, evaluation: Evaluation) -> float:
        if not evaluation.ok:
            return self.floor
        return self.scale * evaluation.metrics[evaluation.area_metric]


@dataclass(frozen=True)
class Compression:
    """`compression` of an evaluation; -1 for a failed one (N2N; Ashok et al., ICLR 2018).

    With limits, one that breaks them gets (e - 1) + e R instead, where e falls from 1 to 0 over
    the first `anneal` iterations of `rollouts` trials each: max(0, 1 - iteration / anneal)^4; with
    `anneal` 0 it gets -1 at once. Iterations are counted from trial `first`.
    """

    teacher_params: int
    teacher_accuracy: float
    max_params: int | None = None
    min_accuracy: float | None = None
    rollouts: int = 5
    anneal: int = 15
    first: int = 0

    def __call__(self, job: Job, evaluation: Evaluation) -> float:
        if not evaluation.ok:
            return -1.0
        params, accuracy = evaluation.metrics["params"], evaluation.accuracy
        reward = compression(1 - params / self.teacher_params, accuracy, self.teacher_accuracy)
        small = self.max_params is None or params <= self.max_params
        if small and (self.min_accuracy is None or accuracy >= self.min_accuracy):
            return reward
        epsilon = self.epsilon((job.number - self.first) // self.rollouts)
        return epsilon - 1 + epsilon * reward

    def epsilon(self, iteration: int) -> float:
        """How far the limits are not yet in force, 1 to 0."""
        return max(0.0, 1 - iteration / self.anneal) ** 4 if self.anneal else 0.0
