"""The command `nascore show`, and what other commands show of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from nascore.cli_parts import RunArgument, out

if TYPE_CHECKING:
    from nascore.search import Store
    from nascore.trial import Trial


def show(
    run: RunArgument,
    as_json: Annotated[bool, typer.Option("--json", help="All trials, for a program.")] = False,
) -> None:
    """What a run has found, also while it runs."""
    from nascore.results.tables import best_trials, fronts
    from nascore.search import open_run, trial_json

    with open_run(run) as store:
        if not as_json:
            shown(store)
            return
        trials = store.evaluated()
        data = {key: store.meta[key] for key in ("method", "task", "seed")}
        data["trials"] = [trial_json(trial) for trial in trials]
        data["best"] = next(map(trial_json, best_trials(trials, 1)), None)
        data["pareto"] = {cost: [t.number for t in f] for cost, f in fronts(trials).items()}
        if figures := _figures(store, trials):
            data["figures"] = figures
    typer.echo(json.dumps(data))


def shown(store: Store) -> None:
    """Prints what a run has found."""
    from nascore.results.tables import front_table, ranking, summary

    trials = store.evaluated()
    out.print(summary(store.meta, trials))
    if any(trial.evaluation.ok for trial in trials):
        out.print(ranking(trials, 5))
    if front := front_table(trials, 6):
        out.print(front)
    if store.meta.get("order") == "arrival" and (staleness := store.staleness()):
        mean = sum(staleness) / len(staleness)
        out.print(f"told between a proposal and its own result: {mean:.1f} results in the mean")
    for name, value in _figures(store, trials).items():
        out.print(f"{name}: {value:g}")


def _figures(store: Store, trials: Sequence[Trial]) -> dict[str, float]:
    """What the run's method has to say of its own, as soon as there is a trial."""
    from nascore import methods

    method = store.meta["method"]
    if not trials or method not in methods.names():
        return {}
    config = methods.config_from_json(method, store.meta["config"])
    return methods.figures(method, config, trials)
