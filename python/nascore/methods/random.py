"""Random search: BlockQNN's space, training, reward and loop, with chance in the agent's place."""

from __future__ import annotations

from nascore.agents.random import Random
from nascore.methods import _block
from nascore.search import Search
from nascore.tasks import Task

Config = _block.BlockConfig


def paper() -> Config:
    """The size of the published BlockQNN search, for a GPU server."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes."""
    return _block.SMALL


def build(task: Task, config: Config, seed: int) -> Search:
    """The search of this method over `task`."""
    return _block.search("random", task, config, seed, Random(_block.space(config), seed))
