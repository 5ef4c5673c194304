"""What a run found, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table

from nascore.trial import FIDELITIES, Fidelity, Trial

# What is measured and what is predicted have columns of their own.
COLUMNS = (
    ("val. accuracy", "val_accuracy", ".4f"),
    ("predicted", "predicted_accuracy", ".4f"),
    ("by generated weights", "generated_accuracy", ".4f"),
    ("val. area", "val_area", ".4f"),
    ("generated area", "generated_area", ".4f"),
    ("parameters", "params", ",.0f"),
    ("multiply-adds", "macs", ",.0f"),
    ("latency ms", "latency_ms", ".3f"),
)
COSTS = ("params", "macs", "latency_ms")


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
        f"{len(trials)} of {meta.get('trials', meta['config'].get('trials'))} trials",
        f"{repeats} saved by known results",
    ]
    parts += [f"{n} failed ({reason})" for reason, n in failed.most_common()]
    return ", ".join(parts)


def best_trials(trials: Sequence[Trial], n: int) -> list[Trial]:
    """The trials of the highest ranks of `n` distinct architectures, failed ones aside."""
    good = (t for t in trials if t.evaluation.ok and t.repeat_of is None)
    best: dict[str, Trial] = {}
    for trial in sorted(good, key=lambda t: t.rank, reverse=True):
        best.setdefault(trial.architecture.hash, trial)
    return list(best.values())[:n]


def ranking(trials: Sequence[Trial], n: int) -> Group:
    """The best architectures with what they reach and cost, then their codes."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    best = best_trials(trials, n)
    known = [c for c in COLUMNS if any(c[1] in trial.metrics for trial in best)]
    for name in ("trial", "reward", *(name for name, *_ in known)):
        table.add_column(name, justify="right")
    for trial in best:
        cells = [
            format(trial.metrics[metric], form) if metric in trial.metrics else ""
            for _, metric, form in known
        ]
        table.add_row(str(trial.number), f"{trial.reward:.2f}", *cells)
    return Group(table, *(f"{trial.number:5}: {_short(trial.architecture.text)}" for trial in best))


def main_fidelity(trials: Sequence[Trial]) -> Fidelity | None:
    """How most of `trials` were measured; of equals, and before those not measured, the surest."""
    counts = Counter(t.evaluation.fidelity for t in trials)
    measured = {f: n for f, n in counts.items() if f not in ("predicted", "hypernet")}
    found = measured or counts
    return max(found, key=lambda f: (found[f], FIDELITIES.index(f)), default=None)


def pareto(trials: Sequence[Trial], cost: str) -> list[Trial]:
    """The trials that no other matches in accuracy at no more of the metric `cost`, cheapest first.

    Compared is what was measured alike: at the fidelity, generated and predicted ones aside, that
    most trials have, of equals the surest. Of trials that are equal in both the first is kept.
    """
    good = [t for t in trials if t.evaluation.ok and cost in t.metrics]
    good = [t for t in good if t.evaluation.accuracy_metric == "val_accuracy"]
    most = main_fidelity(good)
    alike = [t for t in good if t.evaluation.fidelity == most]
    front: dict[str, Trial] = {}
    best = -1.0
    for trial in sorted(alike, key=lambda t: (t.metrics[cost], -t.evaluation.accuracy, t.number)):
        if trial.evaluation.accuracy > best:
            best = trial.evaluation.accuracy
            front.setdefault(trial.architecture.hash, trial)  # of two measurements the cheaper
    return list(front.values())


def fronts(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """The `pareto` front of each of `COSTS` that is known."""
    found = {cost: pareto(trials, cost) for cost in COSTS}
    return {cost: front for cost, front in found.items() if front}


def front_table(trials: Sequence[Trial], n: int) -> Table | None:
    """At most `n` trials that are on a front, a star where they are; None where there are not two.

    Of more than `n` the ends and what lies evenly between them, in order of accuracy.
    """
    known = fronts(trials)
    members = {t.number: t for front in known.values() for t in front}
    if len(members) < 2:
        return None
    rows = sorted(members.values(), key=lambda t: (-t.evaluation.accuracy, t.number))
    if len(rows) > n:
        rows = [rows[round(i * (len(rows) - 1) / (n - 1))] for i in range(n)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = [c for c in COLUMNS if c[1] in known]
    for name in ("Pareto front", "val. accuracy", *(name for name, *_ in columns)):
        table.add_column(name, justify="right")
    for trial in rows:
        cells = [
            format(trial.metrics[metric], form) + ("*" if trial in known[metric] else " ")
            for _, metric, form in columns
        ]
        table.add_row(str(trial.number), f"{trial.evaluation.accuracy:.4f}", *cells)
    return table


def number(value: float) -> str:
    """To four figures, whole from a thousand on."""
    whole = value == round(value) and abs(value) >= 10
    return f"{value:,.0f}" if whole or abs(value) >= 1000 else f"{value:.4g}"


def _short(code: str) -> str:
    """A code as it is, but for those of whole networks."""
    return code if len(code) <= 1000 else f"{code[:200]}... ({len(code)} characters)"
