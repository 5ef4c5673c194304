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

ray = pytest.importorskip("ray")
TESTS = str(Path(__file__).parents[1] / "tests")
sys.path.append(TESTS)
os.environ["PYTHONPATH"] = os.pathsep.join([TESTS, os.environ.get("PYTHONPATH", "")])
from toys import ToyEvaluator, toy_search

from nascore.search import RayWorkers, Store, Watched
from nascore.trial import Job

SLEEP_S, TRIALS, MANY = 0.25, 80, 10_000


def test_scaling(benchmark: Any) -> None:
    seconds = {}

    def search(workers: int) -> float:
        with RayWorkers(workers) as executor:
            list(toy_search(workers, batch=workers).run(executor=executor))  # processes start
            watched = Watched(executor)
            sleepy = toy_search(TRIALS, ToyEvaluator(sleep_s=SLEEP_S))
            began = time.perf_counter()
            distinct = {
                t.architecture.hash for t in sleepy.run(executor=watched, order="arrival")
            }
            seconds[workers] = time.perf_counter() - began
            efficiency = len(distinct) * SLEEP_S / seconds[workers] / workers
            print(
                f"\n{workers} workers: efficiency {efficiency:.3f}, busy {watched.utilisation():.1%}"
            )
            return efficiency

    found = {workers: search(workers) for workers in (1, 2)}
    found[4] = benchmark.pedantic(search, (4,), rounds=1)
    benchmark.extra_info.update({f"efficiency_{n}": value for n, value in found.items()})


def test_overhead(benchmark: Any, tmp_path: Path) -> None:
    job = Job(0, toy_search(1).stages[0].agent.ask(1)[0].architecture, 0)

    @ray.remote
    def bare(job: Job) -> float:
        return 1.0

    with RayWorkers(2) as executor:
        list(toy_search(2, batch=2).run(executor=executor))
        ray.get([bare.remote(job) for _ in range(100)])
        began = time.perf_counter()
        waiting = [bare.remote(job), bare.remote(job)]
        for _ in range(2000):  # two at a time, as our workers are
            [_, *_], waiting = ray.wait(waiting)
            waiting.append(bare.remote(job))
        alone = (time.perf_counter() - began) / 2000

        def search() -> int:
            wanted = toy_search(MANY, distinct=True)
            with Store.create(tmp_path / "run", wanted.meta) as store:
                return len(list(wanted.run(store, executor, order="arrival")))

        assert benchmark.pedantic(search, rounds=1) == MANY
    ours = benchmark.stats.stats.min / MANY
    benchmark.extra_info.update(ours_s=ours, bare_s=alone)
    print(f"\n{MANY:,} trials: {1e3 * ours:.2f} ms each, bare Ray {1e3 * alone:.2f} ms")
