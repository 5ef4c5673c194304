"""MetaQNN (Baker et al., ICLR 2017): a network, written layer by layer by tabular Q-learning."""

from __future__ import annotations

from dataclasses import dataclass

from nascore.agents.q_learning import Schedule
from nascore.agents.unique_q_learning import UniqueQLearning
from nascore.methods import _pictures, _problem, _search
from nascore.results.pictures import Picture
from nascore.search import Search, Store
from nascore.tasks import Task
from nascore.trial import Space

# Distinct networks at each epsilon: 2,700 in all.
EPSILON: Schedule = (
    (1.0, 1500),
    (0.9, 100),
    (0.8, 100),
    (0.7, 100),
    (0.6, 150),
    (0.5, 150),
    (0.4, 150),
    (0.3, 150),
    (0.2, 150),
    (0.1, 150),
)


@dataclass(frozen=True)
class Config(_problem.LayerProblem, _search.Loop):
    """The paper's values for CIFAR-10; "choice" marks where it gives none."""

    trials: int = 2_700  # all distinct
    batch: int = 10  # choice: one for each of the ten GPUs
    epsilon: Schedule = EPSILON  # stretched to fit `trials`
    alpha: float = 0.01
    gamma: float = 1.0
    initial_q: float = 0.5  # appendix D; algorithm 1 says 0
    replay: int = 100  # draws per network; 128 in the released code


def paper() -> Config:
    """The published search, for a GPU server."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes: its values are choices."""
    # So few trials must teach more each. Among 0.01 to 0.3 and other schedules, values to begin
    # with and replays, on a forest fitted to 173 trainings, seeds 0 to 19: none is clearly better.
    return Config(**vars(_problem.SMALL_LAYER), trials=160, batch=8, alpha=0.1)


def agent(config: Config, space: Space, seed: int) -> UniqueQLearning:
    """The learner that `config` describes."""
    return UniqueQLearning(
        space,
        seed,
        trials=config.trials,
        schedule=config.epsilon,
        alpha=config.alpha,
        gamma=config.gamma,
        initial_q=config.initial_q,
        replay=config.replay,
        shaping=False,
    )


def build(task: Task, config: Config, seed: int) -> Search:
    """The search of this method over `task`."""
    learner = agent(config, config.space(task), seed)
    return _search.search("metaqnn", task, config, config, learner, seed)


def pictures(config: Config, store: Store) -> list[Picture]:
    """The Q values: those of the greedy network, and how they grew."""
    return _pictures.q_learning(store, config, agent)
