"""A tiny search with targets of cost, as several tests need it."""

from __future__ import annotations

from typing import Any

from cli_kit import SETTINGS
from nascore import methods, tasks
from nascore.search import Search, Targets


def blockqnn(trials: int, **targets: Any) -> Search:
    config = methods.with_settings(
        methods.config("blockqnn"), [*SETTINGS, f"trials={trials}", "batch=2"]
    )
    built = methods.build("blockqnn", tasks.load("digits"), config)
    return methods.with_targets(built, Targets(**targets)) if targets else built
