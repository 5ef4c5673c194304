"""Random search in any of the spaces: chance in the agent's place, all else as it is."""

from __future__ import annotations

from dataclasses import dataclass

from nascore.agents.random import Random
from nascore.methods import _search
from nascore.search import Search
from nascore.tasks import Task


@dataclass(frozen=True)
class Config(_search.AnyProblem, _search.Loop):
    """The space and how to score in it; `trials` and `batch` are BlockQNN's."""


def paper() -> Config:
    """The size of the published BlockQNN search, for a GPU server."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes."""
    return Config(**_search.SMALL)


def build(task: Task, config: Config, seed: int) -> Search:
    """The search of this method over `task`."""
    agent = Random(config.problem.space(task), seed)
    return _search.search("random", task, config, config.problem, agent, seed)
