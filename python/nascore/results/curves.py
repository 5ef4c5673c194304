"""The pictures that any run has: accuracy as it grew, what it cost, what was predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nascore.results.pictures import GRID, MUTED, PALETTE, Picture
from nascore.results.svg import hover
from nascore.results.tables import main_fidelity
from nascore.results.trial_pictures import rank_correlation
from nascore.trial import FIDELITIES, Fidelity, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 2_000  # points in a picture
_SIZE = (5.4, 3.4)
_MANY, _BAD = 20, 0.15  # from so many trials on, this share of them may be left at the edge
_COSTS = {"params": "parameters", "macs": "multiply-adds", "latency_ms": "latency, ms"}
_KINDS = {"predicted": "predicted", "hypernet": "by generated weights", "proxy": "short training"}


@dataclass(frozen=True)
class History:
    """Trials by number, and when each was told, in seconds since the search began."""

    trials: Sequence[Trial]
    seconds: Mapping[int, float] = field(default_factory=dict)

    @cached_property
    def good(self) -> list[Trial]:
        """Those with a result of their own."""
        return [t for t in self.trials if t.evaluation.ok and t.repeat_of is None]

    @cached_property
    def main(self) -> Fidelity | None:
        """How most results were measured; of equals, and before those not measured, the surest."""
        return main_fidelity(self.good)


def growth(run: History, beside: Sequence[History], over: str) -> Picture:
    """The best so far and every trial against `over`, "trials" or "seconds"; `beside` a band."""
    # What has ended need not be told yet, and then it has no time.
    placed = [t for t in run.good if _at(run, t, over) is not None]
    kinds = sorted({t.evaluation.fidelity for t in placed}, key=FIDELITIES.index)
    unit, per = ("trials", 1) if over == "trials" else _unit(run)
    shown = {kind: _thinned([t for t in placed if t.evaluation.fidelity == kind]) for kind in kinds}
    beside = [other for other in beside if _has_track(other, over)]
    caption = "Points are trials, lines the best so far. "
    caption += "The clock goes on while a search is stopped. " if over == "seconds" else ""
    if beside:
        several = f"band is where {len(beside)} random searches were, its line their mean"
        caption += f"The grey {several if len(beside) > 1 else 'line is a random search'}."
    else:
        caption += "For random search as a band: nascore report RUN --beside RANDOM_RUN ..."
    caption += _left_out(len(run.good), sum(map(len, shown.values())))
    floor = _floor([t.evaluation.accuracy for kind in kinds for t in shown[kind]])
    below = sum(t.evaluation.accuracy < floor for kind in kinds for t in shown[kind])
    caption += f" Triangles are {below} trials below {floor:.2f}." if below else ""

    def draw(figure: Figure) -> None:
        axes = _axes(figure, unit, "accuracy on validation images")
        if beside:
            _band(axes, beside, over, per)
        for i, kind in enumerate(kinds):
            name = _KINDS.get(kind, "measured")
            points = [(_at(run, t, over) or 0.0) / per for t in shown[kind]]
            values = [max(floor, t.evaluation.accuracy) for t in shown[kind]]
            low = np.array([t.evaluation.accuracy < floor for t in shown[kind]], bool)
            for which, marker in ((~low, "o"), (low, "v")):
                places = np.array(points)[which], np.array(values)[which]
                axes.scatter(*places, s=11, marker=marker, color=PALETTE[i], alpha=0.6, lw=0)
            xs, best = _so_far(run, kind, over)
            best = np.maximum(best, floor)
            axes.step(xs / per, best, where="post", color=PALETTE[i], label=f"best, {name}")
            hover(axes, points, values, [say(t) for t in shown[kind]])
        if beside or len(kinds) > 1:
            axes.legend(loc="lower right")

    title = "Accuracy against trials" if over == "trials" else "Accuracy against time"
    return Picture(f"accuracy-{over}", title, caption, draw, _SIZE)


def _floor(values: Sequence[float]) -> float:
    """What most accuracies are above, so that the few bad ones do not set a picture's scale."""
    if len(values) < _MANY:
        return min(values)
    low, high = np.quantile(values, [_BAD, 1.0])
    return min(value for value in values if value >= low - (high - low))


