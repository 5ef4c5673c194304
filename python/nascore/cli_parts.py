"""What several commands share."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from nascore.machine import processor

if TYPE_CHECKING:
    from nascore.tasks import Task

# Paths and codes hold brackets, and a program that reads the lines wants them whole.
out = Console(highlight=False, markup=False, soft_wrap=True)

TrialOption = Annotated[int | None, typer.Option(help="This trial instead of the best.")]
MaxParamsOption = Annotated[
    int | None, typer.Option(help="The best with at most so many parameters.")
]
MaxMacsOption = Annotated[
    int | None, typer.Option(help="The best with at most so many multiply-adds.")
]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="The folder of a run, or its --store.")
]


def command_line() -> str:
    """The command as it was given."""
    return shlex.join(["nascore", *sys.argv[1:]])


def load_task(task: str, limit_train: int | None, seed: int, image_size: int | None = None) -> Task:
    from nascore import tasks
    from nascore.results.progress import decoding

    with decoding(out) as progress:
        return tasks.load(
            task, limit_train=limit_train, seed=seed, image_size=image_size, progress=progress
        )


def asked() -> dict[str, Any]:
    """What a run keeps of the command that began it, for its report."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "command": command_line(),
        "begun": time.time(),
        "versions": {
            "Python": platform.python_version(),
            **{name: version(name) for name in ("nascore", "torch", "numpy")},
        },
        "machine": {
            "system": platform.platform(),
            "processor": processor(),
            "cores": os.cpu_count(),
            "GPUs": ", ".join(gpus) or None,
        },
    }
