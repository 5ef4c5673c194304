"""What an agent knows or wants, drawn from plain arrays: Q values, probabilities of decisions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nascore.results.pictures import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]
ACCENT = PALETTE[1]  # apart from viridis for any eye


def draw_q_values(
    figure: Figure, values: Floats, steps: Sequence[str], choices: Sequence[str], best: Floats
) -> None:
    """Values `[T, C]`, NaN where there is none, and which choice is `best` in each step `[T]`."""
    axes = figure.subplots()
    image = axes.imshow(values, aspect="auto", cmap="viridis", interpolation="nearest")
    axes.scatter(
        best, np.arange(len(best)), s=60, facecolors="none", edgecolors=ACCENT, linewidths=2.5
    )
    axes.set_xticks(range(len(choices)), choices, rotation=90, fontsize=8)
    axes.set_yticks(range(len(steps)), steps, fontsize=8)
    figure.colorbar(image, ax=axes, label="Q")


def draw_q_growth(
    figure: Figure, told: Floats, mean: Floats, start: Floats, epsilon: Floats
) -> None:
    """After `told` trials `[n]`: the best Q in the mean and of the first decision; epsilon."""
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot(told, start, ".-", color=PALETTE[0], label="best Q of the first decision")
    axes.plot(told, mean, ".--", color=PALETTE[1], label="mean best Q of all known states")
    axes.set_ylabel("Q")
    axes.legend(frameon=False, fontsize=8)
    below.step(told, epsilon, where="post", color=PALETTE[2])
    below.plot(told[-1:], epsilon[-1:], ".", color=PALETTE[2])
    below.set(ylim=(-0.05, 1.05), xlabel="trials", ylabel="epsilon")


def draw_probabilities(
    figure: Figure,
    told: Floats,
    panels: Mapping[str, tuple[Floats, Sequence[str]]],
    columns: int,
) -> None:
    """After `told` trials `[n]`: a panel of stacked probabilities `[n, A]` for each decision.

    Panels with the same choices share one legend, the others have their own.
    """
    import matplotlib

    rows = math.ceil(len(panels) / columns)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    shared = len({tuple(labels) for _, labels in panels.values()}) == 1
    for axes in grid.flat[len(panels) :]:
        axes.axis("off")
    # So that one point in time is drawn too.
    times = told if len(told) > 1 else np.array([0.0, told[0]])
    areas = []
    for axes, (title, (values, labels)) in zip(grid.flat, panels.items(), strict=False):
        map_ = matplotlib.colormaps["tab20" if len(labels) > len(PALETTE) else "viridis"]
        spread = np.arange(len(labels)) / (20 if len(labels) > len(PALETTE) else len(labels))
        drawn = values if len(told) > 1 else np.repeat(values, 2, axis=0)
        colours = map_(spread + 0.01)
        areas = axes.stackplot(times, drawn.T, colors=colours, labels=labels, linewidth=0)
        axes.set_title(title, fontsize=8)
        axes.set(ylim=(0, 1), xlim=(times[0], times[-1]))
        axes.tick_params(labelsize=8)
        if not shared:
            axes.legend(fontsize=8, loc="upper left")
    if shared:
        names = next(iter(panels.values()))[1]
        figure.legend(areas, names, loc="outside right center", frameon=False, fontsize=8)
    figure.supxlabel("trials", fontsize=9)
    figure.supylabel("probability", fontsize=9)


def draw_entropy(figure: Figure, told: Floats, entropies: Mapping[str, Floats]) -> None:
    """After `told` trials `[n]`: the entropy of each kind of decision, over that of chance."""
    axes = figure.subplots()
    for i, (name, values) in enumerate(entropies.items()):
        axes.plot(
            told, values, "-" if len(told) > 1 else "o", color=PALETTE[i % len(PALETTE)], label=name
        )
    axes.axhline(1, linestyle=":", color="#808080")
    axes.set(ylim=(0, 1.05), xlabel="trials", ylabel="entropy (1: by chance)")
    axes.legend(frameon=False, fontsize=8)
