"""Kill -9 of the driver and of workers, at random moments: nothing is lost and nothing doubled."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

import fault_driver
from nascore.search import open_run


def start(run: Path) -> psutil.Popen:
    return psutil.Popen(
        [sys.executable, fault_driver.__file__, str(run)], stderr=subprocess.PIPE, text=True
    )


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def told(run: Path) -> int:
    """How many trials the log holds, while another process writes it; 0 before there is one."""
    query = "SELECT count(*) FROM trials WHERE tell_event IS NOT NULL"
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(f"file:{run}/run.db?mode=ro", uri=True)) as database,
    ):
        return int(database.execute(query).fetchone()[0])
    return 0


def kill_between(process: psutil.Popen, run: Path, moments: random.Random) -> None:
    """Kills the driver at some moment after one more trial, or while it starts."""
    before = told(run)
    if moments.random() < 0.8:
        wait_for(lambda: told(run) > before)
        time.sleep(moments.uniform(0, 0.2))
    else:
        time.sleep(moments.uniform(0, 1.5))
    children = process.children(recursive=True)  # raises if the driver is already done
    process.kill()
    _, errors = process.communicate()
    assert errors == ""  # its workers end without a word
    # No orphan goes on.
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def finish(run: Path) -> None:
    process = start(run)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def check_history(run: Path) -> None:
    unbroken = list(fault_driver.search(sleep_s=0).run())
    with open_run(run) as store:
        assert store.trials() == unbroken
        events = store.log(0)
        assert store.pending(0) == []
    assert [t for event in events for t in event.told] == unbroken
    own = [t for t in unbroken if t.repeat_of is None]
    best = sorted(own, key=lambda t: (-t.reward, t.number))[:4]
    kept = sorted(file.name for file in (run / "weights").iterdir())
    assert kept == sorted(t.evaluation.weights for t in best)


def kill_driver(run: Path, kills: int, seed: int) -> None:
    moments = random.Random(seed)
    for _ in range(kills):
        kept = told(run)
        kill_between(start(run), run, moments)
        assert told(run) >= kept
    finish(run)
    check_history(run)


def kill_workers(run: Path, kills: int, seed: int) -> None:
    moments = random.Random(seed)
    process = start(run)
    for _ in range(kills):
        before = told(run)
        # At most 8 trials are asked for and not told, so the job that was hit before is done: no
        # job pays for two kills.
        wait_for(lambda before=before: told(run) >= before + 8)
        time.sleep(moments.uniform(0, 0.1))
        workers = [p for p in process.children() if "spawn_main" in " ".join(p.cmdline())]
        moments.choice(workers).kill()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    check_history(run)


def test_killed_drivers_lose_nothing(tmp_path: Path) -> None:
    kill_driver(tmp_path / "run", kills=3, seed=0)


def test_killed_workers_lose_nothing(tmp_path: Path) -> None:
    kill_workers(tmp_path / "run", kills=3, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_drivers_lose_nothing_in_the_long_run(tmp_path: Path) -> None:
    for seed in range(1, 5):
        kill_driver(tmp_path / f"run {seed}", kills=5, seed=seed)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_workers_lose_nothing_in_the_long_run(tmp_path: Path) -> None:
    for seed in range(1, 5):
        kill_workers(tmp_path / f"run {seed}", kills=5, seed=seed)
