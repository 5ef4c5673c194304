"""MetaQNN (Baker et al., ICLR 2017): a network, written layer by layer by tabular Q-learning."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from nascore.agents.q_learning import Schedule
from nascore.agents.unique_q_learning import UniqueQLearning
from nascore.evaluators.train import TrainEvaluator
from nascore.networks.recipe import Recipe
from nascore.search import Accuracy, AskTell, Search
from nascore.spaces import Chain, LayerSpace
from nascore.tasks import Task
from nascore.trial import Limits

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

# 20 epochs; where the first is no better than chance, again at 0.4 times the learning rate.
_SEARCH = Recipe(
    20,
    128,
    "adam",
    1e-3,
    weight_decay=5e-4,
    drops=(5 / 20, 10 / 20, 15 / 20),
    drop_factor=0.2,
    restarts=5,
    restart_factor=0.4,
    init="xavier",
)

# CIFAR-10: 40 epochs at 0.025, 40 at 0.0125, 160 at 1e-4, 60 at 1e-5.
_FINAL = Recipe(
    300,
    128,
    "sgd",
    0.025,
    momentum=0.9,
    weight_decay=5e-4,
    drops=(40 / 300, 80 / 300, 240 / 300),
    levels=(0.0125 / 0.025, 1e-4 / 0.025, 1e-5 / 0.025),
    restarts=5,
    restart_factor=0.4,
    init="xavier",
)

_CHAIN, _LIMITS = Chain(), Limits()


@dataclass(frozen=True)
class Config:
    """The paper's values for CIFAR-10; "choice" marks where it gives none.

    The reward is the accuracy after the last epoch; the released code takes the best epoch's.
    """

    max_layers: int = 18  # 12 for SVHN and MNIST
    widths: tuple[int, ...] = (64, 128, 256, 512)
    dense: tuple[int, ...] = (512, 256, 128)
    strict: bool = False  # kernels below the size bin, as in the released code
    skeleton: Chain = _CHAIN
    recipe: Recipe = _SEARCH
    final: Recipe = _FINAL  # what `retrain` uses
    trials: int = 2_700  # all distinct
    batch: int = 10  # choice: one for each of the ten GPUs
    in_flight: int = 0  # choice: a group waits for the one before it
    epsilon: Schedule = EPSILON  # stretched to fit `trials`
    alpha: float = 0.01
    gamma: float = 1.0
    initial_q: float = 0.5  # appendix D; algorithm 1 says 0
    replay: int = 100  # draws per network; 128 in the released code
    floor: float = 0.0  # choice: the reward of a network that failed
    limits: Limits = _LIMITS  # choice
    time_limit_s: float | None = None  # choice: per network

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise ValueError(f"trials={self.trials}: a search needs at least one trial")


def paper() -> Config:
    """The published search, for a GPU server."""
    return Config()


def small() -> Config:
    """A search for two CPU cores and small images, in minutes: its values are choices."""
    return Config(
        max_layers=6,
        widths=(8, 16, 32, 64),
        dense=(128, 64, 32),
        recipe=replace(_SEARCH, epochs=6, batch=64, lr=3e-3),
        final=replace(_FINAL, epochs=60, batch=64),
        trials=160,
        batch=8,
        alpha=0.1,  # so few trials must teach more each
        time_limit_s=600.0,
    )


def build(task: Task, config: Config, seed: int) -> Search:
    """The search of this method over `task`."""
    agent = UniqueQLearning(
        LayerSpace(
            min(task.shape[1:]), config.max_layers, config.widths, config.dense, config.strict
        ),
        seed,
        trials=config.trials,
        schedule=config.epsilon,
        alpha=config.alpha,
        gamma=config.gamma,
        initial_q=config.initial_q,
        replay=config.replay,
        shaping=False,
    )
    evaluator = TrainEvaluator(
        task, config.skeleton, config.recipe, config.limits, config.time_limit_s
    )
    stage = AskTell(
        agent,
        evaluator,
        Accuracy(config.floor, scale=1.0),
        config.trials,
        batch=config.batch,
        in_flight=config.in_flight,
        deadline_s=config.time_limit_s,  # a worker that hangs far past it is killed
    )
    return Search("metaqnn", asdict(config), task.name, seed, [stage])
