"""AlphaX (Wang et al., AAAI 2020): a tree search over blocks, helped by a network's guesses."""

from __future__ import annotations

from dataclasses import dataclass

from nascore.agents.mcts import ALPHAX, AlphaX, AlphaXConfig
from nascore.methods import _block
from nascore.search import Search
from nascore.tasks import Task

_PAPER = AlphaXConfig()


@dataclass(frozen=True)
class Config(_block.BlockConfig):
    """AlphaX's tree and meta-DNN on BlockQNN's space and training; the reward is accuracy alone."""

    trials: int = 1000  # that the published CIFAR-10 search took
    mu: float = 0.0
    rho: float = 0.0
    agent: AlphaXConfig = _PAPER


def paper() -> Config:
    """The published tree and meta-DNN, for a GPU server."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes, with our settings of the tree."""
    return Config(**{**vars(_block.SMALL), "mu": 0.0, "rho": 0.0}, agent=ALPHAX)


def build(task: Task, config: Config, seed: int) -> Search:
    """The search of this method over `task`."""
    agent = AlphaX(_block.space(config), seed, config.agent)
    return _block.search("alphax", task, config, seed, agent)
