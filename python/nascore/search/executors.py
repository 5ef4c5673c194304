"""Where evaluations run: in this process, in worker processes, or wherever a library puts them."""

from __future__ import annotations

import concurrent.futures
from concurrent.futures import Future
from typing import Protocol

from nascore.trial import Evaluation, Evaluator, Job


class Executor(Protocol):
    """Who runs evaluations, `workers` of them at a time."""

    workers: int

    def submit(self, evaluator: Evaluator, job: Job) -> Future[Evaluation]: ...


class InProcess:
    """Evaluates while `submit` is called."""

    workers = 1

    def submit(self, evaluator: Evaluator, job: Job) -> Future[Evaluation]:
        future: Future[Evaluation] = Future()
        try:
            future.set_result(evaluate(evaluator, job))
        except Exception as error:
            future.set_exception(error)
        return future


class Pool:
    """Any `concurrent.futures.Executor`, with room for `workers` evaluations at a time."""

    def __init__(self, executor: concurrent.futures.Executor, workers: int) -> None:
        self.workers = workers
        self._executor = executor

    def submit(self, evaluator: Evaluator, job: Job) -> Future[Evaluation]:
        return self._executor.submit(evaluate, evaluator, job)


def evaluate(evaluator: Evaluator, job: Job) -> Evaluation:
    [evaluation] = evaluator.evaluate([job])
    return evaluation
