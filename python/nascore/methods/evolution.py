"""Regularized evolution (Real et al., AAAI 2019), in any of the spaces."""

from __future__ import annotations

from dataclasses import dataclass

from nascore.agents.evolution import Evolution
from nascore.methods import _search
from nascore.search import Search
from nascore.tasks import Task


@dataclass(frozen=True)
class Config(_search.AnyProblem, _search.Loop):
    """The paper's population and sample; `trials` and `batch` are BlockQNN's."""

    population: int = 100  # P
    sample: int = 25  # S


def paper() -> Config:
    """The size of the published BlockQNN search, for a GPU server."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes."""
    return Config(**_search.SMALL, population=20, sample=5)  # choice


def build(task: Task, config: Config, seed: int) -> Search:
    """The search of this method over `task`."""
    agent = Evolution(
        config.problem.space(task), seed, population=config.population, sample=config.sample
    )
    return _search.search("evolution", task, config, config.problem, agent, seed)
