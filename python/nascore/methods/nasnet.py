"""NASNet (Zoph et al., CVPR 2018): a controller trained by PPO writes a pair of cells."""

from __future__ import annotations

from dataclasses import dataclass

from nascore.agents.policy_gradient import PolicyGradient
from nascore.methods import _pictures, _problem, _search
from nascore.results.pictures import Picture
from nascore.search import Search, Store
from nascore.spaces import CellSpace
from nascore.tasks import Task


@dataclass(frozen=True)
class Config(_problem.CellProblem, _search.Loop):
    """The paper's values (appendix A.2); "choice" marks where it gives none."""

    trials: int = 20_000  # 1,000 updates
    batch: int = 20  # pairs of cells per update
    in_flight: int = 440  # with the batch itself about the 450 workers
    units: int = 100  # of the LSTM's one layer
    init: float = 0.1
    lr: float = 3.5e-4  # choice: of Adam
    clip: float | None = 0.2  # choice; of each decision's ratio; None for REINFORCE
    epochs: int = 10  # choice: steps per update
    entropy: float = 1e-5
    baseline: float = 0.95  # weight of the past


def paper() -> Config:
    """The published search, for many GPU servers."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes: every value is a choice."""
    # Of 7 settings of the controller, among the best on made-up tables of cells of 3 blocks.
    return Config(
        **vars(_problem.SMALL_CELL),
        trials=120,
        batch=8,
        in_flight=0,
        units=32,
        lr=0.01,
        epochs=5,
        entropy=0.001,
        baseline=0.8,
    )


def agent(config: Config, space: CellSpace, seed: int) -> PolicyGradient:
    """The controller that `config` describes."""
    return PolicyGradient(
        space,
        seed,
        units=config.units,
        init=config.init,
        batch=config.batch,
        lr=config.lr,
        clip=config.clip,
        epochs=config.epochs,
        entropy=config.entropy,
        baseline=config.baseline,
    )


def build(task: Task, config: Config, seed: int) -> Search:
    """The search of this method over `task`."""
    learner = agent(config, config.space(task), seed)
    return _search.search("nasnet", task, config, config, learner, seed)


def pictures(config: Config, store: Store) -> list[Picture]:
    """The controller's probabilities over time, and how sure it is."""
    return _pictures.controller(store, config, agent)
