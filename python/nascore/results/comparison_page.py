"""A comparison as a page that opens from disk."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nascore.files import write_whole
from nascore.results import page
from nascore.results.comparison import (
    Comparison,
    Difference,
    at_budget,
    differences,
    interval,
    spent_by,
)
from nascore.results.pictures import GRID, PALETTE, Picture
from nascore.results.svg import hover

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = (5.4, 3.6)
_TIPS = 20  # along each curve
_BEGINNING = 0.2  # of the budget, where searches differ by luck so much that it would set the scale


def write(comparison: Comparison, file: Path, about: Sequence[str]) -> None:
    """Writes the page to `file`; `about` says in sentences what was compared."""
    seeds = len(next(iter(comparison.curves.values())))
    facts = {"agents": str(len(comparison.curves)), "seeds": str(seeds)}
    shown = [
        page.section("compared", "What was compared", *map(page.text, about)),
        page.section("curves", "The best so far", page.pictures(_pictures(comparison))),
        page.section("found", "What was found in the end", page.card(_table(comparison))),
    ]
    if found := differences(comparison):
        title = "Against random, seed by seed"
        shown.append(page.section("differences", title, page.card(_differences(found))))
    title = f"Agents compared: {comparison.columns[0]}"
    lead = "Each agent searched once for each seed, at equal budget."
    write_whole(file, page.page(title, lead, facts, shown).encode())


def _pictures(comparison: Comparison) -> list[Picture]:
    reward = comparison.columns[0]
    caption = "Lines are means over the seeds, bands their 95 % confidence intervals. "
    caption += (
        f"The scale leaves out what lies beyond it in the first {_BEGINNING:.0%} of the budget."
    )
    found = []
    for i, column in enumerate(comparison.columns):
        title = f"{column}, of the best so far" + (f" by {reward}" if i else "")
        draw = functools.partial(_draw, comparison, i)
        found.append(Picture(f"curve-{i}", title, caption, draw, _SIZE))
    return found


def _draw(comparison: Comparison, column: int, figure: Figure) -> None:
    axes: Axes = figure.add_subplot(xlabel=comparison.unit, ylabel=comparison.columns[column])
    axes.grid(color=GRID, linewidth=0.6)
    ends: list[float] = []
    for i, (agent, curves) in enumerate(comparison.curves.items()):
        colour, line = PALETTE[i % len(PALETTE)], ("-", "--", ":")[i // len(PALETTE) % 3]
        grid = spent_by(curves)
        values = at_budget(curves, grid, column)
        mean, half = values.mean(0), interval(values)
        axes.plot(grid, mean, line, color=colour, label=agent)
        axes.fill_between(grid, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
        late = slice(int(_BEGINNING * len(grid)), None)
        ends += [(mean - half)[late].min(), (mean + half)[late].max()]
        some = np.unique(np.linspace(0, len(grid) - 1, _TIPS).astype(int))
        said = [
            f"{agent}\nafter {grid[k]:.4g} {comparison.unit}\n{mean[k]:.5g} ± {half[k]:.2g}"
            for k in some
        ]
        hover(axes, grid[some].tolist(), mean[some].tolist(), said)
    if max(ends) > min(ends):
        margin = 0.05 * (max(ends) - min(ends))
        axes.set_ylim(min(ends) - margin, max(ends) + margin)
    axes.legend(fontsize=8, ncols=2, loc="lower right")


def _table(comparison: Comparison) -> str:
    rows = []
    for agent, curves in comparison.curves.items():
        found = comparison.found(agent)
        mean, half = found.mean(0), interval(found)
        count = float(np.mean([len(curve.spent) for curve in curves]))
        cells = [page.cell(f"{m:.6g} ± {h:.2g}", float(m)) for m, h in zip(mean, half, strict=True)]
        rows.append([page.cell(agent), *cells, page.cell(f"{count:.1f}", count)])
    heads = ("agent", *comparison.columns, "evaluations")
    return page.table(heads, rows, sorts=True)


def _differences(found: Sequence[Difference]) -> str:
    rows = [
        [
            page.cell(d.agent),
            page.cell(d.column),
            page.cell(f"{d.mean:+.4g} ± {d.half:.2g}", d.mean),
            page.cell(str(d.higher), d.higher),
            page.cell(str(d.lower), d.lower),
            page.cell(f"{d.p:.2g}", d.p),
        ]
        for d in found
    ]
    heads = ("agent", "column", "difference", "seeds higher", "seeds lower", "sign test p")
    return page.table(heads, rows, sorts=True)
