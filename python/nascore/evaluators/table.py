"""Scores looked up in a table of trainings that were done before."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Literal

from nascore.spaces import Architecture
from nascore.trial import Evaluation, Job

Table = Mapping[str, Mapping[str, float]]  # architecture hash -> column -> number

_COST = ("params", "macs", "peak_bytes", "density", "longest_path")


def read_table(path: str | Path) -> Table:
    """The numbers of a table in a CSV file, by its column `hash`; `code` is for people.

    Raises ValueError naming the row that is not a hash, a code and numbers.
    """
    table = {}
    with open(path, newline="", encoding="utf-8") as file:
        for i, row in enumerate(csv.DictReader(file), 1):
            key = row.pop("hash", None)
            row.pop("code", None)
            try:
                numbers = {column: float(text) for column, text in row.items()}
            except (TypeError, ValueError):
                numbers = {}
            if not key or not numbers:
                raise ValueError(f"{path}, row {i}: expected a hash, a code and numbers, got {row}")
            table[key] = numbers
    return table


@dataclass(frozen=True)
class TableEvaluator:
    """The validation accuracy of a `table`'s short or long trainings; test columns stay unread.

    A training with seed s has the columns `short_val_s` and `short_seconds_s`, or `long_...`; with
    `seed` None the mean over all seeds counts.
    """

    table: Table = field(repr=False)
    training: Literal["short", "long"] = "short"
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self._columns("val"):
            wanted = f"{self.training}_val_{'0' if self.seed is None else self.seed}"
            columns = ", ".join(next(iter(self.table.values()), {}))
            raise ValueError(f"the table has no column {wanted!r}; it has {columns or 'no rows'}")

    def key(self, architecture: Architecture) -> str:
        return f"{architecture.hash}-{self._digest}"

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        """Raises ValueError for an architecture that the table lacks: holes would skew a search."""
        return [self._evaluate(job.architecture) for job in jobs]

    def known(self, architecture: Architecture) -> Evaluation:
        """What is known before any training: what it costs, or why it would fail."""
        graph = architecture.graph
        if graph is not None and graph.layers() == 0:
            return Evaluation(
                {"density": 0.0, "longest_path": 0.0}, "table", "invalid", "empty block"
            )
        row = self._row(architecture)
        return Evaluation({name: row[name] for name in _COST if name in row}, "table")

    def _evaluate(self, architecture: Architecture) -> Evaluation:
        known = self.known(architecture)
        if not known.ok:
            return known
        row = self._row(architecture)
        metrics = dict(known.metrics)
        metrics["val_accuracy"] = fmean(row[column] for column in self._columns("val"))
        if seconds := self._columns("seconds"):
            metrics["seconds"] = fmean(row[column] for column in seconds)
        return Evaluation(metrics, "table")

    def _row(self, architecture: Architecture) -> Mapping[str, float]:
        row = self.table.get(architecture.hash)
        if row is None:
            raise ValueError(
                f"the table of {len(self.table)} architectures lacks {list(architecture.code)}; "
                "search a space that it covers, such as smaller blocks"
            )
        return row

    def _columns(self, what: str) -> list[str]:
        prefix = f"{self.training}_{what}_"
        known = (c for c in next(iter(self.table.values()), {}) if c.startswith(prefix))
        return [c for c in known if self.seed is None or c == f"{prefix}{self.seed}"]

    @cached_property
    def _digest(self) -> str:
        rows = {key: dict(row) for key, row in self.table.items()}
        text = json.dumps([rows, self.training, self.seed], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
