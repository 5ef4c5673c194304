"""Kill -9 of a real search on the command line, and `nascore resume`: the history is unbroken."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import psutil
import pytest

from cli_kit import PROGRAM, history, nascore, searching, unbroken
from nascore.search import RunError, open_run
from test_faults import kill_between, told, wait_for

Victim = Literal["driver", "worker"]


def start(*arguments: object) -> psutil.Popen:
    command = [PROGRAM, *map(str, arguments), "--workers", "2"]
    return psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def kill_worker(driver: psutil.Popen, run: Path, moments: random.Random) -> None:
    """Kills a worker after one more group was told, so that no job pays for two kills."""
    before = told(run)
    wait_for(lambda: told(run) > before)
    time.sleep(moments.uniform(0, 0.1))
    workers = [p for p in driver.children() if "spawn_main" in " ".join(p.cmdline())]
    moments.choice(workers).kill()


def has_begun(run: Path) -> bool:
    """Whether there is a run to go on with; one that was cut short while it began starts anew."""
    try:
        open_run(run).close()
    except RunError:
        return False
    return True


def kill_and_resume(run: Path, victims: Sequence[Victim], seed: int) -> None:
    moments = random.Random(seed)
    trials = 12 * len(victims)  # a kill takes at most two groups of four
    command = searching(run, "--trials", trials)
    driver = start(*command)
    for victim in victims:
        kept = told(run)
        if victim == "worker":
            kill_worker(driver, run, moments)
        else:
            kill_between(driver, run, moments)
            driver = start(*(["resume", run] if has_begun(run) else command))
        assert told(run) >= kept
    _, errors = driver.communicate(timeout=120)
    assert (driver.returncode, errors) == (0, "")
    with open_run(run) as store:
        trials_told = [trial for event in store.log(0) for trial in event.told]
        assert store.pending(0) == []
    assert history(trials_told) == history(unbroken(trials))
    assert nascore("resume", run).out.startswith(f"{run} is complete: {trials} trials.\n")


def test_a_killed_search_goes_on_as_if_nothing_was(tmp_path: Path) -> None:
    kill_and_resume(tmp_path / "run", ("worker", "driver", "driver"), seed=0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_killed_searches_go_on_in_the_long_run(tmp_path: Path, seed: int) -> None:
    victims = random.Random(seed).choices(("driver", "worker"), k=5)
    kill_and_resume(tmp_path / "run", victims, seed)
