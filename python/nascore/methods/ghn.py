"""GHN (Zhang et al., ICLR 2019): random architectures ranked by generated weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Literal

import numpy as np

from nascore.agents.random import Random
from nascore.evaluators.hypernet import HypernetEvaluator
from nascore.methods import _search
from nascore.methods._ghn import FILE, TrainBest, TrainHypernetwork
from nascore.methods._problem import DagProblem
from nascore.networks import Recipe
from nascore.results.pictures import Picture
from nascore.results.trial_pictures import draw_ranking
from nascore.search import AskTell, Search, Store
from nascore.search.loop import Stage
from nascore.spaces import Skeleton
from nascore.surrogates.hypernetwork import Design
from nascore.tasks import Task
from nascore.trial import Trial

# Choice, since GHN's own was not readable, but for its holes: that of DARTS, without the auxiliary
# head and the dropped paths, which only cells have.
_FINAL = Recipe(
    *(600, 96, "sgd", 0.025),
    weight_decay=3e-4,
    schedule="cosine",
    restarts=0,
    clip=5.0,
    cutout=16,
)
# 17 nodes in each of 18 blocks, twice the width after every 6 (section 5.1.1).
_DAG = DagProblem(kind="sums", nodes=17, skeleton=Skeleton(blocks=6), final=_FINAL)
_DESIGN = Design()
# Choice: GHN's own was not readable; the published training of GHN-2 (section 5).
_TRAINING = Recipe(
    *(300, 64, "adam", 1e-3),
    weight_decay=1e-5,
    drops=(200 / 300, 250 / 300),
    restarts=0,
    clip=5.0,
)


@dataclass(frozen=True)
class Config(_search.AnyProblem, _search.Loop):
    """Trains a hypernetwork, ranks `trials` random architectures, and trains the `top` for real.

    That training is the short one of the space's problem, as for "Top-Best"; `retrain` trains the
    best of them fully. Of `training` count the epochs, batch, rate, drops, decay, clip and label
    smoothing. With fewer trials than `top` all are trained.
    """

    space: Literal["dag", "block", "cell", "layer", "skip", "anytime"] = "dag"
    dag: DagProblem = _DAG
    train_nodes: int = 7  # at most, of the blocks of summing nodes that it is trained on
    design: Design = _DESIGN
    training: Recipe = _TRAINING
    meta_batch: int = 1  # architectures for each batch of images; GHN-2 has 8
    test_batch: int = 64  # images that share batch statistics where generated weights are tested
    trials: int = 1000
    batch: int = 50  # choice
    top: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("train_nodes", "meta_batch", "top"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")


def paper() -> Config:
    """The published search for CIFAR-10, for a GPU."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes."""
    return Config(
        **{
            **_search.SMALL,
            "dag": replace(_search.SMALL["dag"], kind="sums", nodes=7),
            "train_nodes": 5,
            # GHN-2's scaling, with which so short a training learns twice as much.
            "design": Design(passes=2, channels=32, fan_in=True, layer_norm=True),
            "training": replace(_TRAINING, epochs=60, lr=3e-3, schedule="cosine", drops=()),
            "trials": 100,
            "batch": 10,
            "top": 5,
        }
    )


def build(task: Task, config: Config, seed: int) -> Search:
    """The search of this method over `task`."""
    problem = config.problem
    training = {
        "design": config.design,
        "task": task,
        "space": _training_problem(config).space(task),
        "skeleton": problem.skeleton,
        "recipe": config.training,
        "meta_batch": config.meta_batch,
        "seed": seed,
    }
    rank = AskTell(
        Random(problem.space(task), seed),
        HypernetEvaluator(
            *(task, problem.skeleton, config.design, FILE, problem.limits, config.test_batch),
            budget=getattr(problem, "budget", None),
        ),
        problem.reward(),
        config.trials,
        batch=config.batch,
        deadline_s=problem.time_limit_s,
    )
    best = TrainBest(
        problem.evaluator(task),
        problem.reward(),
        min(config.top, config.trials),
        problem.time_limit_s,
    )
    stages: list[Stage] = [TrainHypernetwork(training), rank, best]
    return Search("ghn", asdict(config), task.name, seed, stages, task.shape)


def figures(config: Config, trials: Sequence[Trial]) -> dict[str, float]:
    """The means of both accuracies, and of both areas, over those that were trained."""
    both = [t.metrics for t in trials if {"generated_accuracy", "val_accuracy"} <= t.metrics.keys()]
    names = ("generated_accuracy", "val_accuracy", "generated_area", "val_area")
    known = [name for name in names if both and name in both[0]]
    return {f"mean {name} of the trained": fmean(m[name] for m in both) for name in known}


def _training_problem(config: Config) -> _search.Problem:
    """What the hypernetwork is trained on: the same space, of smaller blocks where it has some."""
    if config.space == "dag" and config.dag.kind == "sums":
        return replace(config.dag, nodes=min(config.train_nodes, config.dag.nodes))
    return config.problem


def pictures(config: Config, store: Store) -> list[Picture]:
    """How architectures rank by generated weights, and which were then trained."""
    trials = store.trials()
    ranked = {
        trial.architecture.hash: trial
        for trial in trials
        if trial.evaluation.ok and trial.evaluation.fidelity == "hypernet"
    }
    if not ranked:
        return []
    trained = [t for t in trials if t.evaluation.ok and t.evaluation.fidelity != "hypernet"]
    numbers = {ranked[t.architecture.hash].number for t in trained if t.architecture.hash in ranked}
    generated = np.array([trial.evaluation.accuracy for trial in ranked.values()])
    order = np.array([trial.number for trial in ranked.values()], np.float64)
    return [
        Picture(
            "ranking",
            "Ranked by generated weights",
            "The accuracy of every architecture with weights that the hypernetwork generates, "
            "best first; rings are those that were then trained.",
            lambda figure: draw_ranking(figure, generated, order, numbers),
        ),
    ]
