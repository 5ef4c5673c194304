"""IRLAS (Guo et al., CVPR 2019): BlockQNN, drawn towards the topology of a human expert's block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from nascore.agents.apprenticeship import Learner, MirrorStimuli, distances, learn
from nascore.agents.differentiable import Differentiable
from nascore.methods import _pictures, _search, blockqnn
from nascore.networks.recipe import Recipe
from nascore.results.pictures import Picture
from nascore.results.trial_pictures import draw_over_trials
from nascore.search import Search, Store
from nascore.spaces.published import EXPERTS
from nascore.tasks import Task
from nascore.trial import Agent, Evaluation, Job, Reward, Trial

# Of the relaxed network's weights, as in DARTS.
_RELAXED = Recipe(50, 64, "sgd", 0.025, weight_decay=3e-4, schedule="cosine")


@dataclass(frozen=True)
class Config(blockqnn.Config):
    """BlockQNN's values, and those of the mirror stimuli function, all but the expert choices.

    With a `topology_gamma` of 0.9 up to 15 % of random blocks score above the expert, with 0.5 at
    most 0.1 %. The differentiable version has no use for BlockQNN's learner; of each batch, its
    first block is the one that DARTS would derive.
    """

    version: Literal["reinforcement", "differentiable"] = "reinforcement"
    topology_weight: float = 30.0  # lambda: percent of accuracy between chance and the expert
    topology_gamma: float = 0.5  # discount of a row's features
    margin: float = 0.01  # w is learned until the expert's margin is this share of its counts
    expert: Literal["resnext", "resnet", "densenet"] = "resnext"
    learner: Learner = "max_margin"
    relaxed: Recipe = _RELAXED  # its epochs are spread over the trials
    choices_lr: float = 3e-4  # of the relaxed block's choices (DARTS)
    choices_decay: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, holds, rule in (
            ("topology_weight", 0 <= self.topology_weight < math.inf, "0 or more"),
            ("topology_gamma", 0 < self.topology_gamma <= 1, "in (0, 1]"),
            ("margin", 0 < self.margin < 1, "in (0, 1)"),
            ("choices_lr", 0 < self.choices_lr < math.inf, "above 0"),
            ("choices_decay", 0 <= self.choices_decay < math.inf, "0 or more"),
        ):
            if not holds:
                raise ValueError(f"{name}={getattr(self, name)} must be {rule}")


def paper() -> Config:
    """The published search, for a GPU server."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes."""
    # So few steps must move the choices more each.
    relaxed = replace(_RELAXED, epochs=20)
    return Config(**vars(blockqnn.small()), relaxed=relaxed, choices_lr=0.02)


@dataclass(frozen=True)
class Guided:
    """R = F_accuracy + lambda F_topology, never below `floor`; a failed evaluation gets no F."""

    accuracy: Reward
    topology: MirrorStimuli
    weight: float
    floor: float

    def __call__(self, job: Job, evaluation: Evaluation) -> float:
        reward = self.accuracy(job, evaluation)
        if not evaluation.ok:
            return reward
        [topology] = self.topology([job.architecture])
        return max(self.floor, reward + self.weight * float(topology))


def mirror_stimuli(config: Config, task: Task, seed: int) -> MirrorStimuli:
    """F_topology, learned before and without any training of networks."""
    return learn(
        config.space(task),
        EXPERTS[config.expert],
        seed,
        config.topology_gamma,
        config.margin,
        config.learner,
    )


def build(task: Task, config: Config, seed: int) -> Search:
    """The search of this method over `task`."""
    topology = mirror_stimuli(config, task, seed)
    reward = Guided(config.reward(), topology, config.topology_weight, config.floor)
    agent: Agent
    if config.version == "reinforcement":
        agent, snapshot_every = blockqnn.agent(config, config.space(task), seed), 256
    else:
        agent = relaxed_agent(task, config, topology, seed)
        snapshot_every = config.batch  # to train it again would cost more
    return _search.search(
        "irlas", task, config, config, agent, seed, reward, snapshot_every=snapshot_every
    )


def relaxed_agent(task: Task, config: Config, topology: MirrorStimuli, seed: int) -> Differentiable:
    """The learner of the differentiable version."""
    return Differentiable(
        config.space(task),
        seed,
        trials=config.trials,
        task=task,
        skeleton=config.skeleton,
        recipe=config.relaxed,
        lr=config.choices_lr,
        weight_decay=config.choices_decay,
        topology=topology,
        weight=config.topology_weight
        / 100,  # the loss is in nats, of the size of accuracies in 0..1
    )


def figures(config: Config, trials: Sequence[Trial]) -> dict[str, float]:
    """Whether the search still looks around: a strong prior collapses it onto the expert."""
    blocks = [trial.architecture for trial in trials]
    distance = distances(blocks, EXPERTS[config.expert], config.topology_gamma)
    late = distance[-max(1, len(distance) // 4) :]
    return {
        "distinct blocks": len({block.hash for block in blocks}),
        "mean distance to the expert": round(float(distance.mean()), 4),
        "mean distance to the expert, last quarter": round(float(late.mean()), 4),
    }


def pictures(config: Config, store: Store) -> list[Picture]:
    """How far from the expert the search looks, and the Q values of the reinforcement version."""
    trials = store.trials()
    if not trials:
        return []
    blocks = [trial.architecture for trial in trials]
    distance = distances(blocks, EXPERTS[config.expert], config.topology_gamma)
    numbers = np.array([trial.number for trial in trials], np.float64)
    panels = [
        ("distance to the expert", distance, None),
        ("reward", np.array([trial.reward for trial in trials]), None),
    ]
    found = [
        Picture(
            "expert",
            "Distance to the expert",
            f"How far the feature counts of each block are from those of {config.expert}'s, and "
            "its reward. A search that collapses onto the expert stays at 0.",
            lambda figure: draw_over_trials(figure, panels, numbers, 20, {}),
        )
    ]
    if config.version == "reinforcement":
        found += _pictures.q_learning(store, config, blockqnn.agent)
    return found