def spread(groups: Mapping[str, Sequence[float]], what: str) -> Picture:
    """How accuracies are distributed in each group, such as each epsilon."""

    def draw(figure: Figure) -> None:
        axes = _axes(figure, what, "accuracy on validation images")
        boxes = axes.boxplot(list(groups.values()), patch_artist=True, widths=0.6, sym=".")
        for box in boxes["boxes"]:
            box.set(facecolor=PALETTE[0], alpha=0.35)
        for median in boxes["medians"]:
            median.set(color=PALETTE[1], linewidth=2)
        names = [f"{name}\n{len(values)}" for name, values in groups.items()]
        axes.set_xticks(range(1, len(groups) + 1), names, fontsize=8)

    caption = (
        "A box holds the middle half of the trials, its line is the median, whiskers reach 1.5 "
        "times the box; below each group's name is how many trials it has."
    )
    return Picture("distribution", f"Distribution per {what}", caption, draw, _SIZE)


def front(run: History, cost: str, best: Sequence[Trial]) -> Picture:
    """Accuracy against a cost; a line joins the `best`, which no other beats."""
    alike = [t for t in _of(run, best[0].evaluation.fidelity) if cost in t.metrics]
    others = _thinned(alike)

    def draw(figure: Figure) -> None:
        axes = _axes(figure, _COSTS[cost], "accuracy on validation images")
        xs, ys = _places(others, cost)
        axes.scatter(xs, ys, s=10, color=MUTED, alpha=0.45, linewidths=0)
        hover(axes, xs, ys, [say(t) for t in others])
        xs, ys = _places(best, cost)
        axes.step(xs, ys, where="post", color=PALETTE[1], alpha=0.7)
        axes.scatter(xs, ys, s=26, color=PALETTE[1], zorder=3)
        hover(axes, xs, ys, [f"{say(t)}\non the front" for t in best])
        if max(xs) > 20 * max(1.0, min(xs)):
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter("")

    caption = f"On the line are {len(best)} architectures that no other beats at no more cost."
    caption += _left_out(len(alike), len(others))
    title = f"Pareto front: {_COSTS[cost].split(',')[0]}"
    return Picture(f"pareto-{cost.removesuffix('_ms')}", title, caption, draw, _SIZE)


