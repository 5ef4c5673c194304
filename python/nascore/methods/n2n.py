"""N2N (Ashok et al., ICLR 2018): a trained network loses layers, then width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from torch import nn

from nascore.agents.compression import Scale
from nascore.evaluators.distill import DistillEvaluator
from nascore.methods import _search
from nascore.methods._n2n import TEACHER, Compress, Final, Teach, saved_policy
from nascore.methods._n2n_pictures import drawn
from nascore.networks import Recipe
from nascore.networks.distillation import (
    Distillation,
    Taught,
    lesson,
    read_card,
)
from nascore.networks.imported import imported
from nascore.networks.models import load_model
from nascore.networks.models import read_card as read_model_card
from nascore.networks.teachers import VGG, ResNet
from nascore.results.pictures import Picture
from nascore.search import Search, Store
from nascore.spaces import WholeNet
from nascore.tasks import Task
from nascore.trial import Limits, Trial

_NET, _LIMITS, _DISTILLATION = WholeNet(), Limits(), Distillation()
# Choice: how the teachers were trained is not said.
_TEACHER = Recipe(200, 128, "sgd", 0.1, weight_decay=5e-4, nesterov=True, schedule="cosine")
_STUDENT = Recipe(5, 200, "adam", 5e-4, weight_decay=5e-4, restarts=0)
# Choice: "to convergence" is all that is known of it.
_FINAL = replace(_STUDENT, epochs=150, lr=1e-3, schedule="cosine")


@dataclass(frozen=True)
class Config(_search.Loop):
    """The published search for CIFAR-10; "choice" marks where the paper was not readable.

    `teacher` is "resnet" or "vgg", of `blocks` and `widths`, or the folder of a finished model.
    Of the `trials`, the share `removal` goes to removing layers, the others to shrinking those of
    the best student. Both rewards compare with the teacher, whose logits all students learn.
    """

    trials: int = 750  # 100 iterations of removal, 50 of shrinkage
    batch: int = 5  # N, the rollouts of an iteration
    removal: float = 2 / 3
    teacher: str = "resnet"
    teacher_mean: tuple[float, ...] = ()  # of a trained one's images, per channel in 0..1;
    teacher_std: tuple[float, ...] = ()  # else a model's own, or the task's
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    teacher_recipe: Recipe = _TEACHER
    recipe: Recipe = _STUDENT  # 5 epochs
    distillation: Distillation = _DISTILLATION
    learner: Literal["reinforce", "actor_critic"] = "reinforce"
    units: int = 30
    descriptions: Scale = "raw"  # or "log", of layers
    removal_lr: float = 0.003
    shrinkage_lr: float = 0.1  # 0.01 for VGG
    baseline: float = 0.9  # choice: the decay of its moving average
    entropy: float = 0.0  # its weight, per decision
    max_params: int | None = None  # limits of the constrained reward
    min_accuracy: float | None = None
    anneal: int = 15  # iterations until these are fully in force; 0: they are from the start
    min_width: int = 10
    strided: bool = False  # whether strided convolutions may lose width
    transfer: str | None = None  # a run of this method, with whose policies to begin
    students: int = 3  # choice: the best, trained at length in the end
    skeleton: WholeNet = _NET
    final: Recipe = _FINAL  # of these, and of `retrain`
    limits: Limits = _LIMITS  # choice
    time_limit_s: float | None = None  # choice: per student

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, holds, rule in (
            ("removal", 0 < self.removal <= 1, "in (0, 1]"),
            ("students", self.students >= 1, "at least 1"),
            ("anneal", self.anneal >= 0, "0 or more"),
            ("min_width", self.min_width >= 1, "at least 1"),
        ):
            if not holds:
                raise ValueError(f"{name}={getattr(self, name)} must be {rule}")


def paper() -> Config:
    """The published search, for a GPU server."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes: every value is a choice."""
    return Config(
        trials=120,
        blocks=(3, 3, 3),
        widths=(16, 32, 64),
        teacher_recipe=replace(_TEACHER, epochs=30, batch=64, lr=0.05),
        recipe=replace(_STUDENT, batch=64, lr=3e-3),
        final=replace(_FINAL, epochs=60, batch=64, lr=3e-3),
        descriptions="log",
        removal=0.6,
        removal_lr=0.006,
        shrinkage_lr=0.03,
        entropy=0.002,  # with 0.02 the bonus outweighs the reward: the policies stay near chance
        strided=True,
        time_limit_s=600.0,
    )


