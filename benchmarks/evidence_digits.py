"""Does it learn? Methods against chance in their own spaces, by true trainings on digits.

    python benchmarks/evidence_digits.py [--methods metaqnn ...] [--trials 80] [--seeds 5]
        [--out runs/evidence]

A search and its rival differ in the agent alone: space, training, reward, loop and seed are the
same. Each is a run in a folder below `--out`, so that a stopped comparison goes on, and a finished
one is only read. Two processes search, one thread each. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from evidence import FIRST_SEED, Floats, interval, paired
from nascore import methods, tasks
from nascore.agents.random import Random
from nascore.search import AskTell, Search, Store
from nascore.trial import Trial

METHODS = ("metaqnn", "nas_rl", "nasnet", "irlas", "alphax")
FIGURES = (
    "best reward",
    "its validation accuracy, %",
    "mean reward of the last quarter",
    "distinct networks",
    "minutes of training",
)


def search(method: str, trials: int, seed: int, by_chance: bool) -> Search:
    """A method's small search, or the same with chance in the agent's place."""
    task = tasks.load("digits")
    config = replace(methods.config(method, "small"), trials=trials)
    ours = methods.build(method, task, config, seed)
    if not by_chance:
        return ours
    [stage] = ours.stages
    assert isinstance(stage, AskTell), f"{method} does not ask and tell"
    problem = getattr(config, "problem", config)
    rival = AskTell(
        Random(problem.space(task), seed),
        stage.evaluator,
        stage.reward,
        trials,
        batch=stage.batch,
        in_flight=stage.in_flight,
        deadline_s=stage.deadline_s,
    )
    return replace(ours, method=f"{method}-by-chance", stages=[rival])


def history(folder: Path, method: str, trials: int, seed: int, by_chance: bool) -> list[Trial]:
    """All trials of a search, which goes on in its folder where some are missing."""
    wanted = search(method, trials, seed, by_chance)
    begun = (folder / "run.db").exists()
    with Store.open(folder, write=True) if begun else Store.create(folder, wanted.meta) as store:
        for _ in wanted.run(store):
            pass
        return store.trials()


def figures(trials: list[Trial]) -> tuple[float, ...]:
    """What FIGURES names."""
    best = max((t for t in trials if t.evaluation.ok), key=lambda t: t.reward)
    late = [t.reward for t in trials[-(len(trials) // 4) :]]
    seconds = sum(t.metrics.get("seconds", 0) for t in trials if t.repeat_of is None)
    return (
        best.reward,
        100 * best.metrics["val_accuracy"],
        float(np.mean(late)),
        len({t.architecture.hash for t in trials}),
        seconds / 60,
    )


def begin() -> None:
    """A process of ours ends with the one that started it, even where that was killed."""
    torch.set_num_threads(1)
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=methods.names())
    parser.add_argument("--trials", type=int, default=80)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--out", type=Path, default=Path("runs/evidence"))
    given = parser.parse_args()
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    tasks.load("digits")  # once, before two processes want it

    found: dict[tuple[str, bool], dict[int, tuple[float, ...]]] = {}
    with ProcessPoolExecutor(2, get_context("spawn"), begin) as pool:
        futures = {}
        for seed in seeds:
            for method in given.methods:
                for by_chance in (False, True):
                    name = f"{method}{'-by-chance' if by_chance else ''}-{given.trials}-{seed}"
                    todo = (given.out / name, method, given.trials, seed, by_chance)
                    futures[pool.submit(history, *todo)] = (method, by_chance, seed)
        done = track(as_completed(futures), "searches", len(futures), console=Console(stderr=True))
        for future in done:
            method, by_chance, seed = futures[future]
            found.setdefault((method, by_chance), {})[seed] = figures(future.result())

    def column(method: str, by_chance: bool, figure: int) -> Floats:
        return np.array([found[method, by_chance][seed][figure] for seed in seeds])

    print(f"{given.trials} trials, {given.seeds} seeds, mean ± 95 % interval:\n")
    print(f"| search | {' | '.join(FIGURES)} |\n| --- |{' --- |' * len(FIGURES)}")
    for method in given.methods:
        for by_chance, name in ((False, method), (True, f"chance in the place of {method}")):
            cells = [interval(column(method, by_chance, i)) for i in range(len(FIGURES))]
            print(f"| {name} | {' | '.join(cells)} |")
    print("\nPaired differences over seeds, with the sign test's two-sided p:\n")
    for method in given.methods:
        for i, figure in enumerate(FIGURES[:3]):
            difference = paired(column(method, False, i), column(method, True, i))
            print(f"- {method} - chance, {figure}: {difference}")


if __name__ == "__main__":
    main()
