"""BlockQNN (Zhong et al., CVPR 2018): a block, written layer by layer by tabular Q-learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nascore.agents.q_learning import QLearning, Schedule
from nascore.methods import _pictures, _problem, _search
from nascore.results.pictures import Picture
from nascore.search import Search, Store
from nascore.tasks import Task
from nascore.trial import Space

# 178 iterations: 95 of pure exploration, then ever fewer random decisions.
EPSILON: Schedule = (
    (1.0, 95),
    (0.9, 7),
    (0.8, 7),
    (0.7, 7),
    (0.6, 10),
    (0.5, 10),
    (0.4, 10),
    (0.3, 10),
    (0.2, 10),
    (0.1, 12),
)


@dataclass(frozen=True)
class Config(_problem.BlockProblem, _search.Loop):
    """The paper's values; "choice" marks where the paper was not readable."""

    epsilon: Schedule = EPSILON  # stretched to fit `trials`
    alpha: float = 0.01
    gamma: float = 1.0
    initial_q: float = 0.0  # choice
    replay: int = 1  # draws per told block: 64 per iteration
    shaping: bool = True  # r_t = r_T / T, eq. 6


def paper() -> Config:
    """The published search, for a GPU server."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes."""
    # So few trials must teach more each: chosen by the reward on the block table, seeds 0 to 39.
    return Config(**vars(_problem.SMALL_BLOCK), trials=160, batch=8, alpha=0.3, replay=16)


def agent(config: Config, space: Space, seed: int) -> QLearning:
    """The learner that `config` describes, in any space."""
    return QLearning(space, seed, trials=config.trials, **learning(config))


def learning(config: Config) -> dict[str, Any]:
    """The settings of a `QLearning` that have nothing to do with how long it goes on."""
    return {
        "schedule": config.epsilon,
        "alpha": config.alpha,
        "gamma": config.gamma,
        "initial_q": config.initial_q,
        "replay": config.replay,
        "shaping": config.shaping,
    }


def build(task: Task, config: Config, seed: int) -> Search:
    """The search of this method over `task`."""
    learner = agent(config, config.space(task), seed)
    return _search.search("blockqnn", task, config, config, learner, seed)


def pictures(config: Config, store: Store) -> list[Picture]:
    """The Q values: those of the greedy block, and how they grew."""
    return _pictures.q_learning(store, config, agent)
