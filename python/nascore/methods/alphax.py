"""AlphaX (Wang et al., AAAI 2020): a tree search, helped by a network's guesses, in any space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nascore.agents.alphax_settings import ALPHAX, AlphaXConfig
from nascore.agents.mcts import AlphaX
from nascore.methods import _pictures, _predictions, _search
from nascore.results.pictures import Picture
from nascore.results.tree_pictures import draw_tree, most_visited
from nascore.search import Accuracy, Area, Search, Store, restore
from nascore.tasks import Task
from nascore.trial import Trial

_PAPER = AlphaXConfig()


@dataclass(frozen=True)
class Config(_search.AnyProblem, _search.Loop):
    """The tree and the meta-DNN; the reward is accuracy alone, or of anytime networks the area."""

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


def agent(config: Config, space: Any, seed: int) -> AlphaX:
    """The learner that `config` describes; ValueError where `prefix` begins no code."""
    try:
        prefix = () if config.prefix is None else space.prefix(config.prefix)
    except ValueError as error:
        raise ValueError(f"prefix {config.prefix!r}: {error}") from None
    return AlphaX(space, seed, config.agent, prefix)


def build(task: Task, config: Config, seed: int) -> Search:
    """The search of this method over `task`; ValueError where `prefix` begins no code."""
    problem = config.problem
    learner = agent(config, problem.space(task), seed)
    own = problem.reward()
    return _search.search(
        "alphax",
        task,
        config,
        problem,
        learner,
        seed,
        reward=own if isinstance(own, Area) else Accuracy(problem.floor),
        evaluator=replace(problem.evaluator(task), warm_epochs=config.warm_epochs),
        keep_weights=config.agent.relatives,
    )


def figures(config: Config, trials: Sequence[Trial]) -> dict[str, float]:
    """How good the meta-DNN's predictions were of what it had not seen."""
    return _predictions.quality(trials)


def pictures(config: Config, store: Store) -> list[Picture]:
    """The most visited nodes of the tree."""
    best = store.best()
    space = _pictures.space_of(config.problem, store)
    if space is None or best is None:
        return []
    learner = agent(config, space, store.meta["seed"])
    restore(learner, store)
    prefix, _, action, children, first, visits, total, *_ = learner.tree.state()
    wanted = best.proposal.actions[len(prefix) :]
    a, c, f, v = (table.astype(np.int64) for table in (action, children, first, visits))
    nodes = most_visited(a, c, f, v, total, keep=wanted)
    way, state, names = [0], space.start(1), {}
    for step, taken in enumerate(best.proposal.actions):
        if step >= len(prefix):
            here = (nodes.parent == way[-1]) & (nodes.action == taken)
            here[0] = False  # the root is no child
            if not here.any():
                break
            way.append(int(np.flatnonzero(here)[0]))
            names[way[-1]] = _pictures.choice_name(space, state, taken, step)
        state = space.step(state, np.array([taken], np.int32))
    rank = config.agent.target == "rank"
    label = "mean value: share of rewards below" if rank else "mean value: accuracy"
    shown = "" if len(nodes.number) == learner.tree.size else "most visited "
    return [
        Picture(
            "tree",
            "The search tree",
            f"The {len(nodes.number)} {shown}nodes of {learner.tree.size}: the larger, the more "
            "simulations went through; the brighter, the better they did. Marked is the way to "
            "the best architecture, as far as the tree reaches.",
            lambda figure: draw_tree(figure, nodes, way, names, label),
            (9.0, 5.5),
        )
    ]
