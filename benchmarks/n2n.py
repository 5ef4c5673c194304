"""N2N's students beside those of chance and uniform width scaling, by true trainings.

All are distilled alike from one teacher. Chance has as many students as the policies and the same
reward; the scaled network has as many parameters as N2N's student, and not more. What is reported
was chosen by validation accuracy alone; test images are for the table. Resumes where it was
stopped.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nascore import methods, tasks
from nascore.agents.random import Random
from nascore.methods._n2n import Compress
from nascore.methods.n2n import Config, figures, taught
from nascore.networks.imported import imported
from nascore.networks.teachers import VGG, ResNet
from nascore.retrain import Trained, retrain
from nascore.search import Compression, Search, Store
from nascore.search.rewards import compression
from nascore.spaces import Architecture
from nascore.spaces.compression import RemovalSpace, ShrinkageSpace
from nascore.tasks import Task
from nascore.trial import Agent, Job, Trial

FIRST_SEED = 100  # no setting was chosen with these
N2N, CHANCE, SCALING = "N2N", "random actions", "uniform width scaling"


@dataclass
class ByChance(Compress):
    """Random actions in the place of the policy."""

    def agent(self, parent: Architecture) -> Agent:
        config = self.config
        if self.kind == "removal":
            return Random(RemovalSpace(parent), self.seed)
        space = ShrinkageSpace(parent, config.min_width, config.strided)
        return Random(space, self.seed ^ 1)


def searched(task: Task, config: Config, seed: int, chance: bool, folder: Path) -> list[Trial]:
    """The trials of a search, or of one by chance."""
    plan = methods.build("n2n", task, config, seed)
    if chance:
        stages = [ByChance(**vars(s)) if type(s) is Compress else s for s in plan.stages]
        plan = Search("n2n", plan.config, plan.task, seed, stages)
    exists = (folder / "run.db").exists()
    with Store.open(folder, write=True) if exists else Store.create(folder, plan.meta) as store:
        for trial in plan.run(store):
            print(f"{folder.name}: trial {trial.number}, reward {trial.reward:.3f}", flush=True)
        return store.trials()


def untrained(task: Task, config: Config, widths: Sequence[int]) -> nn.Module:
    """The config's kind of teacher, of other widths."""
    kind = VGG if config.teacher == "vgg" else ResNet
    return kind(task.shape[0], task.classes, config.blocks, widths)


def scaled(task: Task, config: Config, most: int) -> Architecture:
    """The teacher with all widths times one factor, as large as `most` parameters allow."""
    for factor in np.arange(1, 0, -0.01):
        widths = [max(1, round(width * factor)) for width in config.widths]
        module = untrained(task, config, widths)
        if sum(p.numel() for p in module.parameters()) <= most:
            return imported(module, task.shape)[0]
    raise ValueError(f"no width of the teacher has {most} parameters")


def compared(
    task: Task,
    config: Config,
    last: Sequence[str],
    seed: int,
    smaller: float,
    lost: float,
    out: Path,
) -> tuple[Compression, dict[str, Trained]]:
    """The networks of one seed by their arm, the teacher's first, and the reward that judges.

    The reward asks for students `smaller` times smaller that lose at most `lost` of the accuracy.
    The accuracy counts for students that are trained at length, the size where the best of all are
    chosen; while the policies learn, the reward alone tells them to be small. In the end all are
    trained by the config's final recipe with the settings `last`.
    """
    run = out / f"{Path(task.name).name}-{seed}"
    module = untrained(task, config, config.widths)
    architecture = imported(module, task.shape)[0]
    plan = (task, config.skeleton, config.teacher_recipe, seed)
    teacher = retrain(architecture, *plan, run.with_name(f"{run.name}-teacher"))
    most = int(teacher.params / smaller)
    given = replace(config, teacher=str(teacher.path), max_params=most, anneal=10**6)
    least = teacher.val_accuracy - lost
    judge = Compression(teacher.params, teacher.val_accuracy, most, least, anneal=0)

    def chosen(trials: Sequence[Trial]) -> Architecture:
        last = [t for t in trials if t.evaluation.fidelity == "full" and t.evaluation.ok]
        job = Job(0, architecture, seed)
        best = max(last, key=lambda t: (judge(job, t.evaluation), t.reward, -t.number))
        return best.architecture

    found = {"teacher": teacher}
    trials = {}
    for arm, chance in ((N2N, False), (CHANCE, True)):
        folder = run.with_name(f"{run.name}-by-chance") if chance else run
        trials[arm] = searched(task, given, seed, chance, folder)
        print(f"{folder.name}: {figures(given, trials[arm])}", flush=True)
    lesson = taught(given, run, task)
    recipe = methods.with_settings(config, [f"final.{setting}" for setting in last]).final

    def train(arm: str, student: Architecture) -> None:
        model = run.with_name("-".join([run.name, *arm.split(), *last]))
        plan = (task, config.skeleton, recipe, seed, model)
        found[arm] = retrain(student, *plan, taught=lesson)

    for arm, its_trials in trials.items():
        train(arm, chosen(its_trials))
    train(SCALING, scaled(task, config, found[N2N].params))
    return judge, found


