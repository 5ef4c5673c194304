"""Worker processes: one job each at a time, and what becomes of the jobs of bad ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from nascore.search import InProcess, RunError, Workers, visible_gpus
from nascore.trial import Evaluation, Job
from toys import SPACE, Probe, ToyEvaluator, leave, toy_search

JOBS = [Job(i, SPACE.architecture((i % 4, 0, 0)), i) for i in range(8)]


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(2, grace_s=0.3) as workers:
        yield workers


@dataclass(frozen=True)
class Bad(ToyEvaluator):
    """Raises what cannot be sent."""

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        class LocalError(Exception):
            pass

        raise LocalError("cannot leave this function")


def test_workers_find_what_this_process_finds(workers: Workers) -> None:
    here = [InProcess().submit(ToyEvaluator(), job).result() for job in JOBS]
    there = [workers.submit(ToyEvaluator(), job) for job in JOBS]
    assert [future.result() for future in there] == here


def test_a_worker_keeps_its_evaluator_and_one_thread(workers: Workers) -> None:
    probe = Probe()
    found = [f.result().metrics for f in [workers.submit(probe, job) for job in JOBS]]
    processes = {metrics["process"] for metrics in found}
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert {metrics["threads"] for metrics in found} == {1}
    # Each copy counted on: none was sent a second time.
    counts = {p: [m["seen"] for m in found if m["process"] == p] for p in processes}
    assert all(sorted(seen) == list(range(1, len(seen) + 1)) for seen in counts.values())


def test_a_death_costs_a_retry(workers: Workers, tmp_path: Path) -> None:
    evaluator = ToyEvaluator(faults={0: "die once"}, marks=tmp_path)
    assert workers.submit(evaluator, JOBS[0]).result().ok
    assert len(list(tmp_path.iterdir())) == 2


def test_a_second_death_costs_the_trial_not_the_run(workers: Workers, tmp_path: Path) -> None:
    evaluator = ToyEvaluator(faults={3: "die"}, marks=tmp_path)
    history = list(toy_search(6, evaluator, batch=2).run(executor=workers))
    assert [t.evaluation.status for t in history] == ["ok"] * 3 + ["lost worker"] + ["ok"] * 2
    assert "died 2 times, exit code -9" in history[3].evaluation.message
    assert history[3].reward == -1.0
    assert len(list(tmp_path.glob("3-*"))) == 2


def test_workers_that_start_no_more_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is at fault, and no architecture may pay for it."""
    with Workers(1) as workers:
        assert workers.submit(ToyEvaluator(), JOBS[0]).result().ok
        monkeypatch.setattr("nascore.search.workers._serve", leave)
        evaluator = ToyEvaluator(faults={1: "die"})
        assert workers.submit(evaluator, JOBS[1]).result().status == "lost worker"
        with pytest.raises(RunError, match=r"die while they start \(exit code 0\)"):
            workers.submit(evaluator, JOBS[2]).result()


def test_a_hang_costs_the_trial_not_the_run(workers: Workers) -> None:
    search = toy_search(5, ToyEvaluator(faults={1: "hang"}), deadline_s=0.2)
    history = list(search.run(executor=workers))
    assert [t.evaluation.status for t in history] == ["ok", "timed out", "ok", "ok", "ok"]
    assert "no answer after 0.5 s" in history[1].evaluation.message


def test_a_bug_in_the_evaluator_comes_back_with_its_place(workers: Workers) -> None:
    with pytest.raises(FileNotFoundError, match="a bug") as caught:
        workers.submit(ToyEvaluator(faults={0: "raise"}), JOBS[0]).result()
    assert "toys.py" in str(caught.value.__cause__)
    with pytest.raises(RuntimeError, match="LocalError: cannot leave this function"):
        workers.submit(Bad(), JOBS[0]).result()


def test_leaving_ends_workers_at_once(tmp_path: Path) -> None:
    evaluator = ToyEvaluator(faults={0: "hang", 1: "hang"}, marks=tmp_path)
    with Workers(2) as workers:
        futures = [workers.submit(evaluator, job) for job in JOBS]
        wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
        children = psutil.Process().children()
        start = time.monotonic()
    assert time.monotonic() - start < 1
    assert all(future.done() for future in futures)
    pids = {int(mark.name.split("-")[-1]) for mark in tmp_path.iterdir()}
    assert pids <= {child.pid for child in children}
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_leaving_before_they_have_started() -> None:
    with Workers(2) as workers:
        futures = [workers.submit(ToyEvaluator(), job) for job in JOBS]
    assert all(future.done() for future in futures)


def test_no_workers_is_refused() -> None:
    with pytest.raises(ValueError, match="workers=0"):
        Workers(0)


SCRIPT = """
import sys
from toys import ToyEvaluator, toy_search
from nascore.search import Workers

{guard}
    with Workers(1) as workers:
        for trial in toy_search(3, ToyEvaluator(**{settings})).run(executor=workers):
            print(trial.number, flush=True)
"""


def script(folder: Path, guard: str, settings: str = "{}") -> subprocess.Popen[str]:
    path = folder / "script.py"
    path.write_text(SCRIPT.format(guard=guard, settings=settings))
    return subprocess.Popen(
        [sys.executable, path],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    _, errors = script(tmp_path, "if True:").communicate(timeout=60)
    assert f"{RunError.__name__}: worker processes die while they start" in errors
    assert '`if __name__ == "__main__":`' in errors


def test_ctrl_c_is_for_the_driver(tmp_path: Path) -> None:
    """The whole process group gets the signal, as from a terminal."""
    marks = tmp_path / "marks"
    marks.mkdir()
    settings = f"dict(faults={{1: 'hang'}}, marks=__import__('pathlib').Path({str(marks)!r}))"
    process = script(tmp_path, 'if __name__ == "__main__":', settings)
    wait_for(lambda: len(list(marks.iterdir())) == 2)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=10)
    assert output.split() == ["0"]
    # One traceback, the driver's: the workers heard nothing and were ended.
    assert errors.count("Traceback") == 1
    assert errors.strip().endswith("KeyboardInterrupt")
    pids = {int(mark.name.split("-")[-1]) for mark in marks.iterdir()}
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids))


@pytest.mark.gpu
@pytest.mark.skipif(not visible_gpus(), reason="no CUDA device")
def test_workers_share_the_gpus() -> None:
    gpus = visible_gpus()
    with Workers(2 * len(gpus), gpus) as workers:
        futures = [workers.submit(Probe(sleep_s=1), job) for job in JOBS]
        assert {future.result().metrics["gpus"] for future in futures} == {1}


def wait_for(condition: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
