"""What every search over blocks has in common, whoever proposes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from nascore.evaluators.train import TrainEvaluator
from nascore.networks.recipe import Recipe
from nascore.search import AskTell, EarlyStop, Search
from nascore.spaces import BlockSpace, Skeleton
from nascore.tasks import Task
from nascore.trial import Agent, Limits

_CIFAR, _SEARCH, _FINAL, _LIMITS = Skeleton.cifar(), Recipe.search(), Recipe.final(), Limits()


@dataclass(frozen=True)
class BlockConfig:
    """BlockQNN's space, training and reward. "Choice" marks where the paper was not readable."""

    max_layers: int = 23  # the largest layer index
    skeleton: Skeleton = _CIFAR  # three groups of N = 4 blocks
    recipe: Recipe = _SEARCH  # 12 epochs
    final: Recipe = _FINAL  # what `retrain` uses
    trials: int = 11_392  # 178 iterations of 64 blocks
    batch: int = 64  # blocks per iteration
    in_flight: int = 0  # choice: an iteration waits for the one before it
    mu: float = 1.0  # weight of ln(MFLOPs), eq. 7
    rho: float = 8.0  # weight of ln(density), eq. 7
    floor: float = 0.0  # choice: the reward of a failed or empty block, and the least of any
    limits: Limits = _LIMITS  # choice
    time_limit_s: float | None = None  # choice: per block

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise ValueError(f"trials={self.trials}: a search needs at least one trial")


# A search for two CPU cores and small images, in minutes: every value is a choice.
SMALL = BlockConfig(
    max_layers=6,
    skeleton=Skeleton.small(),
    recipe=replace(Recipe.search(), epochs=6, batch=64, lr=3e-3),
    final=replace(Recipe.final(), epochs=60, batch=64, lr=0.05),
    trials=160,
    batch=8,
    time_limit_s=600.0,
)


def space(config: BlockConfig) -> BlockSpace:
    return BlockSpace(config.max_layers)


def search(method: str, task: Task, config: BlockConfig, seed: int, agent: Agent) -> Search:
    """One ask/tell stage in which `agent` proposes and short training scores."""
    evaluator = TrainEvaluator(
        task, config.skeleton, config.recipe, config.limits, config.time_limit_s
    )
    stage = AskTell(
        agent,
        evaluator,
        EarlyStop(config.mu, config.rho, config.floor),
        config.trials,
        batch=config.batch,
        in_flight=config.in_flight,
        deadline_s=config.time_limit_s,  # a worker that hangs far past it is killed
    )
    return Search(method, asdict(config), task.name, seed, [stage])
