"""What a search over Ray costs per trial, beside bare Ray, where evaluations cost nothing."""

from __future__ import annotations

import os
import sys
import time
from itertools import count
from pathlib import Path

import pytest

from nascore.agents.random import Random
from nascore.search import AskTell, RayWorkers, Search, Store
from nascore.spaces import ChoicesSpace
from nascore.trial import Job
from side_by_side import Compare, Route

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from toys import ToyEvaluator, accuracy

TESTS = sys.path[-1]  # which Ray's processes need too
os.environ["PYTHONPATH"] = os.pathsep.join([TESTS, os.environ.get("PYTHONPATH", "")])
ray = pytest.importorskip("ray")
SPACE, TRIALS = ChoicesSpace((10,) * 8), 500


@pytest.mark.benchmark(timer=time.perf_counter)
def test_overhead(compare: Compare, tmp_path: Path) -> None:
    folders = (tmp_path / str(i) for i in count())

    @ray.remote
    def bare(job: Job) -> float:
        return 1.0

    with RayWorkers(2) as executor:

        def ours() -> int:
            stage = AskTell(Random(SPACE, 0), ToyEvaluator(), accuracy, TRIALS)
            search = Search("toy", {}, "toy", 0, [stage])
            with Store.create(next(folders), search.meta) as store:
                return len(list(search.run(store, executor, order="arrival")))

        def theirs() -> int:
            job = Job(0, SPACE.architecture((0,) * 8), 0)
            waiting, done = [bare.remote(job), bare.remote(job)], 0
            while waiting:  # two at a time, as our workers are
                [one], waiting = ray.wait(waiting)
                done += int(ray.get(one))
                if done + len(waiting) < TRIALS:
                    waiting.append(bare.remote(job))
            return done

        def agree(*done: int) -> None:
            assert done == (TRIALS, TRIALS)

        compare(
            "trials over Ray with two workers, stored",
            "trials",
            {"nascore": Route(ours, TRIALS), "bare Ray, nothing stored": Route(theirs, TRIALS)},
            agree,
        )