def build(task: Task, config: Config, seed: int, teacher: nn.Module | None = None) -> Search:
    """The search of this method over `task`.

    `teacher` is any trained module that torch.fx can trace, instead of the config's; where it was
    trained on images of another normalisation than the task's, the config says `teacher_mean` and
    `teacher_std`. Raises ValueError where a layer of it is of no known kind, or its logits are not
    those of the task.
    """
    if config.transfer is not None:  # before a teacher is trained
        saved_policy(Path(config.transfer), "removal")
    trained = teacher is not None or config.teacher not in ("resnet", "vgg")
    mean, std = task.mean, task.std
    if teacher is None:
        if trained:
            teacher = load_model(config.teacher)
            card = read_model_card(Path(config.teacher))
            mean, std = tuple(card["mean"]), tuple(card["std"])
        else:
            if not 0 < len(config.blocks) == len(config.widths):
                raise ValueError(f"blocks={config.blocks} needs as many widths={config.widths}")
            kind = ResNet if config.teacher == "resnet" else VGG
            teacher = kind(task.shape[0], task.classes, config.blocks, config.widths)
    shape = task.shape
    if len(shape) != 3:
        raise ValueError(
            f"{task.name} is of signals {shape}: teachers are of images (C, H, W) alone; use "
            "another method, such as blockqnn"
        )
    architecture, network = imported(teacher, shape)
    if (logits := architecture.code[-1][6]) != task.classes:
        raise ValueError(f"the teacher gives {logits} logits; {task.name} has {task.classes}")
    if config.teacher_mean or config.teacher_std:
        if not trained:
            raise ValueError(
                "teacher_mean and teacher_std are a trained teacher's; this one is to be trained "
                f"on {task.name} as it is normalised: leave them out"
            )
        mean, std = config.teacher_mean, config.teacher_std
    if not len(mean) == len(std) == task.shape[0] or min(std) <= 0:
        raise ValueError(
            f"teacher_mean={mean} and teacher_std={std}: {task.name} has images of "
            f"{task.shape[0]} channels; give one number for each, and deviations above 0"
        )
    evaluator = DistillEvaluator(
        task,
        config.skeleton,
        config.recipe,
        config.limits,
        config.time_limit_s,
        teacher=TEACHER,
        distillation=config.distillation,
    )
    removals = removal_trials(config)
    stages: list[Any] = [
        Teach(
            task,
            architecture,
            network if trained else None,
            config.teacher_recipe,
            seed,
            replace(task, mean=mean, std=std),
        ),
        Compress("removal", task, config, seed, removals, evaluator),
    ]
    if removals < config.trials:
        stages.append(
            Compress("shrinkage", task, config, seed, config.trials - removals, evaluator)
        )
    final = replace(evaluator, recipe=config.final, fidelity="full", time_limit_s=None)
    stages.append(Final(config, config.students, final))
    settings = asdict(config)
    if trained and config.teacher in ("resnet", "vgg"):
        settings["teacher"] = f"module {architecture.hash}"
    return Search("n2n", settings, task.name, seed, stages, task.shape)


def removal_trials(config: Config) -> int:
    """How many of the trials, in whole iterations, remove layers."""
    iterations = -(-config.trials // config.batch)
    return min(config.trials, max(1, round(config.removal * iterations)) * config.batch)


def taught(config: Config, run: Path, task: Task) -> Taught | None:
    """What a student of the folder `run` learns from; None on other data, of which labels tell."""
    path = run / "weights" / TEACHER
    if read_card(path)["task"] != task.name:
        return None
    return lesson(path, task, config.distillation)


def figures(config: Config, trials: Sequence[Trial]) -> dict[str, float]:
    """Whether the policies got better: mean rewards of each one's first and last iterations.

    Of up to 10 iterations, and of half of a stage at most.
    """
    proxies = [t.reward for t in trials if t.evaluation.fidelity == "proxy"]
    found = {"distinct students": float(len({t.architecture.hash for t in trials}))}
    removals = removal_trials(config)
    for kind, rewards in ("removal", proxies[:removals]), ("shrinkage", proxies[removals:]):
        n = min(10, len(rewards) // config.batch // 2)
        if n:
            first, last = rewards[: n * config.batch], rewards[-n * config.batch :]
            found[f"mean reward of {kind}, first {n} iterations"] = round(fmean(first), 4)
            found[f"mean reward of {kind}, last {n} iterations"] = round(fmean(last), 4)
    return found


def pictures(config: Config, store: Store) -> list[Picture]:
    """What the students lost, and how good they are; none of a run without a teacher's file."""
    path = None if store.folder is None else store.folder / "weights" / TEACHER
    if path is None or not path.exists():
        return []
    return drawn(store.trials(), read_card(path), removal_trials(config), config.trials)
