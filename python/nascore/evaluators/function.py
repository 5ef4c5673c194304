"""Scores that a function of one's own gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nascore.spaces import Architecture
from nascore.trial import Evaluation, Fidelity, Job

Score = Callable[[Architecture], "float | Mapping[str, float]"]


@dataclass(frozen=True)
class FunctionEvaluator:
    """What `score` says of an architecture: a number from 0 to 1, the greater the better.

    It may say more, by name, as long as `val_accuracy` is that number; all of it is kept with the
    trial. Worker processes take a function that pickles: one of a module, no lambda. What it
    raises, and what is not finite, is a failed trial with that message; the search goes on. Raises
    ValueError for a number that is not from 0 to 1.
    """

    score: Score
    fidelity: Fidelity = "full"

    def key(self, architecture: Architecture) -> str:
        """Isomorphic architectures are scored once."""
        name = getattr(self.score, "__qualname__", type(self.score).__qualname__)
        return f"{architecture.hash}-{name}"

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        return [self._evaluate(job.architecture) for job in jobs]

    def _evaluate(self, architecture: Architecture) -> Evaluation:
        try:
            found = self.score(architecture)
        except (
            Exception
        ) as error:  # whatever an architecture does to a function that we do not know
            return Evaluation({}, self.fidelity, "invalid", f"{type(error).__name__}: {error}")
        given = found if isinstance(found, Mapping) else {"val_accuracy": found}
        metrics = {name: float(value) for name, value in given.items()}
        if strange := [name for name, value in metrics.items() if not math.isfinite(value)]:
            finite = {name: value for name, value in metrics.items() if name not in strange}
            message = f"{strange[0]} is {metrics[strange[0]]}"
            return Evaluation(finite, self.fidelity, "not finite", message)
        if not 0 <= metrics.get("val_accuracy", -1) <= 1:
            raise ValueError(
                f"score gave {found} for {architecture.text}; it must be a number from 0 to 1, or "
                "a mapping with val_accuracy in it: divide percents by 100, and map losses there, "
                "such as 1 / (1 + loss)"
            )
        return Evaluation(metrics, self.fidelity)
