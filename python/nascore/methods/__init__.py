"""The systems, one file each. A file's name is the name by which it is searched with."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from nascore.methods._settings import differing, from_json, with_settings
from nascore.methods._targets import with_targets
from nascore.names import unknown
from nascore.networks.distillation import Taught
from nascore.results.pictures import Picture
from nascore.search import Search, Store
from nascore.tasks import Task
from nascore.trial import Trial

PRESETS = ("small", "paper")

__all__ = [
    "PRESETS",
    "build",
    "config",
    "config_from_json",
    "describe",
    "differing",
    "figures",
    "names",
    "pictures",
    "taught",
    "with_prefix",
    "with_settings",
    "with_targets",
]


def names() -> list[str]:
    """Every method that can be searched with."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def describe(method: str) -> str:
    """One line about a method."""
    return (_module(method).__doc__ or "").splitlines()[0]


def config(method: str, preset: str = "small") -> Any:
    """A method's frozen config: `small` for a laptop, `paper` as published.

    Raises ValueError for a method or preset that there is not.
    """
    module = _module(method)
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    return getattr(module, preset)()


def with_prefix(method: str, config: Any, prefix: str) -> Any:
    """`config` for a search below a partial architecture, in the text form of its space's codes.

    Raises ValueError for a method that grows no tree.
    """
    if not hasattr(config, "prefix"):
        able = ", ".join(name for name in names() if hasattr(_module(name).Config, "prefix"))
        raise ValueError(f"prefix: {method} grows no tree that could begin there; these do: {able}")
    return replace(config, prefix=prefix)


def config_from_json(method: str, data: dict[str, Any]) -> Any:
    """A method's config as a run's `config.json` keeps it."""
    return from_json(_module(method).Config, data)


def build(method: str, task: Task, config: Any, seed: int = 0) -> Search:
    """A search by `method` over `task`; iterate it to run it in this process."""
    module = _module(method)
    if type(config) is not module.Config:
        raise ValueError(
            f"config is a {type(config).__module__}.{type(config).__name__}; "
            f"{method} wants one from nascore.methods.config({method!r})"
        )
    search: Search = module.build(task, config, seed)
    return search


def figures(method: str, config: Any, trials: Sequence[Trial]) -> dict[str, float]:
    """What a method has to say about a run of its own, by name; most have nothing."""
    module = _module(method)
    found: dict[str, float] = module.figures(config, trials) if hasattr(module, "figures") else {}
    return found


def pictures(method: str, config: Any, store: Store) -> list[Picture]:
    """A method's own pictures of a run; most have some."""
    module = _module(method)
    found: list[Picture] = module.pictures(config, store) if hasattr(module, "pictures") else []
    return found


def taught(method: str, config: Any, run: Path, task: Task) -> Taught | None:
    """From which teacher in the folder `run` a method's architectures learn; mostly from none."""
    module = _module(method)
    found: Taught | None = module.taught(config, run, task) if hasattr(module, "taught") else None
    return found


def _module(method: str) -> ModuleType:
    if method not in names():
        raise unknown("method", method, names())
    return importlib.import_module(f"nascore.methods.{method}")
