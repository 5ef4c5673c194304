"""The contract of an evaluator. `check(evaluator, architectures)` runs all of it."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Sequence
from typing import get_args

from nascore.spaces import Architecture
from nascore.trial import Evaluation, Evaluator, Fidelity, Job, Status

# What differs between two measurements of the same thing.
TIMES = {"seconds", "images_per_s"}


def check(evaluator: Evaluator, architectures: Sequence[Architecture]) -> list[Evaluation]:
    """Checks `evaluator` on different architectures, and returns their evaluations."""
    jobs = [Job(i, architecture, seed=7) for i, architecture in enumerate(architectures)]
    evaluations = evaluator.evaluate(jobs)
    assert len(evaluations) == len(jobs)
    assert evaluator.evaluate([]) == []
    for evaluation in evaluations:
        an_evaluation_is_sound(evaluation)
    jobs_do_not_depend_on_each_other(evaluator, jobs, evaluations)
    keys_name_what_is_measured(evaluator, architectures)
    return evaluations


def an_evaluation_is_sound(evaluation: Evaluation) -> None:
    assert evaluation.fidelity in get_args(Fidelity)
    assert evaluation.status in get_args(Status)
    assert evaluation.ok == (evaluation.message == "")
    assert evaluation.ok == ("val_accuracy" in evaluation.metrics)
    assert all(math.isfinite(value) for value in evaluation.metrics.values())
    assert 0 <= evaluation.metrics.get("val_accuracy", 0) <= 1
    assert not any("test" in name for name in evaluation.metrics)  # validation searches
    record = json.dumps(evaluation.to_json(), allow_nan=False)
    assert Evaluation.from_json(json.loads(record)) == evaluation


def jobs_do_not_depend_on_each_other(
    evaluator: Evaluator, jobs: Sequence[Job], evaluations: Sequence[Evaluation]
) -> None:
    """In another process, in another order, the results are the same."""
    other = pickle.loads(pickle.dumps(evaluator))
    again = other.evaluate(list(reversed(jobs)))
    for first, second in zip(evaluations, reversed(again), strict=True):
        assert timeless(first) == timeless(second)


def timeless(evaluation: Evaluation) -> tuple[object, ...]:
    metrics = {name: value for name, value in evaluation.metrics.items() if name not in TIMES}
    return metrics, evaluation.fidelity, evaluation.status, evaluation.message


def keys_name_what_is_measured(evaluator: Evaluator, architectures: Sequence[Architecture]) -> None:
    keys = [evaluator.key(architecture) for architecture in architectures]
    assert len(set(keys)) == len({architecture.hash for architecture in architectures})
    other = pickle.loads(pickle.dumps(evaluator))
    assert keys == [other.key(architecture) for architecture in architectures]
