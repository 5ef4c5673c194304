"""Searches on a Ray cluster of several nodes, on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from nascore.agents.random import Random
from nascore.search import AskTell, RayWorkers, Search, Store
from nascore.spaces import ChoicesSpace
from nascore.trial import Evaluation, Job
from test_faults import told, wait_for
from toys import SPACE, Probe, ToyEvaluator, accuracy, toy_search

ray = pytest.importorskip("ray")
JOBS = [Job(i, SPACE.architecture((i % 4, 0, 0)), i) for i in range(8)]


def connect(address: str) -> None:
    """So that the cluster's processes find the toys."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    ray.init(address, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": path}})


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Of two nodes, with a CPU each."""
    from ray.cluster_utils import Cluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
    connect(cluster.address)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def workers(cluster: Any) -> Iterator[RayWorkers]:
    with RayWorkers(2, cluster.address, grace_s=0.5) as workers:
        yield workers


def test_the_history_is_that_of_one_process(workers: RayWorkers) -> None:
    settings = {"batch": 4, "in_flight": 4}
    assert list(toy_search(40, **settings).run(executor=workers)) == list(
        toy_search(40, **settings)
    )


def test_an_evaluator_is_unpacked_once_by_a_process(workers: RayWorkers) -> None:
    probe = Probe()
    answers = [workers.submit(probe, job) for job in JOBS]
    metrics = [answer.result().metrics for answer in answers]
    processes = {m["process"] for m in metrics}
    assert os.getpid() not in processes
    for process in processes:
        seen = sorted(m["seen"] for m in metrics if m["process"] == process)
        assert seen == list(range(1, len(seen) + 1))


def test_a_lost_process_costs_a_retry_then_the_trial(workers: RayWorkers, tmp_path: Path) -> None:
    once = ToyEvaluator(faults={0: "die once"}, marks=tmp_path)
    assert workers.submit(once, JOBS[0]).result().ok
    assert len(list(tmp_path.iterdir())) == 2
    lost = workers.submit(ToyEvaluator(faults={0: "die"}), JOBS[0]).result()
    assert lost.status == "lost worker"
    assert lost.message


def test_one_that_hangs_is_killed(workers: RayWorkers) -> None:
    job = Job(0, JOBS[0].architecture, 0, deadline_s=0.5)
    found = workers.submit(ToyEvaluator(faults={0: "hang"}), job).result()
    assert (found.status, found.message) == (
        "timed out",
        "no answer after 1 s; its worker was killed",
    )
    assert workers.submit(ToyEvaluator(), JOBS[1]).result().ok


def test_a_bug_in_an_evaluator_is_raised_as_it_is(workers: RayWorkers) -> None:
    with pytest.raises(FileNotFoundError, match="a bug in the evaluator"):
        workers.submit(ToyEvaluator(faults={0: "raise"}), JOBS[0]).result()


def test_too_small_a_cluster_says_so(cluster: Any) -> None:
    with pytest.raises(ValueError, match=r"workers=3: the cluster at .* has 2 CPUs"):
        RayWorkers(3, cluster.address)
    with pytest.raises(ValueError, match="workers=0"):
        RayWorkers(0)


def test_a_killed_node_costs_retries_only(cluster: Any, tmp_path: Path) -> None:
    """Nothing else: the history is that of a search to which nothing happened."""
    settings = {"batch": 2, "in_flight": 2}
    node = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    with (
        RayWorkers(3, cluster.address) as workers,
        Store.create(tmp_path / "run", toy_search(24, **settings).meta) as store,
    ):
        search = toy_search(24, ToyEvaluator(sleep_s=0.1), **settings)
        running = search.run(store, workers)
        before = list(islice(running, 4))
        cluster.remove_node(node, allow_graceful=False)
        trials = before + list(running)
    assert trials == list(toy_search(24, **settings))


def test_a_search_whose_driver_ended_goes_on(workers: RayWorkers, tmp_path: Path) -> None:
    with Store.create(tmp_path / "run", toy_search(20).meta) as store:
        assert list(islice(toy_search(20).run(store, workers), 7))
    with Store.open(tmp_path / "run", write=True) as store:
        list(toy_search(20).run(store, workers))
        assert store.trials() == list(toy_search(20))


DRIVER = """
import sys
from pathlib import Path
from nascore.search import RayWorkers, Store
from test_cluster import connect
from toys import ToyEvaluator, toy_search
connect(sys.argv[2])
search = toy_search(30, ToyEvaluator(sleep_s=0.2), batch=2, in_flight=2)
with RayWorkers(2, sys.argv[2]) as workers, Store.create(Path(sys.argv[1]), search.meta) as store:
    list(search.run(store, workers))
