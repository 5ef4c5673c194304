"""AlphaX (Wang et al., AAAI 2020): a tree search, helped by a network's guesses, in any space."""

from __future__ import annotations

from dataclasses import dataclass

from nascore.agents.mcts import ALPHAX, AlphaX, AlphaXConfig
from nascore.methods import _problem
from nascore.search import Accuracy, Search
from nascore.tasks import Task

_PAPER = AlphaXConfig()


@dataclass(frozen=True)
class Config(_problem.AnyProblem, _problem.Loop):
    """The tree and the meta-DNN; the reward is accuracy alone, in percent."""

    trials: int = 1000  # that the published CIFAR-10 search took
    agent: AlphaXConfig = _PAPER


def paper() -> Config:
    """The published tree and meta-DNN, for a GPU server."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes, with our settings of the tree."""
    return Config(**_problem.SMALL, agent=ALPHAX)


def build(task: Task, config: Config, seed: int) -> Search:
    """The search of this method over `task`."""
    problem = config.problem
    agent = AlphaX(problem.space(task), seed, config.agent)
    return _problem.search(
        "alphax", task, config, problem, agent, seed, reward=Accuracy(problem.floor)
    )
