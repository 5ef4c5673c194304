"""Searches on a Ray cluster of several nodes, on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from nascore.search import RayWorkers, Store
from nascore.trial import Job
from test_faults import told, wait_for
from toys import SPACE, Probe, ToyEvaluator, toy_search

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


def test_in_arrival_order_no_worker_waits_and_staleness_is_told(
    workers: RayWorkers, tmp_path: Path
) -> None:
    with Store.create(tmp_path / "run", toy_search(30).meta) as store:
        trials = list(
            toy_search(30, ToyEvaluator(sleep_s=0.01)).run(store, workers, order="arrival")
        )
        staleness = store.staleness()
    assert sorted(t.number for t in trials) == list(range(30))
    assert len(staleness) == 30
    assert max(staleness) >= 1
