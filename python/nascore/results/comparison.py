"""What came of a comparison: statistics, tables, curves and their picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.table import Table
from scipy import stats

from nascore.files import write_whole

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """What was `spent` [n] after each evaluation, and the `values` [n, C] of the best so far."""

    spent: Floats
    values: Floats


@dataclass(frozen=True)
class Comparison:
    """The curves of each agent, one for each seed; the first of the `columns` is the reward."""

    columns: tuple[str, ...]
    curves: Mapping[str, Sequence[Curve]]
    unit: str  # of what is spent

    def found(self, agent: str) -> Floats:
        """The columns of what each search found in the end, [seeds, C]."""
        return np.stack([curve.values[-1] for curve in self.curves[agent]])


def interval(values: Floats) -> Floats:
    """Half the width of the mean's 95 % confidence interval, over the first axis; 0 for one."""
    n = len(values)
    if n == 1:
        return np.zeros(values.shape[1:])
    return np.asarray(stats.t.ppf(0.975, n - 1) * values.std(0, ddof=1) / np.sqrt(n))


def table(comparison: Comparison) -> Table:
    """Mean, standard deviation and 95 % interval of every column at the reward's best."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("agent", "column"):
        shown.add_column(name, overflow="fold")
    for name in ("mean", "std", "95 % interval", "evaluations"):
        shown.add_column(name, justify="right", overflow="fold")
    for agent, curves in comparison.curves.items():
        found = comparison.found(agent)
        mean, std, half = found.mean(0), _std(found), interval(found)
        count = np.mean([len(curve.spent) for curve in curves])
        for column, m, s, h in zip(comparison.columns, mean, std, half, strict=True):
            between = f"{m - h:.6g} .. {m + h:.6g}"
            shown.add_row(agent, column, f"{m:.6g}", f"{s:.3g}", between, f"{count:.1f}")
    return shown


class Difference(NamedTuple):
    """What an agent found against another, seed by seed: mean, 95 % half width, sign test."""

    agent: str
    column: str
    mean: float
    half: float
    higher: int
    lower: int
    p: float


def differences(comparison: Comparison, base: str = "random") -> list[Difference]:
    """Every other agent against `base`, in every column; none where that did not run."""
    if base not in comparison.curves:
        return []
    found = []
    for agent in comparison.curves:
        if agent == base:
            continue
        difference = comparison.found(agent) - comparison.found(base)
        for column, values in zip(comparison.columns, difference.T, strict=True):
            more, less = int((values > 0).sum()), int((values < 0).sum())
            p = float(stats.binomtest(more, more + less).pvalue) if more + less else 1.0
            half = float(interval(values))
            found.append(Difference(agent, column, float(values.mean()), half, more, less, p))
    return found


def lines(found: Sequence[Difference], base: str = "random") -> list[str]:
    """The differences from `base` in words."""
    return [
        f"{d.agent} - {base}, {d.column}: {d.mean:+.4g} ± {d.half:.2g}, "
        f"higher in {d.higher} seeds, lower in {d.lower}, sign test p = {d.p:.2g}"
        for d in found
    ]


def spent_by(curves: Sequence[Curve]) -> Floats:
    """Budgets [400] from where every search had found something to where the last one ended."""
    start = max(curve.spent[0] for curve in curves)
    return np.linspace(start, max(curve.spent[-1] for curve in curves), 400)


def at_budget(curves: Sequence[Curve], budgets: Floats, column: int) -> Floats:
    """A column of the best that each search knew at each of the budgets, [seeds, B]."""
    known = [np.searchsorted(curve.spent, budgets, "right") - 1 for curve in curves]
    return np.stack([c.values[at, column] for c, at in zip(curves, known, strict=True)])


def write(comparison: Comparison, folder: Path) -> None:
    """Writes `summary.csv`, `curves.csv` and `curves.png`; ImportError without matplotlib."""
    require_matplotlib()
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "summary.csv", _csv(_summary(comparison)))
    write_whole(folder / "curves.csv", _csv(_curves(comparison)))
    write_whole(folder / "curves.png", _picture(comparison))


def require_matplotlib() -> None:
    """ImportError naming the extra where matplotlib is missing, before hours were spent."""
    try:
        import matplotlib.figure  # noqa: F401  # only whether it is there
    except ImportError as error:
        raise ImportError("curves need matplotlib: pip install 'nascore[report]'") from error


def _std(found: Floats) -> Floats:
    return found.std(0, ddof=1) if len(found) > 1 else np.zeros(found.shape[1])


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _summary(comparison: Comparison) -> Iterable[Sequence[Any]]:
    figures = ("mean", "std", "ci95_low", "ci95_high")
    yield ("agent", "seeds", *(f"{c}_{figure}" for c in comparison.columns for figure in figures))
    for agent in comparison.curves:
        found = comparison.found(agent)
        mean, half = found.mean(0), interval(found)
        rows = np.stack([mean, _std(found), mean - half, mean + half], axis=1)
        yield (agent, len(found), *rows.ravel().tolist())


def _curves(comparison: Comparison) -> Iterable[Sequence[Any]]:
    yield ("agent", "seed", "evaluation", "spent", *comparison.columns)
    for agent, curves in comparison.curves.items():
        for seed, curve in enumerate(curves):
            rows = zip(curve.spent.tolist(), curve.values.tolist(), strict=True)
            for i, (spent, values) in enumerate(rows, 1):
                yield (agent, seed, i, spent, *values)


def _picture(comparison: Comparison) -> bytes:
    """The reward of the best so far, mean and 95 % band, against what was spent."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel=comparison.unit, ylabel=f"best {comparison.columns[0]} so far")
    for agent, curves in comparison.curves.items():
        grid = spent_by(curves)
        best = at_budget(curves, grid, 0)
        mean, half = best.mean(0), interval(best)
        axes.plot(grid, mean, label=agent)
        axes.fill_between(grid, mean - half, mean + half, alpha=0.2)
    axes.legend()
    file = io.BytesIO()
    figure.savefig(file, dpi=150, format="png")
    return file.getvalue()
