"""The contract of an evaluator. `check(evaluator, architectures)` runs all of it."""

from __future__ import annotations

import json
import math
import pickle
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from nascore.spaces import Architecture
from nascore.trial import Evaluation, Evaluator, Fidelity, Job, Status

# What differs between two measurements of the same thing.
TIMES = {"seconds", "images_per_s"}


def check(
    evaluator: Evaluator, architectures: Sequence[Architecture], files: Path | None = None
) -> list[Evaluation]:
    """Checks `evaluator` on different architectures, and returns their evaluations.

    `files` is the folder of what it reads.
    """
    jobs = [Job(i, found, seed=7, files=files) for i, found in enumerate(architectures)]
    evaluations = evaluator.evaluate(jobs)
    assert len(evaluations) == len(jobs)
    assert evaluator.evaluate([]) == []
    for evaluation in evaluations:
        an_evaluation_is_sound(evaluation)
    jobs_do_not_depend_on_each_other(evaluator, jobs, evaluations)
    keys_name_what_is_measured(evaluator, architectures)
    weights_lie_where_they_are_said(evaluator, jobs, evaluations)
    return evaluations


def an_evaluation_is_sound(evaluation: Evaluation) -> None:
    assert evaluation.fidelity in get_args(Fidelity)
    assert evaluation.status in get_args(Status)
    assert evaluation.ok == (evaluation.message == "")
    assert evaluation.ok == (evaluation.accuracy_metric in evaluation.metrics)
    assert all(math.isfinite(value) for value in evaluation.metrics.values())
    assert 0 <= evaluation.metrics.get(evaluation.accuracy_metric, 0) <= 1
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
    return metrics, evaluation.fidelity, evaluation.status, evaluation.message, evaluation.weights


def keys_name_what_is_measured(evaluator: Evaluator, architectures: Sequence[Architecture]) -> None:
    keys = [evaluator.key(architecture) for architecture in architectures]
    assert len(set(keys)) == len({architecture.hash for architecture in architectures})
    other = pickle.loads(pickle.dumps(evaluator))
    assert keys == [other.key(architecture) for architecture in architectures]


def weights_lie_where_they_are_said(
    evaluator: Evaluator, jobs: Sequence[Job], evaluations: Sequence[Evaluation]
) -> None:
    """Where a job names a folder, else nowhere; to keep them changes no result."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept = evaluator.evaluate([replace(job, weights=folder) for job in jobs])
        left = [evaluation.weights for evaluation in kept if evaluation.weights]
        assert sorted(file.name for file in folder.iterdir()) == sorted(left)
        for job, before, after in zip(jobs, evaluations, kept, strict=True):
            assert before.weights is None
            assert timeless(replace(after, weights=None)) == timeless(before)
            if after.weights:
                child = replace(job, seed=8, weights=folder, init_from=after.weights)
                one, again = evaluator.evaluate([child, child])
                assert timeless(one) == timeless(again)
                assert one.weights not in (None, after.weights)
                assert evaluator.evaluate([replace(child, init_from=None)])[0].weights not in (
                    one.weights,
                    after.weights,
                )