def table(task: Task, lost: float, seeds: Sequence[tuple[Compression, dict[str, Trained]]]) -> str:
    """Means over the seeds, each seed's in brackets, and who beats whom."""

    def cell(values: Sequence[float], form: str) -> str:
        each = ", ".join(format(value, form) for value in values)
        return f"{np.mean(values):{form}}" + (f" [{each}]" if len(values) > 1 else "")

    lines = [
        f"{Path(task.name).name}, {len(seeds)} seeds; {len(task.split('train')[1]):,} training, "
        f"{len(task.split('valid')[1]):,} validation, {len(task.split('test')[1]):,} test images",
        "",
        "| network | parameters | times smaller | validation, % | points lost | test, % | reward |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    rewards: dict[str, list[float]] = {}
    tests: dict[str, list[float]] = {}
    for arm in seeds[0][1]:
        nets = [(judge, found["teacher"], found[arm]) for judge, found in seeds]
        rewards[arm] = [
            compression(1 - net.params / teacher.params, net.val_accuracy, teacher.val_accuracy)
            for _, teacher, net in nets
        ]
        tests[arm] = [100 * net.test_accuracy for _, _, net in nets]
        cells = [
            cell([net.params for _, _, net in nets], ",.0f"),
            cell([teacher.params / net.params for _, teacher, net in nets], ".1f"),
            cell([100 * net.val_accuracy for _, _, net in nets], ".2f"),
            cell([100 * (t.val_accuracy - net.val_accuracy) for _, t, net in nets], ".2f"),
            cell(tests[arm], ".2f"),
            cell(rewards[arm], ".3f"),
        ]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    lines.append("")
    kept = []
    for judge, found in seeds:
        net = found[N2N]
        small = net.params <= (judge.max_params or 0)
        kept.append(small and net.val_accuracy >= found["teacher"].val_accuracy - lost)
    lines.append(f"N2N keeps size and accuracy as asked in {sum(kept)} of {len(kept)} seeds.")
    for arm in (CHANCE, SCALING):
        for name, values in (("reward", rewards), ("test accuracy", tests)):
            ahead = float(np.mean(values[N2N]) - np.mean(values[arm]))
            wins = sum(a > b for a, b in zip(values[N2N], values[arm], strict=True))
            verb = "beats" if ahead > 0 else "does not beat"
            text = f"N2N {verb} {arm} in mean {name}, by {ahead:+.3f}"
            lines.append(f"{text} (ahead in {wins} of {len(seeds)} seeds).")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="digits")
    parser.add_argument("--limit-train", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--smaller", type=float, default=5.0, help="times, at least")
    parser.add_argument("--lost", type=float, default=0.01, help="of validation accuracy, at most")
    parser.add_argument("--set", nargs="*", default=[], help="settings of the method")
    parser.add_argument("--last", nargs="*", default=[], help="of the table's trainings")
    parser.add_argument("--out", type=Path, default=Path("runs/n2n"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    task = tasks.load(given.task, limit_train=given.limit_train)
    config = methods.with_settings(methods.config("n2n", "small"), given.set)
    began = time.process_time()
    seeds = []
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        seeds.append(compared(task, config, given.last, seed, given.smaller, given.lost, given.out))
        print(f"\n{table(task, given.lost, seeds)}\n", flush=True)
    print(f"{time.process_time() - began:,.0f} CPU seconds")
    print({name: value for name, value in asdict(config).items() if name != "limits"})


if __name__ == "__main__":
    main()
