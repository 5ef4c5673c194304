"""The number that an agent gets for an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nascore.names import unknown
from nascore.trial import Evaluation, Job, Reward


def early_stop(accuracy: float, mflops: float, density: float, mu: float, rho: float) -> float:
    """BlockQNN's eq. 7: `accuracy` in percent, less the penalties of large and dense blocks."""
    return accuracy - mu * math.log(mflops) - rho * math.log(density)


def compression(saved: float, accuracy: float, teacher_accuracy: float) -> float:
    """N2N's C (2 - C) A / A_teacher: C is the share of the teacher's parameters that is `saved`."""
    return saved * (2 - saved) * accuracy / teacher_accuracy


def cost_factor(cost: float, target: float, alpha: float, beta: float) -> float:
    """MnasNet's (cost / target)^w, with w = `alpha` up to the target and `beta` above it.

    Tan et al., CVPR 2019, eq. 2 and 3.
    """
    ratio = max(cost / target, 1e-6)  # what costs nothing is not worth infinitely much
    return math.pow(ratio, alpha if ratio <= 1 else beta)


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


# MnasNet's alpha and beta. Soft: twice the cost takes 5 % of the reward, on both sides of the
# target, so that the target is but the cost at which the reward stays as it is. Hard: what is
# within the target is worth the same, what is above in proportion less.
_EXPONENTS = {"soft": (-0.07, -0.07), "hard": (0.0, -1.0)}


@dataclass(frozen=True)
class Targets:
    """What architectures are to cost, one or more of three; the reward follows, as MnasNet's does.

    `latency_ms` is of a batch of `batch` images on `device` of the machine that evaluates. The
    "soft" constraint, which the paper searches with, prefers the same of two architectures whatever
    the target is; for a winner within the target take the "hard" one. Raises ValueError where there
    is no target, or a value that none can have.
    """

    latency_ms: float | None = None
    max_params: int | None = None
    max_macs: int | None = None
    device: str = "auto"
    batch: int = 1
    constraint: Literal["soft", "hard"] = "soft"

    def __post_init__(self) -> None:
        if not self.of_metrics:
            raise ValueError("no target: give latency_ms, max_params or max_macs")
        for name in ("latency_ms", "max_params", "max_macs"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name}={value} must be above 0, and finite")
        if self.batch < 1:
            raise ValueError(f"batch={self.batch} must be at least 1 image")
        if self.latency_ms is None and (self.device, self.batch) != ("auto", 1):
            raise ValueError("device and batch are those of latency_ms, which is not given")
        if self.constraint not in _EXPONENTS:
            raise unknown("constraint", self.constraint, _EXPONENTS)

    @property
    def of_metrics(self) -> dict[str, float]:
        """The targets, by the metric that each is of."""
        found = {
            "latency_ms": self.latency_ms,
            "params": self.max_params,
            "macs": self.max_macs,
        }
        return {name: value for name, value in found.items() if value is not None}

    def factor(self, metrics: Mapping[str, float]) -> float:
        """The product of each target's `cost_factor`; ValueError where a cost is not known."""
        product = 1.0
        for name, target in self.of_metrics.items():
            if name not in metrics:
                raise ValueError(
                    f"a target of {name}={target:g}, but the evaluator tells no {name!r}; "
                    f"it tells {', '.join(metrics) or 'nothing'}"
                )
            product *= cost_factor(metrics[name], target, *_EXPONENTS[self.constraint])
        return product


@dataclass(frozen=True)
class Constrained:
    """Another reward, whose distance from its floor is multiplied by the targets' factor.

    With a floor of 0, which methods have by default, that is MnasNet's reward. A reward below its
    floor is divided, so that among equals the cheaper one is always the better.
    """

    reward: Reward
    targets: Targets

    def __call__(self, job: Job, evaluation: Evaluation) -> float:
        reward = self.reward(job, evaluation)
        if not evaluation.ok:
            return reward
        floor = self.reward(job, Evaluation({}, evaluation.fidelity, "invalid"))
        factor = self.targets.factor(evaluation.metrics)
        gain = reward - floor
        return floor + (gain * factor if gain > 0 else gain / factor)
