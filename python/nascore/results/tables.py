"""What a run found, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table

from nascore.trial import Trial


def summary(meta: Mapping[str, Any], trials: Sequence[Trial]) -> str:
    """One line on what was asked and how much of it is done."""
    failed = Counter(
        trial.evaluation.message
        if trial.evaluation.status == "invalid"
        else trial.evaluation.status
        for trial in trials
        if not trial.evaluation.ok
    )
    repeats = sum(trial.repeat_of is not None for trial in trials)
    parts = [
        f"{meta['method']} on {meta['task']}, seed {meta['seed']}",
        f"{len(trials)} of {meta['config']['trials']} trials",
        f"{repeats} saved by known results",
    ]
    parts += [f"{n} failed ({reason})" for reason, n in failed.most_common()]
    return ", ".join(parts)


def best_trials(trials: Sequence[Trial], n: int) -> list[Trial]:
    """The `n` distinct architectures of the highest rewards, failed ones aside."""
    good = (t for t in trials if t.evaluation.ok and t.repeat_of is None)
    return sorted(good, key=lambda t: (-t.reward, t.number))[:n]


def ranking(trials: Sequence[Trial], n: int) -> Group:
    """The best architectures with what they reach and cost, then their codes."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trial", "reward", "val. accuracy", "parameters", "multiply-adds"):
        table.add_column(name, justify="right")
    best = best_trials(trials, n)
    for trial in best:
        metrics = trial.metrics
        table.add_row(
            str(trial.number),
            f"{trial.reward:.2f}",
            f"{metrics['val_accuracy']:.4f}",
            f"{metrics['params']:,.0f}",
            f"{metrics['macs']:,.0f}",
        )
    return Group(table, *(f"{trial.number:5}: {trial.architecture.text}" for trial in best))
