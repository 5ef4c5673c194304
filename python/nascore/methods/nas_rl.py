"""NAS by REINFORCE (Zoph & Le, ICLR 2017): a recurrent controller writes layers with skips."""

from __future__ import annotations

from dataclasses import dataclass

from nascore.agents.anchors import LayerController
from nascore.methods import _pictures, _problem, _search
from nascore.results.pictures import Picture
from nascore.search import Search, Store
from nascore.spaces import SkipSpace
from nascore.tasks import Task


@dataclass(frozen=True)
class Config(_problem.SkipProblem, _search.Loop):
    """The paper's values for CIFAR-10 without strides; "choice" marks where it gives none."""

    trials: int = 12_800
    batch: int = 8  # m: networks per update
    in_flight: int = 792  # with the batch itself, 100 replicas of 8
    deeper_every: int = 1_600  # networks, by 2 layers, from 6
    units: int = 35  # in each of the LSTM's two layers
    init: float = 0.08
    lr: float = 6e-4
    baseline: float = 0.95  # choice: the weight of the past; here that of the paper of 2018


def paper() -> Config:
    """The published search, for many GPU servers."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes: every value is a choice."""
    return Config(
        **vars(_problem.SMALL_SKIP),
        trials=240,
        batch=8,
        in_flight=0,
        deeper_every=80,
        lr=0.01,
        baseline=0.8,
    )


def agent(config: Config, space: SkipSpace, seed: int) -> LayerController:
    """The controller that `config` describes."""
    return LayerController(
        space,
        seed,
        deeper_every=config.deeper_every,
        units=config.units,
        init=config.init,
        batch=config.batch,
        lr=config.lr,
        baseline=config.baseline,
    )


def build(task: Task, config: Config, seed: int) -> Search:
    """The search of this method over `task`."""
    learner = agent(config, config.space(task), seed)
    return _search.search("nas_rl", task, config, config, learner, seed)


def pictures(config: Config, store: Store) -> list[Picture]:
    """The controller's probabilities over time, and how sure it is."""
    return _pictures.controller(store, config, agent)
