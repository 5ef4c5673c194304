"""A search is a sequence of stages over one store; a `Run` is what a stage sees of it."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from nascore import _core
from nascore.search.executors import Executor, InProcess
from nascore.search.folder import RunError
from nascore.search.store import Store
from nascore.search.weights import folder_of
from nascore.spaces import Architecture
from nascore.trial import Job, Trial, WeightsRef

Order = Literal["fixed", "arrival"]


@dataclass(frozen=True)
class Run:
    """What a stage sees of the run that it is a part of; `stage` is its place in the search."""

    store: Store
    executor: Executor
    seed: int
    order: Order
    stops_at: float  # no evaluation starts after this time of `time.monotonic`
    on_result: Callable[[Trial], None]
    on_progress: Callable[[str, int, int], None]  # what goes on without trials, done, of how many
    folder: Path | None = None  # of what stages leave to each other; none behind a URL
    stage: int = 0

    def job(
        self,
        number: int,
        architecture: Architecture,
        deadline_s: float | None,
        init_from: WeightsRef | None = None,
        weights: Path | None = None,
    ) -> Job:
        """The evaluation of a trial, with a seed of its own."""
        seed = int(_core.integers(self.seed, 1, number, 1, 2**31)[0])
        return Job(number, architecture, seed, deadline_s, init_from, weights, self.folder)

    @property
    def first(self) -> int:
        """The number of the stage's first trial: how many the stages before it asked for."""
        return sum(map(self.store.asked, range(self.stage)))

    @property
    def files(self) -> Path:
        """The folder of what stages leave to each other; RunError for a run behind a URL."""
        if self.folder is None:
            raise RunError(f"run {self.store.name} keeps files, so it needs a folder, not a URL")
        return self.folder

    def left_s(self) -> float:
        """Seconds until evaluations may no longer start, in a lock's range; 0 when it is so."""
        return min(max(0.0, self.stops_at - time.monotonic()), threading.TIMEOUT_MAX)


class Stage(Protocol):
    """A part of a search, of so many trials, which are in the run's store before it yields them."""

    @property
    def trials(self) -> int: ...
    def run(self, run: Run) -> Iterator[Trial]: ...


@dataclass(frozen=True)
class Search:
    """A method with its settings (`config`, JSON), ready to run; iterate it to do so.

    `shape` is the images', where the space depends on it: reports draw without the data set.
    """

    method: str
    config: Mapping[str, Any]
    task: str
    seed: int
    stages: Sequence[Stage]
    shape: tuple[int, ...] | None = None
    targets: Mapping[str, Any] | None = None  # of costs in the reward, if there are any

    @property
    def trials(self) -> int:
        """How many there are when the search is complete."""
        return sum(stage.trials for stage in self.stages)

    @property
    def meta(self) -> dict[str, Any]:
        """What a store must agree with, to be this search's."""
        names = ("method", "config", "task", "seed", "trials", "shape", "targets")
        told = {name: getattr(self, name) for name in names}
        meta: dict[str, Any] = json.loads(json.dumps(told))
        return meta

    def __iter__(self) -> Iterator[Trial]:
        return self.run()

    def run(
        self,
        store: Store | None = None,
        executor: Executor | None = None,
        *,
        order: Order = "fixed",
        time_limit_s: float = math.inf,
        on_result: Callable[[Trial], None] = lambda trial: None,
        on_progress: Callable[[str, int, int], None] = lambda label, done, total: None,
    ) -> Iterator[Trial]:
        """Runs the search, or what is left of it in `store`, and yields each trial once it is told.

        In "fixed" order the history is the same for any number of workers, and after any
        interruption; in "arrival" order results are told as they come, so that no worker waits.
        After `time_limit_s` seconds no evaluation starts any more, and the stage is told what has
        ended, so that the history depends on the limit. `on_result` hears of every result at once,
        before its turn to be told; `on_progress` of long work that makes no trials: what it is, how
        much of it is done, and how much there is. Without `store` all is kept in memory, without
        `executor` all is done in this process. Raises RunError for a store of another search.
        """
        if order not in ("fixed", "arrival"):
            raise ValueError(f"order={order!r}: it is 'fixed' or 'arrival'")
        if store is not None:
            for key, mine in self.meta.items():
                if key not in ("trials", "shape") and store.meta.get(key) != mine:
                    raise RunError(
                        f"run {store.name} is of another search: "
                        f"its {key} is {store.meta.get(key)!r}, not {mine!r}"
                    )
        stops_at = time.monotonic() + time_limit_s
        told = (on_result, on_progress)
        return self._run(store, executor or InProcess(), order, stops_at, *told)

    def _run(
        self,
        store: Store | None,
        executor: Executor,
        order: Order,
        stops_at: float,
        on_result: Callable[[Trial], None],
        on_progress: Callable[[str, int, int], None],
    ) -> Iterator[Trial]:
        with (
            nullcontext(store) if store else Store.create(None, self.meta) as log,
            folder_of(log) as folder,
        ):
            run = Run(log, executor, self.seed, order, stops_at, on_result, on_progress, folder)
            for place, stage in enumerate(self.stages):
                yield from stage.run(replace(run, stage=place))
                if run.left_s() <= 0:
                    break
