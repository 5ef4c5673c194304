"""AlphaX (Wang et al., AAAI 2020): a tree search, helped by a network's guesses, in any space."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nascore.agents.mcts import ALPHAX, AlphaX, AlphaXConfig
from nascore.methods import _search
from nascore.search import Accuracy, Search
from nascore.tasks import Task

_PAPER = AlphaXConfig()


@dataclass(frozen=True)
class Config(_search.AnyProblem, _search.Loop):
    """The tree and the meta-DNN; the reward is accuracy alone, in percent."""

    trials: int = 1000  # that the published CIFAR-10 search took
    warm_epochs: float = 2 / 7  # choice: the share of the epochs, where weights are inherited
    agent: AlphaXConfig = _PAPER
    prefix: str | None = None  # the beginning of a code, with which all proposals begin


def paper() -> Config:
    """The published tree and meta-DNN, for a GPU server."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes, with our settings of the tree."""
    return Config(**_search.SMALL, agent=ALPHAX)


def build(task: Task, config: Config, seed: int) -> Search:
    """The search of this method over `task`; ValueError where `prefix` begins no code."""
    problem = config.problem
    space = problem.space(task)
    try:
        prefix = () if config.prefix is None else space.prefix(config.prefix)
    except ValueError as error:
        raise ValueError(f"prefix {config.prefix!r}: {error}") from None
    agent = AlphaX(space, seed, config.agent, prefix)
    return _search.search(
        "alphax",
        task,
        config,
        problem,
        agent,
        seed,
        reward=Accuracy(problem.floor),
        evaluator=replace(problem.evaluator(task), warm_epochs=config.warm_epochs),
        keep_weights=config.agent.relatives,
    )