def foreseen(run: History) -> Picture | None:
    """What was predicted, or reached by generated weights, against what training gave."""
    pairs = {name: _pairs(run, name) for name in ("predicted_accuracy", "generated_accuracy")}
    pairs = {name: found for name, found in pairs.items() if len(found) > 1}
    if not pairs:
        return None
    caption = "On the dashed line both would be the same."
    for name, found in pairs.items():
        tau = rank_correlation(*np.array([(x, y) for _, x, y in found]).T)
        said = f"Kendall's tau {tau:.2f}" if np.isfinite(tau) else "of which one kind is all equal"
        caption += f" {name.removesuffix('_accuracy').capitalize()}: {len(found)} trials, {said}."
    caption += _left_out(max(map(len, pairs.values())), MOST)

    def draw(figure: Figure) -> None:
        axes = _axes(figure, "foreseen accuracy", "measured accuracy")
        for i, (name, found) in enumerate(pairs.items()):
            some = found[:: -(-len(found) // MOST)]
            xs, ys = [x for _, x, _ in some], [y for _, _, y in some]
            axes.scatter(xs, ys, s=12, color=PALETTE[i], alpha=0.6, linewidths=0,
                         label=name.split("_")[0])  # fmt: skip
            hover(axes, xs, ys, [f"{say(t)}\nforeseen {x:.4f}" for t, x, _ in some])
        low, high = (f([*axes.get_xlim(), *axes.get_ylim()]) for f in (min, max))
        axes.plot([low, high], [low, high], "--", color=MUTED, linewidth=1)
        if len(pairs) > 1:
            axes.legend(loc="lower right")

    return Picture("predicted", "Predicted against measured", caption, draw, _SIZE)


def say(trial: Trial) -> str:
    """A trial in three short lines."""
    lines = [f"trial {trial.number}", f"accuracy {trial.evaluation.accuracy:.4f}"]
    for cost, name in _COSTS.items():
        if cost in trial.metrics:
            lines.append(f"{trial.metrics[cost]:,.4g} {name}" if cost == "latency_ms" else
                         f"{trial.metrics[cost]:,.0f} {name}")  # fmt: skip
    return "\n".join(lines)


def _axes(figure: Figure, x: str, y: str) -> Axes:
    axes = figure.add_subplot(xlabel=x, ylabel=y)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def _unit(run: History) -> tuple[str, int]:
    longest = max(run.seconds.values(), default=0.0)
    units = {7200: ("hours", 3600), 180: ("minutes", 60)}
    return next((unit for least, unit in units.items() if longest > least), ("seconds", 1))


def _of(run: History, kind: Fidelity) -> list[Trial]:
    return [t for t in run.good if t.evaluation.fidelity == kind]


def _at(run: History, trial: Trial, over: str) -> float | None:
    return trial.number + 1.0 if over == "trials" else run.seconds.get(trial.number)


def _so_far(run: History, kind: Fidelity, over: str) -> tuple[np.ndarray, np.ndarray]:
    """Where the trials of a kind are, in order, and the best until there; on to the run's end."""
    at = [(_at(run, t, over), t.evaluation.accuracy) for t in _of(run, kind)]
    # Of those told together the best comes first: the others never were the best.
    placed = [(x, y) for x, y in at if x is not None]
    known = sorted(placed, key=lambda place: (place[0], -place[1]))
    ends = [x for t in run.trials if (x := _at(run, t, over)) is not None]
    xs = np.array([x for x, _ in known] + [max(ends)])
    best = np.maximum.accumulate([y for _, y in known])
    return xs, np.append(best, best[-1])


def _has_track(run: History, over: str) -> bool:
    """Whether `_so_far` knows of any trial of its main kind."""
    return run.main is not None and any(_at(run, t, over) is not None for t in _of(run, run.main))


def _band(axes: Axes, beside: Sequence[History], over: str, per: float) -> None:
    """The mean and the range of what random searches had found, where all of them were."""
    tracks = [_so_far(run, run.main, over) for run in beside if run.main]
    start, end = max(xs[0] for xs, _ in tracks), min(xs[-1] for xs, _ in tracks)
    grid = np.linspace(start, max(start, end), 200)
    best = np.stack([ys[np.searchsorted(xs, grid, "right") - 1] for xs, ys in tracks])
    axes.fill_between(grid / per, best.min(0), best.max(0), color=MUTED, alpha=0.2, linewidth=0)
    axes.plot(grid / per, best.mean(0), color=MUTED, label="best, random")


def _places(trials: Sequence[Trial], cost: str) -> tuple[list[float], list[float]]:
    return [t.metrics[cost] for t in trials], [t.evaluation.accuracy for t in trials]


def _pairs(run: History, name: str) -> list[tuple[Trial, float, float]]:
    """Trials that were measured, with what was foreseen of them or of an equal architecture."""
    foreseen = {t.architecture.hash: t.metrics[name] for t in run.good if name in t.metrics}
    found = []
    for trial in run.good:
        if "val_accuracy" in trial.metrics:
            value = trial.metrics.get(name, foreseen.get(trial.architecture.hash))
            if value is not None:
                found.append((trial, value, trial.metrics["val_accuracy"]))
    return found


def _thinned(trials: Sequence[Trial]) -> Sequence[Trial]:
    """At most MOST of the trials, evenly, the most accurate among them."""
    if len(trials) <= MOST:
        return trials
    some = list(trials[:: -(-len(trials) // (MOST - 1))])
    best = max(trials, key=lambda t: t.evaluation.accuracy)
    return some if best in some else [*some, best]


def _left_out(there: int, shown: int) -> str:
    return f" {shown:,} of {there:,} points are drawn." if shown < there else ""
