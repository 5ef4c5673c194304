"""The command line as tests use it: on digits, with networks that train in a moment."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import method_kit
from evaluator_kit import TIMES
from nascore import cli, methods, tasks
from nascore.search import open_run
from nascore.trial import Trial

PROGRAM = Path(sysconfig.get_path("scripts")) / "nascore"

SETTINGS = (*method_kit.TINY["block"], "batch=4", "final.epochs=1")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str


def nascore(*arguments: object) -> Done:
    """Runs a command in this process, which has imported torch already."""
    out, err = StringIO(), StringIO()
    status = 0
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", ["nascore", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
    return Done(status, out.getvalue(), err.getvalue())


def searching(run: Path, *arguments: object, method: str = "blockqnn", task: object = "digits"):
    """The arguments of a tiny search."""
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    return ["search", method, "--task", task, "--out", run, *settings, *arguments]


def unbroken(trials: int, seed: int = 0) -> list[Trial]:
    """The history that any such search must have: run in this process, without a pause."""
    config = methods.with_settings(
        methods.config("blockqnn", "small"), [*SETTINGS, f"trials={trials}"]
    )
    task = tasks.load("digits", seed=seed)
    return list(methods.build("blockqnn", task, config, seed))


def history(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """All of the trials but what differs between two measurements of the same thing."""
    rows = [
        {
            "number": trial.number,
            "proposal": trial.proposal.to_json(),
            "evaluation": trial.evaluation.to_json(),
            "reward": trial.reward,
            "repeat_of": trial.repeat_of,
        }
        for trial in trials
    ]
    for row in rows:
        row["evaluation"]["metrics"] = {
            name: value for name, value in row["evaluation"]["metrics"].items() if name not in TIMES
        }
    return rows


def told(run: Path) -> list[Trial]:
    with open_run(run) as store:
        return store.trials()


def shown(run: Path) -> dict[str, Any]:
    """What `nascore show --json` prints."""
    done = nascore("show", run, "--json")
    assert done.status == 0
    data: dict[str, Any] = json.loads(done.out)
    return data


def with_little_disk(module: str, function: str, run: Path) -> subprocess.CompletedProcess[str]:
    """Runs a test module's function of `run` where no file may grow past 100 kB."""
    script = (
        f"import resource, {module}\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        f"{module}.{function}({str(run)!r})"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
