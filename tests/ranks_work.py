"""What `torchrun` runs for test_ranks.py, in each of two processes: RUN FOLDER."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from unittest.mock import patch

import torch

from nascore import cli, tasks
from nascore.networks import Execution, Recipe, build, fit, ranks, training
from nascore.networks.checkpoints import save
from nascore.spaces import Chain, LayerSpace
from nascore.tasks import Task

# No batch norm and no dropout: so several processes compute what one computes, to the rounding.
RECIPE = Recipe(2, 64, "sgd", 0.05, restarts=0, ema=0.9, clip=1.0)
LONG = ("--epochs", "4", "--set", "ema=0.8", "--patience", "3")


def plain(task: Task, execution: Execution | None = None) -> torch.nn.Module:
    space = LayerSpace(8, 3, (8, 16), (16,))
    network = build(space.architecture("C(8,3),P(2,2),FC(16),SM"), task, Chain(dropout=False), 1)
    fitted = fit(network, task, RECIPE, 1, "cpu", execution=execution)
    assert fitted.status == "ok"
    assert fitted.valid is not None
    return network


def refused(batch: int, **how: float) -> str:
    task = tasks.load("digits", limit_train=128)
    try:
        fit(torch.nn.Flatten(), task, Recipe(1, batch, "sgd", 0.1), 1, "cpu", **how)
    except ValueError as error:
        return str(error)
    return ""


def main(run: str, folder: Path) -> None:
    network = plain(tasks.load("digits", limit_train=128))
    torch.save(network.state_dict(), folder / f"plain-{ranks.rank()}.pt")
    with patch("torch.compile", functools.partial(torch.compile, backend="aot_eager")):
        translated = plain(tasks.load("digits", limit_train=128), Execution(compiled=True))
    torch.save(translated.state_dict(), folder / f"compiled-{ranks.rank()}.pt")
    (folder / f"refused-{ranks.rank()}").write_text(refused(64, time_limit_s=9.0))
    sys.argv = ["nascore", "retrain", run, "--out", str(folder / "whole"), *LONG]
    cli.app(standalone_mode=False)

    def save_and_die(path: Path, state: dict[str, object]) -> None:
        save(path, state)
        if state["epoch"] == 2:
            os._exit(9)

    training.checkpoints.save = save_and_die
    sys.argv[4] = str(folder / "parts")
    cli.app(standalone_mode=False)


if __name__ == "__main__":
    with ranks.joined():
        assert ranks.count() == 2
        main(sys.argv[1], Path(sys.argv[2]))
