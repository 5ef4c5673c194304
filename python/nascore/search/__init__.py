"""The loop that searches, and the log from which any search goes on."""

from __future__ import annotations

from pathlib import Path

from nascore.search.ask_tell import AskTell, last_state, restore, retrace
from nascore.search.cluster import RayWorkers
from nascore.search.executors import Executor, InProcess, Pool, Watched
from nascore.search.folder import RunError
from nascore.search.loop import Run, Search
from nascore.search.rewards import (
    Accuracy,
    Area,
    Compression,
    Constrained,
    EarlyStop,
    Targets,
)
from nascore.search.store import Store, trial_json
from nascore.search.workers import Workers, visible_gpus

__all__ = [
    "Accuracy",
    "Area",
    "AskTell",
    "Compression",
    "Constrained",
    "EarlyStop",
    "Executor",
    "InProcess",
    "Pool",
    "RayWorkers",
    "Run",
    "RunError",
    "Search",
    "Store",
    "Targets",
    "Watched",
    "Workers",
    "last_state",
    "open_run",
    "restore",
    "retrace",
    "trial_json",
    "visible_gpus",
]


def open_run(where: str | Path) -> Store:
    """A run to read, while it is going on or after; raises RunError where there is none."""
    return Store.open(where)
