"""Ray's share of a search: scaling with evaluations that sleep, and time per trial beside bare Ray.

All on this machine; a worker that sleeps needs no processor, so that four fit on two.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nascore.agents.random import Random
from nascore.search import AskTell, RayWorkers, Search, Store, Watched
from nascore.spaces import ChoicesSpace
from nascore.trial import Job

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from toys import ToyEvaluator, accuracy

TESTS = sys.path[-1]  # which Ray's processes need too
os.environ["PYTHONPATH"] = os.pathsep.join([TESTS, os.environ.get("PYTHONPATH", "")])
ray = pytest.importorskip("ray")
SPACE = ChoicesSpace((10,) * 8)
SLEEP_S, TRIALS, MANY = 0.25, 80, 10_000


def search_of(trials: int, sleep_s: float = 0.0, batch: int = 1) -> Search:
    stage = AskTell(Random(SPACE, 0), ToyEvaluator(sleep_s), accuracy, trials, batch=batch)
    return Search("toy", {"trials": trials}, "toy", 0, [stage])


def test_scaling(benchmark: Any) -> None:
    found = {}

    def search(workers: int) -> None:
        with RayWorkers(workers) as executor:
            list(search_of(workers, batch=workers).run(executor=executor))  # its processes start
            watched = Watched(executor)
            began = time.perf_counter()
            list(search_of(TRIALS, SLEEP_S).run(executor=watched, order="arrival"))
            found[workers] = TRIALS * SLEEP_S / (time.perf_counter() - began) / workers
            print(
                f"\n{workers} workers: efficiency {found[workers]:.3f}, "
                f"busy {watched.utilisation():.1%}"
            )

    search(1)
    search(2)
    benchmark.pedantic(search, (4,), rounds=1)
    benchmark.extra_info.update({f"efficiency_{n}": value for n, value in found.items()})


def test_overhead(benchmark: Any, tmp_path: Path) -> None:
    @ray.remote
    def bare(job: Job) -> float:
        return 1.0

    with RayWorkers(2) as executor:
        list(search_of(2, batch=2).run(executor=executor))
        job = Job(0, SPACE.architecture((0,) * 8), 0)
        waiting = [bare.remote(job), bare.remote(job)]
        ray.get(waiting)
        began = time.perf_counter()
        for _ in range(2000):  # two at a time, as our workers are
            _, waiting = ray.wait(waiting)
            waiting.append(bare.remote(job))
        alone = (time.perf_counter() - began) / 2000

        def search() -> int:
            wanted = search_of(MANY)
            with Store.create(tmp_path / "run", wanted.meta) as store:
                return len(list(wanted.run(store, executor, order="arrival")))

        assert benchmark.pedantic(search, rounds=1) == MANY
    ours = benchmark.stats.stats.min / MANY
    benchmark.extra_info.update(ours_s=ours, bare_s=alone)
    print(f"\n{MANY:,} trials: {1e3 * ours:.2f} ms each, bare Ray {1e3 * alone:.2f} ms")
