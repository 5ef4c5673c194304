"""IRLAS (Guo et al., CVPR 2019): BlockQNN, drawn towards the topology of a human expert's block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nascore.agents.apprenticeship import Learner, MirrorStimuli, distances, learn
from nascore.methods import _problem, blockqnn
from nascore.search import Search
from nascore.spaces.published import EXPERTS
from nascore.tasks import Task
from nascore.trial import Evaluation, Job, Reward, Trial


@dataclass(frozen=True)
class Config(blockqnn.Config):
    """BlockQNN's values, and those of the mirror stimuli function, all but the expert choices.

    At 0.9 for `topology_gamma` the later rows count for so much that the best block under w is no
    nearer to the expert than a random one.
    """

    topology_weight: float = 30.0  # lambda: percent of accuracy between chance and the expert
    topology_gamma: float = 0.5  # discount of a row's features
    margin: float = 0.01  # w is learned until the expert's margin is this share of its counts
    expert: Literal["resnext", "resnet", "densenet"] = "resnext"
    learner: Learner = "max_margin"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.topology_weight < np.inf:
            raise ValueError(f"topology_weight={self.topology_weight} must be 0 or more")


def paper() -> Config:
    """The published search, for a GPU server."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes."""
    return Config(**vars(blockqnn.small()))


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
    agent = blockqnn.agent(config, config.space(task), seed)
    return _problem.search("irlas", task, config, config, agent, seed, reward)


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
