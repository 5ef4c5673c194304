"""Worker processes, one evaluation each at a time, so that a dead one loses one known job."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import Any, TypeAlias

import torch

from nascore.search.executors import evaluate, failed
from nascore.search.folder import RunError
from nascore.trial import Evaluation, Evaluator, Job

_Pipe: TypeAlias = "Connection[Any, Any]"
_spawn = multiprocessing.get_context("spawn")  # a forked child cannot use OpenMP or CUDA


class Workers:
    """Spawned processes, each led by a thread of its own; leaving the `with` block ends them.

    `gpus` are CUDA device names, which the workers share evenly. A worker that dies costs its
    job a retry, then a failed evaluation; one that is `grace_s` seconds past the job's deadline
    is killed. A script that uses this needs `if __name__ == "__main__":`.
    """

    def __init__(
        self, workers: int, gpus: Sequence[str] = (), *, retries: int = 1, grace_s: float = 30.0
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers={workers}: at least one must do the work")
        self.workers = workers
        self._attempts = retries + 1
        self._grace_s = grace_s
        self._closed = threading.Event()
        self._all: list[_Worker] = []
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for i in range(workers):
            gpu = gpus[i % len(gpus)] if gpus else None
            sharing = len(range(i % len(gpus), workers, len(gpus))) if gpus else 1
            self._all.append(_Worker(gpu, 1 / sharing, self._closed))
            self._idle.put(self._all[-1])
        self._threads = ThreadPoolExecutor(workers, "nascore-worker")

    def submit(self, evaluator: Evaluator, job: Job) -> Future[Evaluation]:
        return self._threads.submit(self._evaluate, evaluator, job)

    def close(self) -> None:
        """Ends the workers at once; what they were doing is lost."""
        self._closed.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._all:
            worker.kill()
        self._threads.shutdown()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _evaluate(self, evaluator: Evaluator, job: Job) -> Evaluation:
        limit = None if job.deadline_s is None else job.deadline_s + self._grace_s
        worker = self._idle.get()
        worker.was_ready = False
        try:
            for _ in range(self._attempts):
                try:
                    return _unpack(worker.ask(evaluator, job, limit))
                except _LateError:
                    return failed(
                        "timed out", f"no answer after {limit:g} s; its worker was killed"
                    )
                except _DiedError:
                    if self._closed.is_set():
                        raise
            if not worker.was_ready:
                raise RunError(
                    f"worker processes die while they start ({worker.last_exit}); does the script "
                    'that uses them say `if __name__ == "__main__":`?'
                )
            message = f"its worker died {self._attempts} times, {worker.last_exit}"
            return failed("lost worker", message)
        finally:
            self._idle.put(worker)


class _DiedError(Exception):
    """A worker process ended before it answered."""


class _LateError(Exception):
    """A worker process did not answer in time."""


# What a worker sends back; an exception comes with the text of its traceback.
_Answer: TypeAlias = Evaluation | tuple[Exception, str]


class _Worker:
    """One process, started when it is needed, as seen from the thread that leads it."""

    def __init__(self, gpu: str | None, gpu_share: float, closed: threading.Event) -> None:
        self.was_ready = False  # for the job at hand, in any attempt
        self.last_exit = ""
        self._gpu = (gpu, gpu_share)
        self._closed = closed
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: _Pipe | None = None
        self._evaluator: Evaluator | None = None

    def ask(self, evaluator: Evaluator, job: Job, limit_s: float | None) -> _Answer:
        """The worker's answer; raises _DiedError or _LateError, and then the process is gone."""
        try:
            connection = self._connection or self._start()
            self.was_ready = True
            # The evaluator is sent once: what it keeps in memory stays there for the next job.
            known = self._evaluator is evaluator
            connection.send((None if known else pickle.dumps(evaluator), job))
            self._evaluator = evaluator
            if not connection.poll(limit_s):
                raise _LateError
            answer: _Answer = connection.recv()
            return answer
        except (EOFError, OSError) as error:
            process = self._process
            if process is not None and not self._closed.is_set():
                process.join(1)  # it is ending: how it does says more than that we killed it
            self.kill()
            raise _DiedError from error
        except _LateError:
            self.kill()
            raise

    def kill(self) -> None:
        process, self._process, self._connection = self._process, None, None
        if process is not None:
            process.kill()
            process.join()
            self.last_exit = f"exit code {process.exitcode}"

    def _start(self) -> _Pipe:
        # A worker inherits this thread's mask: Ctrl-C is for the driver to handle. The tracker
        # comes first, as starting it lifts the mask again.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        ours, theirs = _spawn.Pipe()
        process = _spawn.Process(target=_serve, args=(theirs, *self._gpu), daemon=True)
        process.start()
        theirs.close()
        self._process, self._connection, self._evaluator = process, ours, None
        if self._closed.is_set():  # `close` may have looked before there was a process to kill
            raise EOFError
        ours.recv()
        return ours


def _serve(connection: _Pipe, gpu: str | None, gpu_share: float) -> None:
    """The life of a worker process."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        torch.cuda.set_per_process_memory_fraction(gpu_share)
    with suppress(EOFError, OSError):  # the driver is gone, and nobody wants to hear of it
        connection.send("ready")
        while True:
            pickled, job = connection.recv()
            try:
                if pickled is not None:
                    evaluator = pickle.loads(pickled)
                connection.send(evaluate(evaluator, job))
            except Exception as error:
                connection.send((_portable(error), traceback.format_exc()))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _portable(error: Exception) -> Exception:
    """The exception itself where it survives a pipe, else one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _unpack(answer: _Answer) -> Evaluation:
    if isinstance(answer, Evaluation):
        return answer
    error, text = answer
    raise error from RuntimeError(f"in a worker process:\n{text}")


def visible_gpus() -> list[str]:
    """Names of the CUDA devices that this process may use, for `Workers`."""
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:count] if visible else [str(i) for i in range(count)]
