"""What inheriting weights saves and costs: AlphaX's small search of blocks on digits.

    python benchmarks/transfer.py [--seeds 3] [--trials 80] [--relatives 16] [--blocks 30]

Prints Markdown: searches with and without, at equal numbers of trials, and how well the accuracy
of blocks that inherited orders them as training from scratch does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from nascore import methods, tasks
from nascore.evaluators import TrainEvaluator
from nascore.results.tables import best_trials
from nascore.spaces import Architecture
from nascore.trial import Job, Trial

CONFIG = methods.config("alphax", "small")
TASK = tasks.load("digits")
SCRATCH = CONFIG.problem.evaluator(TASK)
SHORT = replace(
    SCRATCH,
    recipe=replace(SCRATCH.recipe, epochs=round(CONFIG.warm_epochs * SCRATCH.recipe.epochs)),
)
FIRST_SEED = 100


def search(seed: int, trials: int, relatives: int) -> tuple[list[Trial], float]:
    """What a search found, and the seconds of processor time that it took."""
    config = replace(CONFIG, trials=trials, agent=replace(CONFIG.agent, relatives=relatives))
    began = time.process_time()
    found = list(methods.build("alphax", TASK, config, seed))
    return found, time.process_time() - began


def trained(evaluator: TrainEvaluator, blocks: Sequence[Architecture], seed: int) -> np.ndarray:
    """Validation accuracies in percent, from scratch; nan where a training failed."""
    jobs = [Job(i, block, seed + i) for i, block in enumerate(blocks)]
    metrics = [evaluation.metrics for evaluation in evaluator.evaluate(jobs)]
    return 100 * np.array([row.get("val_accuracy", np.nan) for row in metrics])


def warm(trials: Sequence[Trial]) -> list[Trial]:
    return [t for t in trials if t.evaluation.ok and "inherited" in t.metrics]


def print_searches(found: dict[str, list[tuple[list[Trial], float]]]) -> None:
    print(
        "| | s of CPU a trial | epochs a trial | best of the search, % | 3 best from scratch, % |"
    )
    print("| --- | --- | --- | --- | --- |")
    for name, runs in found.items():
        rows = []
        for trials, seconds in runs:
            best = [t.architecture for t in best_trials(trials, 3)]
            epochs = np.mean([t.metrics.get("epochs", 0) for t in trials])
            top = max(t.reward for t in trials)
            rows.append((seconds / len(trials), epochs, top, trained(SCRATCH, best, 1).mean()))
        print(f"| {name} |", " | ".join(f"{v:.2f}" for v in np.mean(rows, 0)), "|", flush=True)
        print(
            "| (per seed) |",
            " | ".join(" ".join(f"{v:.2f}" for v in c) for c in np.transpose(rows)),
            "|",
        )


def print_order(trials: Sequence[Trial], n: int) -> None:
    """How the accuracies of `n` blocks agree, from all over the searches."""
    chosen = [trials[i] for i in np.linspace(0, len(trials) - 1, n).astype(int)]
    blocks = [t.architecture for t in chosen]
    inherited = 100 * np.array([t.metrics["val_accuracy"] for t in chosen])
    share = np.array([t.metrics["inherited"] for t in chosen])
    first, second = (trained(SCRATCH, blocks, seed) for seed in (1000, 2000))
    short = trained(SHORT, blocks, 3000)
    full = (first + second) / 2
    for name, one, other in (
        ("inherited, few epochs; from scratch, all epochs", inherited, full),
        ("from scratch, few epochs; from scratch, all epochs", short, full),
        ("from scratch twice, all epochs", first, second),
        ("what inheriting adds; the share inherited", inherited - full, share),
        ("what inheriting adds; the trial's number", inherited - full, [t.number for t in chosen]),
    ):
        rho, p = stats.spearmanr(one, other, nan_policy="omit")
        print(f"rank correlation {rho:.2f} (p = {p:.3f}, n = {n}): {name}")
    for name, values in (("inherited", inherited), ("few", short), ("all", full)):
        print(f"{name}: mean {np.nanmean(values):.1f} %, spread {np.nanstd(values):.1f}")
    print(f"mean share inherited {share.mean():.2f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("seeds", 3), ("trials", 80), ("relatives", 16), ("blocks", 30)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    seeds = range(FIRST_SEED, FIRST_SEED + given.seeds)
    found: dict[str, list[tuple[list[Trial], float]]] = {"from scratch": [], "inherited": []}
    for seed in seeds:  # in turn, since a machine's speed drifts
        found["from scratch"].append(search(seed, given.trials, 0))
        found["inherited"].append(search(seed, given.trials, given.relatives))
    children = [t for trials, _ in found["inherited"] for t in warm(trials)]
    print(f"{len(children)} of {given.seeds * given.trials} trials inherited weights\n", flush=True)
    print_searches(found)
    print()
    print_order(children, given.blocks)


if __name__ == "__main__":
    main()
