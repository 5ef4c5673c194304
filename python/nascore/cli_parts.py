"""What several commands share."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from nascore.tasks import Task

# Paths and codes hold brackets, and a program that reads the lines wants them whole.
out = Console(highlight=False, markup=False, soft_wrap=True)

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
