"""How good the predictions of a run were, in figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nascore.results.trial_pictures import rank_correlation
from nascore.trial import Trial


def quality(trials: Sequence[Trial]) -> dict[str, float]:
    """Of the trials of which an accuracy was predicted before they were measured.

    Chosen were those that looked promising, so of all architectures the figures say little.
    """
    tested = [
        (trial.metrics["predicted_accuracy"], trial.metrics["val_accuracy"])
        for trial in trials
        if trial.evaluation.ok and {"predicted_accuracy", "val_accuracy"} <= trial.metrics.keys()
    ]
    if len(tested) < 2:
        return {}
    guess, truth = np.array(tested).T
    found = {
        "predicted trials": float(len(tested)),
        "mean error of predictions": round(float(np.abs(guess - truth).mean()), 4),
    }
    tau = rank_correlation(guess, truth)
    if math.isfinite(tau):  # not where all are equal
        found["Kendall's tau of predictions"] = round(tau, 4)
    return found
