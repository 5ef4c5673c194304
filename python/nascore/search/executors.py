"""Where evaluations run: in this process, in worker processes, or wherever a library puts them."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from concurrent.futures import Future
from typing import Protocol

from nascore.trial import Evaluation, Evaluator, Job, Status


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


class Watched:
    """Another executor, and how busy its workers are."""

    def __init__(self, executor: Executor) -> None:
        self.workers = executor.workers
        self._executor = executor
        self._lock = threading.Lock()
        self._running = 0
        self._busy_s = 0.0  # of all workers, until `_since`
        self._began = self._since = time.monotonic()

    def submit(self, evaluator: Evaluator, job: Job) -> Future[Evaluation]:
        if not self._busy_s and not self._running:
            self._began = self._since = time.monotonic()
        self._count(1)
        future = self._executor.submit(evaluator, job)
        future.add_done_callback(lambda _: self._count(-1))
        return future

    def utilisation(self) -> float:
        """The share of the workers' time, from the first evaluation on, in which they had one."""
        self._count(0)
        return self._busy_s / (self.workers * max(self._since - self._began, 1e-9))

    def _count(self, change: int) -> None:
        with self._lock:
            now = time.monotonic()
            self._busy_s += min(self._running, self.workers) * (now - self._since)
            self._since = now
            self._running += change


def failed(status: Status, message: str) -> Evaluation:
    """The evaluation of a job of which its worker has nothing to say."""
    return Evaluation({}, "proxy", status, message)


def evaluate(evaluator: Evaluator, job: Job) -> Evaluation:
    [evaluation] = evaluator.evaluate([job])
    return evaluation
