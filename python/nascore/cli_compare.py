"""The command `nascore compare`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

out = Console(highlight=False, markup=False, soft_wrap=True)


def compare(
    table: Annotated[
        Path | None,
        typer.Option(help="CSV or Parquet; else the block table that ships with the package."),
    ] = None,
    code: Annotated[str, typer.Option(help="The column with a digit for each choice.")] = "code",
    reward: Annotated[str | None, typer.Option(help="The column that agents are told.")] = None,
    report: Annotated[
        list[str] | None, typer.Option(help="A column to report of what was found.")
    ] = None,
    choices: Annotated[
        str | None, typer.Option(help="Sizes of the choices, as 5,5,3; else found in the table.")
    ] = None,
    minimize: Annotated[bool, typer.Option("--minimize", help="Less reward is better.")] = False,
    trials: Annotated[
        int | None, typer.Option(help="Evaluations of a search; 100 without --cost-budget.")
    ] = None,
    cost: Annotated[str | None, typer.Option(help="The column with an evaluation's cost.")] = None,
    cost_budget: Annotated[float | None, typer.Option(help="What a search may spend.")] = None,
    free_repeats: Annotated[
        bool, typer.Option("--free-repeats", help="Do not charge a code asked for again.")
    ] = False,
    agents: Annotated[
        str, typer.Option(help="Who searches, by name.")
    ] = "random,evolution,q_learning,policy_gradient,alphax,alphax_paper",
    seeds: Annotated[int, typer.Option(help="Searches of each agent.")] = 20,
    folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the results are written.")
    ] = Path("compare"),
    workers: Annotated[
        int | None, typer.Option(help="Processes that search; as many as cores, else.")
    ] = None,
) -> None:
    """Compare agents on a table of known results, at equal budget."""
    from nascore import tables
    from nascore.compare import Protocol, compare
    from nascore.evaluators.scores import read_blocks, read_scores
    from nascore.results import comparison
    from nascore.results.progress import searching

    comparison.require_matplotlib()
    if (cost is None) != (cost_budget is None):
        raise ValueError("--cost and --cost-budget go together: the column, and what may be spent")
    if trials is not None and cost_budget is not None:
        raise ValueError("--trials and --cost-budget are two budgets; give one")
    if table is None and (choices is not None or code != "code"):
        raise ValueError("--choices and --code say how to read a --table; give that as well")
    if table is not None and reward is None:
        raise ValueError("--table needs --reward, the column that agents are told")
    reward = reward or "short_val_0"
    report = report or ([] if table else ["long_test_0", "long_test_1"])
    columns = [reward, *report, *([cost] if cost else [])]
    if table is None:
        scores = read_blocks(tables.BLOCKS, columns, tables.MAX_LAYERS)
    else:
        scores = read_scores(table, code, columns, _sizes(choices))
    budget = float(trials if trials is not None else 100) if cost_budget is None else cost_budget
    protocol = Protocol(reward, tuple(report), budget, cost, minimize, free_repeats)
    names = agents.split(",")
    with searching(out, len(names) * seeds) as advance:
        done = compare(
            scores,
            protocol,
            names,
            seeds,
            workers=_workers() if workers is None else workers,
            on_search=advance,
        )
    from nascore.results import comparison_page  # it needs matplotlib, which is there

    comparison.write(done, folder)
    unit = "trials" if cost is None else cost
    charged = "is not charged" if free_repeats else "is charged again"
    best = "least" if minimize else "highest"
    about = (
        f"{len(scores.rows):,} architectures, a budget of {budget:g} {unit}; a code asked for "
        f"again {charged}."
    )
    what = f"The {best} {reward} that a search saw, over {seeds} seeds"
    comparison_page.write(done, folder / "report.html", (about, f"{what}."))
    out.print(f"{about}\n{what}:\n")
    out.print(comparison.table(done))
    for line in comparison.lines(comparison.differences(done)):
        out.print(line)
    out.print(f"report.html, summary.csv, curves.csv and curves.png are in {folder}")


def _sizes(choices: str | None) -> list[int] | None:
    if choices is None:
        return None
    try:
        return [int(size) for size in choices.split(",")]
    except ValueError:
        raise ValueError(f"choices={choices!r}: write the sizes as 5,5,3") from None


def _workers() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
