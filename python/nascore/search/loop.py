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
        return Job(number, architecture, seed, deadline_s, init_from, weights)

    def left_s(self) -> float:
        """Seconds until evaluations may no longer start, in a lock's range; 0 when it is so."""
        return min(max(0.0, self.stops_at - time.monotonic()), threading.TIMEOUT_MAX)


class Stage(Protocol):
    """A part of a search; its trials go into the run's store before they are yielded."""

    def run(self, run: Run) -> Iterator[Trial]: ...


@dataclass(frozen=True)
class Search:
    """A method with its settings (`config`, JSON), ready to run; iterate it to do so."""

    method: str
    config: Mapping[str, Any]
    task: str
    seed: int
    stages: Sequence[Stage]

    @property
    def meta(self) -> dict[str, Any]:
        """What a store must agree with, to be this search's."""
        told = {"method": self.method, "config": self.config, "task": self.task, "seed": self.seed}
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
    ) -> Iterator[Trial]:
        """Runs the search, or what is left of it in `store`, and yields each trial once it is told.

        In "fixed" order the history is the same for any number of workers, and after any
        interruption; in "arrival" order results are told as they come, so that no worker waits.
        After `time_limit_s` seconds no evaluation starts any more, and the stage is told what has
        ended, so that the history depends on the limit. `on_result` hears of every
        result at once, before its turn to be told. Without `store` all is kept in memory, without
        `executor` all is done in this process. Raises RunError for a store of another search.
        """
        if order not in ("fixed", "arrival"):
            raise ValueError(f"order={order!r}: it is 'fixed' or 'arrival'")
        if store is not None:
            for key, mine in self.meta.items():
                if store.meta.get(key) != mine:
                    raise RunError(
                        f"run {store.name} is of another search: "
                        f"its {key} is {store.meta.get(key)!r}, not {mine!r}"
                    )
        stops_at = time.monotonic() + time_limit_s
        return self._run(store, executor or InProcess(), order, stops_at, on_result)

    def _run(
        self,
        store: Store | None,
        executor: Executor,
        order: Order,
        stops_at: float,
        on_result: Callable[[Trial], None],
    ) -> Iterator[Trial]:
        with nullcontext(store) if store else Store.create(None, self.meta) as log:
            run = Run(log, executor, self.seed, order, stops_at, on_result)
            for place, stage in enumerate(self.stages):
                yield from stage.run(replace(run, stage=place))
                if run.left_s() <= 0:
                    break
