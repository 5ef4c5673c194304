"""N2N's students beside those of chance and uniform width scaling, by true trainings.

All are distilled alike from one teacher; chance has as many students as the policies, the scaled
network as many parameters as N2N's student, and not more. What is reported was chosen by validation
accuracy alone; test images are for the table. Resumes where it was stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nascore import methods, tasks
from nascore.agents.random import Random
from nascore.methods._n2n import TEACHER, Compress
from nascore.methods.n2n import Config, taught
from nascore.networks import accuracy
from nascore.networks.distillation import load_teacher, read_card
from nascore.networks.imported import imported
from nascore.networks.teachers import ResNet
from nascore.retrain import retrain
from nascore.search import Search, Store
from nascore.spaces import Architecture, WholeNet
from nascore.spaces.compression import RemovalSpace, ShrinkageSpace
from nascore.tasks import Task
from nascore.trial import Agent, Trial

FIRST_SEED = 100  # no setting was chosen with these


@dataclass
class ByChance(Compress):
    """Random actions in the place of the policy."""

    def agent(self, parent: Architecture) -> Agent:
        if self.kind == "removal":
            return Random(RemovalSpace(parent), self.seed)
        return Random(ShrinkageSpace(parent, self.config.min_width), self.seed ^ 1)


def searched(task: Task, config: Config, seed: int, chance: bool, folder: Path) -> list[Trial]:
    """The trials of a search, or of one by chance, whose teacher is the same."""
    plan = methods.build("n2n", task, config, seed)
    if chance:
        stages = [ByChance(**vars(s)) if type(s) is Compress else s for s in plan.stages]
        plan = Search("n2n", plan.config, plan.task, seed, stages)
    exists = (folder / "run.db").exists()
    with Store.open(folder, write=True) if exists else Store.create(folder, plan.meta) as store:
        for trial in plan.run(store):
            print(f"{folder.name}: trial {trial.number}, reward {trial.reward:.3f}", flush=True)
        return store.trials()


def chosen(trials: Sequence[Trial], teacher: dict[str, float]) -> Architecture:
    """The smallest of the last stage that lost at most a point; if none, that of most reward."""
    last = [t for t in trials if t.evaluation.fidelity == "full" and t.evaluation.ok]
    close = [t for t in last if t.evaluation.accuracy >= teacher["val_accuracy"] - 0.01]
    if close:
        return min(close, key=lambda t: t.metrics["params"]).architecture
    return max(last, key=lambda t: t.reward).architecture


def scaled(task: Task, config: Config, most: int) -> Architecture:
    """The teacher with all widths times one factor, as large as `most` parameters allow."""
    for factor in np.arange(1, 0, -0.01):
        widths = [max(1, round(width * factor)) for width in config.widths]
        module = ResNet(task.shape[0], task.classes, config.blocks, widths)
        if sum(p.numel() for p in module.parameters()) <= most:
            return imported(module, task.shape)[0]
    raise ValueError(f"no width of the teacher has {most} parameters")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="digits")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], help="settings of the method")
    parser.add_argument("--out", type=Path, default=Path("runs/n2n"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    task = tasks.load(given.task)
    config = methods.with_settings(methods.config("n2n", "small"), given.set)

    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    for seed in range(FIRST_SEED, FIRST_SEED + given.seeds):
        run = given.out / f"{task.name}-{seed}"
        by_policy = searched(task, config, seed, False, run)
        by_chance = searched(task, config, seed, True, run.with_name(f"{run.name}-by-chance"))
        card = read_card(run / "weights" / TEACHER)
        teacher = load_teacher(run / "weights" / TEACHER, task.shape, task.classes)
        test = accuracy(teacher, task, "test").accuracy
        rows.setdefault("teacher", []).append((card["params"], card["val_accuracy"], test, 0))
        student = chosen(by_policy, card)
        params = WholeNet().expand(student, task.shape, task.classes).params
        nets = {
            "N2N": (student, by_policy),
            "random actions": (chosen(by_chance, card), by_chance),
            "uniform width scaling": (scaled(task, config, params), []),
        }
        for name, (architecture, trials) in nets.items():
            model = given.out / f"{run.name}-{name.replace(' ', '-')}"
            lesson = taught(config, run, task)
            plan = (task, config.skeleton, config.final, seed, model)
            found = retrain(architecture, *plan, taught=lesson)
            rewards = [t.reward for t in trials if t.evaluation.fidelity == "proxy"]
            late = float(np.mean(rewards[-10 * config.batch :])) if rewards else float("nan")
            rows.setdefault(name, []).append(
                (found.params, found.val_accuracy, found.test_accuracy, late)
            )
    print(f"\n{task.name}, {given.seeds} seeds, means (each seed's in brackets):\n")
    print("| network | parameters | times smaller | validation, % | test, % | late reward |")
    print("| --- | --- | --- | --- | --- | --- |")
    first = np.array(rows["teacher"])
    for name, values in rows.items():
        params, valid, tested, late = np.array(values).T
        smaller = first[:, 0] / params
        cells = [f"{params.mean():,.0f}", f"{smaller.mean():.1f} {list(smaller.round(1))}"]
        cells += [f"{100 * x.mean():.2f} {list((100 * x).round(2))}" for x in (valid, tested)]
        print(f"| {name} | {' | '.join(cells)} | {late.mean():.3f} |".replace("np.float64", ""))


if __name__ == "__main__":
    main()
