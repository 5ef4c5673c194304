"""The number that an agent gets for an evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nascore.trial import Evaluation, Job


def early_stop(accuracy: float, mflops: float, density: float, mu: float, rho: float) -> float:
    """BlockQNN's eq. 7: `accuracy` in percent, less the penalties of large and dense blocks."""
    return accuracy - mu * math.log(mflops) - rho * math.log(density)


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
