"""Evaluations on a Ray cluster, which may be one machine or many."""

from __future__ import annotations

import logging
import math
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from nascore.search.executors import evaluate, failed
from nascore.trial import Evaluation, Evaluator, Job


class RayWorkers:
    """`workers` evaluations at a time on the cluster at `address`; None starts one on this machine.

    An evaluator, and so its data, goes into Ray's object store once and is unpacked once by each of
    Ray's processes. The cluster's GPUs are shared evenly. A lost process or machine costs its jobs
    a retry, then a failed evaluation; a job that is `grace_s` seconds past its deadline is killed.
    What stages leave to each other must lie in a folder that all machines see. Leaving the `with`
    block disconnects, and ends the cluster that was started here.

    Raises ImportError without the extra `ray`, ValueError where the cluster has too few CPUs.
    """

    def __init__(
        self, workers: int, address: str | None = None, *, retries: int = 1, grace_s: float = 30.0
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers={workers}: at least one must do the work")
        try:
            import ray
        except ImportError as error:
            message = "a search on a cluster needs Ray: pip install 'nascore[ray]'"
            raise ImportError(message) from error
        self.workers = workers
        self._ray = ray
        self._connected = not ray.is_initialized()
        if self._connected:
            ours = {"num_cpus": workers, "include_dashboard": False} if address is None else {}
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **ours)
        have = ray.cluster_resources()
        if have.get("CPU", 0) < workers:  # its jobs' deadlines would pass while they wait
            self._disconnect()
            raise ValueError(
                f"workers={workers}: the cluster at {address} has {have.get('CPU', 0):g} CPUs, and "
                "each worker needs one"
            )
        gpus = have.get("GPU", 0)
        self._share = 1 / math.ceil(workers / gpus) if gpus else 0.0
        self._grace_s = grace_s
        self._task = ray.remote(_evaluate).options(
            num_cpus=1, num_gpus=self._share, max_retries=retries
        )
        self._lock = threading.Lock()
        self._stored: tuple[Evaluator, Any] | None = None  # the last one and its reference
        self._threads = ThreadPoolExecutor(workers, "nascore-ray")

    def submit(self, evaluator: Evaluator, job: Job) -> Future[Evaluation]:
        return self._threads.submit(self._wait, evaluator, job)

    def close(self) -> None:
        """Leaves the cluster at once; what it was doing for this search is lost."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._disconnect()

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _disconnect(self) -> None:
        if self._connected:
            self._ray.shutdown()

    def _wait(self, evaluator: Evaluator, job: Job) -> Evaluation:
        errors = self._ray.exceptions
        limit = None if job.deadline_s is None else job.deadline_s + self._grace_s
        answer = self._task.remote([self._reference(evaluator)], self._share, job)
        try:
            evaluation: Evaluation = self._ray.get(answer, timeout=limit)
            return evaluation
        except errors.GetTimeoutError:
            self._ray.cancel(answer, force=True)
            return failed("timed out", f"no answer after {limit:g} s; its worker was killed")
        except errors.OutOfMemoryError as error:
            return failed("out of memory", _line(error))
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError) as error:
            return failed("lost worker", _line(error))
        except errors.RayTaskError as error:
            raise error.cause from error

    def _reference(self, evaluator: Evaluator) -> Any:
        with self._lock:
            if self._stored is None or self._stored[0] is not evaluator:
                self._stored = (evaluator, self._ray.put(evaluator))
            return self._stored[1]


_known: dict[str, Evaluator] = {}  # of one of Ray's processes: the last evaluator, by its reference


def _evaluate(boxed: list[Any], gpu_share: float, job: Job) -> Evaluation:
    """What one of Ray's processes does; a reference in a list is not fetched unless asked for."""
    import ray

    [reference] = boxed
    name = reference.hex()
    if name not in _known:
        torch.set_num_threads(1)
        if gpu_share and torch.cuda.is_available():  # Ray believes what its nodes declare
            torch.cuda.set_per_process_memory_fraction(gpu_share)
        _known.clear()
        _known[name] = ray.get(reference)
    return evaluate(_known[name], job)


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
