"""Searches on signals: MNIST-1D's generator, BlockQNN beside random search, at equal budget.

    pip install '.[test]' && python benchmarks/signals.py --trials 40 --seeds 3 --train 2000

Each search ends with its winner, which is trained from scratch and tested once.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence

import numpy as np
import torch
from mnist1d.data import get_dataset_args, make_dataset

from nascore import methods, tasks
from nascore.machine import processor
from nascore.retrain import retrain
from nascore.tasks import Task

RECIPE = ("recipe.epochs=2", "final.epochs=6")


def mnist1d(train: int) -> Task:
    """Signals of 40 numbers: `train` of 3,600 to train on, 400 to validate, 1,000 to test."""
    found = make_dataset(get_dataset_args())
    test = (found["x_test"].astype(np.float32), found["y_test"])
    signals = found["x"].astype(np.float32), found["y"]
    return tasks.from_signals(*signals, test=test, name="mnist1d", limit_train=train)


def searched(method: str, task: Task, trials: int, seed: int) -> tuple[float, float, float, int]:
    """Of a search: its best, the mean of its last quarter, its winner's test, and parameters."""
    prefix = "" if method == "blockqnn" else "block."
    settings = [f"trials={trials}", *(f"{prefix}{setting}" for setting in RECIPE)]
    config = methods.with_settings(methods.config(method, "small"), settings)
    found = list(methods.build(method, task, config, seed))
    good = [trial for trial in found if trial.evaluation.ok]
    best = max(good, key=lambda trial: trial.rank)
    late = [t.evaluation.accuracy for t in good if t.number >= 3 * trials // 4]
    with tempfile.TemporaryDirectory() as folder:
        plan = (config.skeleton, config.final, seed, f"{folder}/model", "cpu")
        final = retrain(best.architecture, task, *plan)
    return best.evaluation.accuracy, float(np.mean(late)), final.test_accuracy, final.params


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", type=int, default=2000)
    asked = parser.parse_args(arguments)
    task = mnist1d(asked.train)
    print(f"torch {torch.__version__}, {processor()}, {task.shape}, {asked.trials} trials")
    for method in ("blockqnn", "random"):
        began, rows = time.perf_counter(), []
        for seed in range(asked.seeds):
            rows.append(searched(method, task, asked.trials, seed))
            print(method, seed, *(f"{value:.4f}" for value in rows[-1]), flush=True)
        values = np.array(rows)
        said = zip(values.mean(0), values.std(0, ddof=1), strict=True)
        print(
            f"{method}: best validation, mean of the last quarter, test, parameters: "
            + "; ".join(f"{mean:.4g} ± {std:.2g}" for mean, std in said)
            + f"; {time.perf_counter() - began:.0f} s"
        )


if __name__ == "__main__":
    main()
