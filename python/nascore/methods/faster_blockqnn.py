"""Faster BlockQNN (Zhong et al., TPAMI 2020): BlockQNN with most of the rewards predicted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from nascore.agents.predicted_rewards import PredictedRewards
from nascore.methods import _pictures, _predictions, _problem, _search, blockqnn
from nascore.networks.recipe import Recipe
from nascore.results.pictures import Picture
from nascore.search import Search, Store, last_state
from nascore.search.finalists import Finalists
from nascore.spaces import Architecture
from nascore.surrogates.peephole import Peephole
from nascore.tasks import Task
from nascore.trial import Evaluation, Space, Trial


@dataclass(frozen=True)
class PeepholeConfig:
    """The predictor's widths and training: every value but the embedding's width is a choice."""

    embedding: int = 40
    hidden: int = 100
    members: int = 5
    epochs: int = 40
    batch: int = 64
    lr: float = 5e-3
    weight_decay: float = 1e-3


_PREDICTOR = PeepholeConfig()
_TOP = replace(Recipe.search(), epochs=60)


@dataclass(frozen=True)
class Config(blockqnn.Config):
    """BlockQNN's values, and whose rewards are predicted; the paper gives none of these.

    `trials` are true trainings; at least `trials` / `share` blocks are drawn.
    """

    trials: int = 114  # of 11,400 blocks; BlockQNN draws 11,392
    batch: int = 6
    share: float = 0.01  # of the blocks truly trained: 20 hours of a GPU are 0.9 % of 96 GPU days
    warm_up: int = 36  # true trainings before the first prediction
    refit_every: int = 6  # true trainings between two
    chance: float = 0.25  # share of true trainings after the warm-up whose block is chance's choice
    kappa: float = 1.0  # standard deviations that a block's accuracy may be above its mean
    predictor: PeepholeConfig = _PREDICTOR
    top: int = 5  # blocks trained once more in the end
    top_recipe: Recipe = _TOP

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise ValueError(f"share={self.share} must be above 0, and 1 at most")
        if not 0 <= self.chance <= 1:
            raise ValueError(f"chance={self.chance} must be a probability, 0 to 1")
        if not 0 <= self.kappa < math.inf:
            raise ValueError(f"kappa={self.kappa} must be 0 or more")
        for name in ("warm_up", "refit_every", "top"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")

    @property
    def blocks(self) -> int:
        """How many are drawn, of which `trials` are truly trained."""
        return math.ceil(self.trials / self.share - 1e-9)


def paper() -> Config:
    """The published search, for a GPU server."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes."""
    # A quarter of BlockQNN's trials, which benchmarks/faster_blockqnn.py compares.
    return Config(
        **{
            **vars(blockqnn.small()),
            "trials": 40,
            "batch": 4,
            "share": 0.05,
            "warm_up": 12,
            "refit_every": 4,
            "predictor": PeepholeConfig(embedding=16, hidden=32, lr=1e-2),
            "top": 3,
            "top_recipe": replace(_problem.SMALL_BLOCK.recipe, epochs=18),
        }
    )


def predictor(config: Config, seed: int) -> Peephole:
    """The network that predicts accuracies, untrained."""
    return Peephole(config.max_layers, seed, **asdict(config.predictor))


def agent(
    config: Config, space: Space, seed: int, known: Callable[[Architecture], Evaluation]
) -> PredictedRewards:
    """The learner that `config` describes; `known` says what a block costs, as evaluators do."""
    return PredictedRewards(
        space,
        seed,
        trials=config.blocks,
        **blockqnn.learning(config),
        predictor=predictor(config, seed),
        known=known,
        reward=config.reward(),
        epochs=config.recipe.epochs,
        trained=config.trials,
        warm_up=config.warm_up,
        refit_every=config.refit_every,
        chance=config.chance,
        kappa=config.kappa,
    )


def build(task: Task, config: Config, seed: int) -> Search:
    """The search of this method over `task`."""
    evaluator = config.evaluator(task)
    learner = agent(config, config.space(task), seed, evaluator.known)
    searched = _search.search(
        "faster_blockqnn",
        task,
        config,
        config,
        learner,
        seed,
        snapshot_every=config.refit_every,  # to fit the predictor again would cost more
    )
    final = replace(evaluator, recipe=config.top_recipe, fidelity="full")
    last = Finalists(final, config.reward(), config.top, config.time_limit_s)
    return replace(searched, stages=[*searched.stages, last])


def figures(config: Config, trials: Sequence[Trial]) -> dict[str, float]:
    """How many blocks were truly trained, and how good the predictions of these were."""
    searched = trials[: config.trials]
    trained = sum(trial.repeat_of is None for trial in searched)
    found: dict[str, float] = {"truly trained blocks": trained}
    if len(searched) == config.trials:
        found["drawn blocks"] = config.blocks
        found["share truly trained"] = round(trained / config.blocks, 4)
    return found | _predictions.quality(searched)


def pictures(config: Config, store: Store) -> list[Picture]:
    """The Q values when they were last kept."""
    state, space = last_state(store), _pictures.space_of(config, store)
    if state is None or space is None:
        return []
    learner = blockqnn.agent(config, space, 0)
    learner.table.load(*(a.numpy() for a in state["table"]))
    return _pictures.q_values(learner.space, learner.table, config.initial_q)
