"""Regularized evolution (Real et al., AAAI 2019) on BlockQNN's space, training, reward and loop."""

from __future__ import annotations

from dataclasses import dataclass

from nascore.agents.evolution import Evolution
from nascore.methods import _block
from nascore.search import Search
from nascore.tasks import Task


@dataclass(frozen=True)
class Config(_block.BlockConfig):
    """The paper's population and sample; all else is BlockQNN's."""

    population: int = 100  # P
    sample: int = 25  # S


def paper() -> Config:
    """The size of the published BlockQNN search, for a GPU server."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes."""
    return Config(**vars(_block.SMALL), population=20, sample=5)  # choice


def build(task: Task, config: Config, seed: int) -> Search:
    """The search of this method over `task`."""
    agent = Evolution(
        _block.space(config), seed, population=config.population, sample=config.sample
    )
    return _block.search("evolution", task, config, seed, agent)
