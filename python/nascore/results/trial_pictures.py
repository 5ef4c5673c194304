"""What the trials of a run have in common, drawn from plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nascore.results.agent_pictures import ACCENT
from nascore.results.pictures import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]


def running_mean(values: Floats, window: int) -> Floats:
    """Of each value and up to `window` - 1 before it, `[n]`; of NaN as if they were not there."""
    known = np.isfinite(values)
    sums, counts = np.cumsum(np.where(known, values, 0)), np.cumsum(known)
    sums[window:] -= sums[:-window].copy()
    counts[window:] -= counts[:-window].copy()
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def rank_correlation(one: Floats, other: Floats) -> float:
    """Kendall's tau-b; NaN where one of them has less than two different values."""
    from scipy import stats

    if len(np.unique(one)) < 2 or len(np.unique(other)) < 2:
        return float("nan")
    return float(stats.kendalltau(one, other).statistic)


def draw_over_trials(
    figure: Figure,
    panels: Sequence[tuple[str, Floats, float | None]],
    numbers: Floats,
    window: int,
    stages: Mapping[str, float],
) -> None:
    """Of trials `numbers` `[n]` a panel each of (label, values `[n]`, a level to compare with).

    Dots and their running mean; `stages` begin at these numbers.
    """
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)
    for axes, (label, values, level) in zip(grid[:, 0], panels, strict=True):
        _over_trials(axes, numbers, values, window)
        axes.set_ylabel(label, fontsize=9)
        if level is not None:
            axes.axhline(level, linestyle="--", color=PALETTE[2], label="teacher")
        for begin in list(stages.values())[1:]:
            axes.axvline(begin - 0.5, linestyle=":", color="#808080")
        axes.margins(y=0.12)
    top = grid[0, 0]
    for name, begin in stages.items():
        top.annotate(
            name,
            (begin - 0.5, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, 3),
            textcoords="offset points",
            fontsize=8,
        )
    grid[-1, 0].legend(frameon=False, fontsize=8)
    grid[-1, 0].set_xlabel("trial")


def _over_trials(axes: Axes, numbers: Floats, values: Floats, window: int) -> None:
    axes.scatter(numbers, values, s=10, color=PALETTE[0], alpha=0.6, linewidths=0, label="a trial")
    mean = running_mean(values, window)
    axes.plot(numbers, mean, color=ACCENT, label=f"mean of the last {window}")


def draw_ranking(figure: Figure, generated: Floats, numbers: Floats, trained: set[int]) -> None:
    """Accuracies with generated weights `[n]`, sorted, and which of these trials were trained."""
    axes = figure.subplots()
    order = np.argsort(-generated, kind="stable")
    places = np.arange(1, len(order) + 1)
    axes.plot(places, generated[order], ".", color=PALETTE[0], label="ranked")
    chosen = np.array([int(n) in trained for n in numbers[order]], bool)
    if chosen.any():
        axes.scatter(
            places[chosen],
            generated[order][chosen],
            s=60,
            facecolors="none",
            edgecolors=ACCENT,
            linewidths=2,
            label="trained",
        )
    axes.set(xlabel="rank", ylabel="accuracy with generated weights")
    axes.legend(frameon=False, fontsize=8)


def draw_masks(figure: Figure, masks: Floats, nodes: Sequence[int], kept: Sequence[int]) -> None:
    """Masks in 0..1 after each epoch `[epochs, edges]`; `nodes` have so many of the edges each.

    `kept` are the edges that stay in the end.
    """
    from matplotlib.ticker import MaxNLocator

    axes = figure.subplots()
    epochs, edges = masks.shape
    image = axes.imshow(
        masks.T,
        aspect="auto",
        cmap="viridis",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(0.5, epochs + 0.5, edges - 0.5, -0.5),
    )
    ends = np.cumsum(nodes)
    if len(nodes) <= 40:  # more lines than that would hide the masks
        for end in ends[:-1]:
            axes.axhline(end - 0.5, color="#ffffff", linewidth=1.2)
    axes.plot(np.full(len(kept), epochs + 0.5), kept, "<", color=ACCENT, clip_on=False, ms=5)
    middles = ends - (np.array(nodes) + 1) / 2
    shown = range(0, len(nodes), max(1, len(nodes) // 12))
    axes.set_yticks([middles[i] for i in shown], [f"node {i + 1}" for i in shown], fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    figure.colorbar(image, ax=axes, label="mask", pad=0.05)


def draw_widths(figure: Figure, teacher: Sequence[int], student: Sequence[int]) -> None:
    """The widths of both networks' layers, each in its own order."""
    from matplotlib.ticker import MaxNLocator

    pair = figure.subplots(2, 1, sharex=True, sharey=True)
    rows = (("teacher", teacher, PALETTE[2]), ("student", student, PALETTE[0]))
    for axes, (name, widths, colour) in zip(pair, rows, strict=True):
        axes.bar(range(1, len(widths) + 1), widths, color=colour)
        axes.set_title(f"{name}: {len(widths)} layers", fontsize=9)
        axes.set_ylabel("width")
    pair[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    pair[1].set_xlabel("convolution or linear layer, from the image on")