"""


def test_a_search_whose_driver_was_killed_goes_on(cluster: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-c", DRIVER, str(run), cluster.address]
    driver = subprocess.Popen(command, cwd=Path(__file__).parent, stderr=subprocess.DEVNULL)
    wait_for(lambda: told(run) >= 3)
    driver.kill()
    driver.wait()
    settings = {"batch": 2, "in_flight": 2}
    with RayWorkers(2, cluster.address) as workers, Store.open(run, write=True) as store:
        assert 3 <= len(store.trials()) < 30
        list(toy_search(30, **settings).run(store, workers))
        assert store.trials() == list(toy_search(30, **settings))
        assert store.pending(0) == []


def many(trials: int, evaluator: ToyEvaluator | None = None) -> Search:
    """A search that hardly ever repeats an architecture."""
    agent = Random(ChoicesSpace((10,) * 8), 0)
    stage = AskTell(agent, evaluator or ToyEvaluator(), accuracy, trials)
    return Search("toy", {}, "toy", 0, [stage])


@dataclass(frozen=True)
class Company(ToyEvaluator):
    """Each but the last of `trials` waits until another one runs beside it, and says if one did.

    And on which of the cluster's GPUs it ran, where it has been given one.
    """

    trials: int = 0

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        assert self.marks is not None
        [job], [found] = jobs, ToyEvaluator().evaluate(jobs)
        mine = self.marks / f"running-{job.number}"
        mine.touch()
        (self.marks / f"begun-{job.number}").touch()
        end = time.monotonic() + 60
        while not (company := any(self.marks.glob(f"{job.number}-met-*"))):
            for other in set(self.marks.glob("running-*")) - {mine}:
                company = True  # and the other one hears of it, should it look too late
                (self.marks / f"{other.name[8:]}-met-{job.number}").touch()
            last = len(list(self.marks.glob("begun-*"))) == self.trials
            if company or last or time.monotonic() > end:
                break
            time.sleep(0.01)
        mine.unlink()
        gpus = ray.get_runtime_context().get_accelerator_ids()["GPU"]
        metrics = {"company": float(company or last), "gpu": float(gpus[0] if gpus else -1)}
        return [replace(found, metrics={**found.metrics, **metrics})]


def test_in_arrival_order_no_worker_waits_and_staleness_is_told(
    workers: RayWorkers, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    search = many(30, Company(marks=marks, trials=30))
    with Store.create(tmp_path / "run", search.meta) as store:
        trials = list(search.run(store, workers, order="arrival"))
        staleness = store.staleness()
    assert sorted(t.number for t in trials) == list(range(30))
    assert all(t.metrics["company"] for t in trials)
    assert len(staleness) == 30
    assert max(staleness) >= 1


def test_workers_share_the_clusters_gpus(cluster: Any, tmp_path: Path) -> None:
    """One that is there in name alone: torch is not asked for it where it has none."""
    node = cluster.add_node(num_cpus=2, num_gpus=1)
    cluster.wait_for_nodes()
    try:
        with RayWorkers(2, cluster.address) as workers:
            evaluator = Company(marks=tmp_path, trials=3)
            answers = [workers.submit(evaluator, job) for job in JOBS[:2]]
            metrics = [answer.result().metrics for answer in answers]
    finally:
        cluster.remove_node(node)
    assert [(m["gpu"], m["company"]) for m in metrics] == [(0, 1)] * 2


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_thousand_evaluations(cluster: Any, tmp_path: Path) -> None:
    search = many(10_000)
    with (
        RayWorkers(2, cluster.address) as workers,
        Store.create(tmp_path / "run", search.meta) as store,
    ):
        trials = list(search.run(store, workers, order="arrival"))
    alone = list(many(10_000))
    assert len({t.architecture.hash for t in alone}) > 9_990
    assert sorted(trials, key=lambda t: t.number) == alone
