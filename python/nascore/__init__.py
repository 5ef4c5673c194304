"""Neural architecture search with reinforcement learning, on a compiled core."""

from __future__ import annotations

import importlib
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nascore import methods as methods
    from nascore import tasks as tasks
    from nascore.networks.build import build
    from nascore.networks.fuse import fuse
    from nascore.networks.models import load_model
    from nascore.results.drawings import draw
    from nascore.results.export import export
    from nascore.search import Store, open_run
    from nascore.spaces import (
        Architecture,
        BlockSpace,
        CellSpace,
        CellStack,
        Chain,
        ChoicesSpace,
        LayerSpace,
        Skeleton,
    )

__version__ = _version("nascore")

# Where each public name lives. It is imported when first asked for: `import nascore` is fast.
_HOMES = {
    "Architecture": "nascore.spaces",
    "BlockSpace": "nascore.spaces",
    "CellSpace": "nascore.spaces",
    "CellStack": "nascore.spaces",
    "Chain": "nascore.spaces",
    "ChoicesSpace": "nascore.spaces",
    "LayerSpace": "nascore.spaces",
    "Skeleton": "nascore.spaces",
    "Store": "nascore.search",
    "build": "nascore.networks.build",
    "draw": "nascore.results.drawings",
    "export": "nascore.results.export",
    "fuse": "nascore.networks.fuse",
    "load_model": "nascore.networks.models",
    "open_run": "nascore.search",
}
_MODULES = ("methods", "tasks")

__all__ = [
    "Architecture",
    "BlockSpace",
    "CellSpace",
    "CellStack",
    "Chain",
    "ChoicesSpace",
    "LayerSpace",
    "Skeleton",
    "Store",
    "build",
    "draw",
    "export",
    "fuse",
    "has_cuda",
    "load_model",
    "methods",
    "open_run",
    "tasks",
]


def has_cuda() -> bool:
    """Whether this build has CUDA kernels and this machine a device to run them."""
    try:
        from nascore import _cuda
    except ImportError:
        return False
    return _cuda.device_count() > 0


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"nascore.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'nascore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
