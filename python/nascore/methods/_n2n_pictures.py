"""What N2N shows of a run: what its students lost of their teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nascore.results.pictures import Picture
from nascore.results.trial_pictures import draw_over_trials, draw_widths
from nascore.spaces import Architecture
from nascore.spaces.layers import CHANNELS, layers_of
from nascore.trial import Trial

_WINDOW = 20  # trials of a running mean


def widths(architecture: Architecture) -> list[int]:
    """Of all convolution and linear layers, from the image on."""
    layers = layers_of(architecture)
    return [row[CHANNELS] for i, row in enumerate(layers.rows) if layers.gives_width(i)]


def drawn(
    trials: Sequence[Trial], teacher: Mapping[str, Any], removals: int, searched: int
) -> list[Picture]:
    """The pictures of `trials`, the first `removals` of which remove and those up to `searched`
    shrink; the rest are trained at length. `teacher` is what its file says of it."""
    if not trials:
        return []
    own = widths(Architecture.from_json(teacher["architecture"]))
    students = [widths(trial.architecture) for trial in trials]
    numbers = np.array([trial.number for trial in trials], np.float64)
    begins = {"removal": 0.0, "shrinkage": float(removals), "final": float(searched)}
    if removals >= searched:
        del begins["shrinkage"]
    stages = {name: begin for name, begin in begins.items() if begin <= numbers[-1]}

    def metric(name: str) -> Any:
        return np.array([trial.metrics.get(name, np.nan) for trial in trials], np.float64)

    smaller = [
        ("accuracy", metric("val_accuracy"), float(teacher["val_accuracy"])),
        ("share of parameters", metric("params") / float(teacher["params"]), 1.0),
    ]
    lost = [
        ("layers removed", np.array([len(own) - len(s) for s in students], np.float64), None),
        ("share of widths left", np.array([sum(s) / sum(own) for s in students]), 1.0),
    ]
    found = [
        Picture(
            "students",
            "The students beside their teacher",
            "Accuracy on validation images, and the share of the teacher's parameters, of every "
            "student, by stage.",
            lambda figure: draw_over_trials(figure, smaller, numbers, _WINDOW, stages),
            (7.0, 4.5),
        ),
        Picture(
            "compression",
            "Layers removed and shrunk",
            "How many of the teacher's convolution and linear layers each student lacks, and the "
            "sum of the others' widths over the sum of the teacher's.",
            lambda figure: draw_over_trials(figure, lost, numbers, _WINDOW, stages),
            (7.0, 4.5),
        ),
    ]
    good = [trial for trial in trials if trial.evaluation.ok]
    if good:
        best = max(good, key=lambda trial: trial.rank)
        chosen = widths(best.architecture)
        found.append(
            Picture(
                "widths",
                f"Student {best.number} beside its teacher",
                "The widths of the layers of both, each in its own order.",
                lambda figure: draw_widths(figure, own, chosen),
            )
        )
    return found
