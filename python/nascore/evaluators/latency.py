"""How long a network takes on this machine, while nothing is trained beside it."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import math
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from nascore.files import cache_folder, write_whole
from nascore.machine import processor
from nascore.networks import build
from nascore.networks.latency import latency_ms
from nascore.networks.scoring import find_device
from nascore.networks.training import is_out_of_memory
from nascore.search.folder import RunError
from nascore.spaces import AnySkeleton, Architecture
from nascore.tasks import Task
from nascore.trial import Evaluation, Evaluator, Job


class Builds(Evaluator, Protocol):
    """An evaluator that puts architectures into a skeleton, for the images of a task."""

    @property
    def task(self) -> Task: ...
    @property
    def skeleton(self) -> AnySkeleton: ...


@dataclass(frozen=True)
class Timed:
    """Another evaluator, whose results have the metric `latency_ms` too; weights are random.

    While it evaluates it holds a lock of this machine together with others; to time a network it
    holds it alone, and those who come later wait. What was measured is kept for all runs in the
    cache, by architecture, skeleton, device, batch, threads and versions. `deadline_s` is what an
    evaluation may take without the waiting. Raises ValueError where `evaluator` builds no network,
    or the device is not there; RunError where the cache cannot be used.
    """

    evaluator: Builds
    device: str = "auto"
    batch: int = 1
    threads: int = 1
    deadline_s: float | None = None

    def __post_init__(self) -> None:
        if not hasattr(self.evaluator, "skeleton") or not hasattr(self.evaluator, "task"):
            raise ValueError(
                f"latency: {type(self.evaluator).__name__} builds no network that could be timed; "
                "it needs the attributes `task` and `skeleton`"
            )
        find_device(self.device)

    def key(self, architecture: Architecture) -> str:
        how = f"{self.device}-{self.batch}-{self.threads}"
        return f"{self.evaluator.key(architecture)}-{how}"

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        return [self._evaluate(job) for job in jobs]

    def _evaluate(self, job: Job) -> Evaluation:
        with _beside_others():
            [found] = self.evaluator.evaluate([replace(job, deadline_s=self.deadline_s)])
        if not found.ok:
            return found
        try:
            latency = self.latency(job.architecture)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            metrics = {n: v for n, v in found.metrics.items() if n != found.accuracy_metric}
            message = f"timing a batch of {self.batch}: {str(error).partition(chr(10))[0]}"
            return replace(found, metrics=metrics, status="out of memory", message=message)
        return replace(found, metrics={**found.metrics, "latency_ms": latency})

    def latency(self, architecture: Architecture) -> float:
        """Milliseconds, as the cache has them or else measured now."""
        file = self._file(architecture)
        if (known := _read(file)) is not None:
            return known
        with _alone():
            if (known := _read(file)) is not None:  # of another worker, while this one waited
                return known
            found = self._measure(architecture)
        with _caching():
            write_whole(file, json.dumps({"latency_ms": found}).encode())
        return found

    def _measure(self, architecture: Architecture) -> float:
        task = self.evaluator.task
        network = build(architecture, task, self.evaluator.skeleton)
        return latency_ms(network, task.shape, self.device, self.batch, self.threads)

    def _file(self, architecture: Architecture) -> Path:
        task, skeleton = self.evaluator.task, self.evaluator.skeleton
        what: list[Any] = [
            *(architecture.space, architecture.hash, type(skeleton).__name__, asdict(skeleton)),
            *(task.shape, task.classes, device_name(self.device), self.batch, self.threads),
            *(torch.__version__, importlib.metadata.version("nascore")),
        ]
        digest = hashlib.blake2b(json.dumps(what).encode(), digest_size=16).hexdigest()
        return _folder() / f"{digest}.json"


def device_name(device: str | torch.device = "auto") -> str:
    """The model of a GPU, or of this machine's processor."""
    device = find_device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor()


def _read(file: Path) -> float | None:
    """What was measured; None where there is nothing, or nothing that can be read."""
    try:
        latency = float(json.loads(file.read_text(encoding="utf-8"))["latency_ms"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return latency if 0 < latency < math.inf else None


def _folder() -> Path:
    folder = cache_folder() / "latency"
    with _caching():
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _caching() -> Iterator[None]:
    """Tells a user whose cache cannot be written what to do."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot keep latencies in {cache_folder()} ({error.strerror}); make room, or set "
            "NASCORE_CACHE to a folder on another disk"
        ) from error


# Two locks, as with one those who share it could keep out for ever who wants it alone. Who wants to
# be alone in the room shares the gate until it was; who enters beside others needs the gate alone
# for a moment. So all who wait to be alone come one after the other, then the others: each of them
# must train before it times again. The kernel lets go of both when a process ends, however it does.


@contextmanager
def _beside_others() -> Iterator[None]:
    """Holds this machine's lock together with others."""
    with _locked("gate", fcntl.LOCK_EX):
        room = _lock("room", fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(room)


@contextmanager
def _alone() -> Iterator[None]:
    """Holds this machine's lock alone."""
    with _locked("gate", fcntl.LOCK_SH), _locked("room", fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(name: str, how: int) -> Iterator[None]:
    file = _lock(name, how)
    try:
        yield
    finally:
        os.close(file)


def _lock(name: str, how: int) -> int:
    path = _folder() / f"{name}-{socket.gethostname()}.lock"  # a cache may be of many machines
    with _caching():
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, how)
        except BaseException:
            os.close(file)
            raise
    return file
