"""What is searched: for each space, its settings, and how what is found there is scored."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol

from nascore.evaluators.train import TrainEvaluator
from nascore.networks.recipe import Recipe
from nascore.search import Accuracy, AskTell, EarlyStop, Search
from nascore.spaces import BlockSpace, Chain, EdgeDagSpace, LayerSpace, Skeleton, SumDagSpace
from nascore.tasks import Task
from nascore.trial import Agent, Limits, Reward, Space

_CIFAR, _SEARCH, _FINAL = Skeleton.cifar(), Recipe.search(), Recipe.final()
_CHAIN, _LIMITS = Chain(), Limits()

# MetaQNN's: 20 epochs; where the first is no better than chance, again at 0.4 times the rate.
_LAYER_SEARCH = Recipe(
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

# MetaQNN's for CIFAR-10: 40 epochs at 0.025, 40 at 0.0125, 160 at 1e-4, 60 at 1e-5.
_LAYER_FINAL = Recipe(
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


class Problem(Protocol):
    """A space and who scores in it. Its fields hold the settings of both."""

    @property
    def limits(self) -> Limits: ...
    @property
    def time_limit_s(self) -> float | None: ...
    def space(self, task: Task) -> Space: ...
    def evaluator(self, task: Task) -> TrainEvaluator: ...
    def reward(self) -> Reward: ...


@dataclass(frozen=True)
class BlockProblem:
    """BlockQNN's space, training and reward. "Choice" marks where the paper was not readable."""

    max_layers: int = 23  # the largest layer index
    skeleton: Skeleton = _CIFAR  # three groups of N = 4 blocks
    recipe: Recipe = _SEARCH  # 12 epochs
    final: Recipe = _FINAL  # what `retrain` uses
    mu: float = 1.0  # weight of ln(MFLOPs), eq. 7
    rho: float = 8.0  # weight of ln(density), eq. 7
    floor: float = 0.0  # choice: the reward of a failed or empty block, and the least of any
    limits: Limits = _LIMITS  # choice
    time_limit_s: float | None = None  # choice: per block

    def space(self, task: Task) -> BlockSpace:
        return BlockSpace(self.max_layers)

    def evaluator(self, task: Task) -> TrainEvaluator:
        return _training(task, self)

    def reward(self) -> EarlyStop:
        return EarlyStop(self.mu, self.rho, self.floor)


@dataclass(frozen=True)
class LayerProblem:
    """MetaQNN's space, training and reward for CIFAR-10; "choice" marks where it gives none.

    The reward is the accuracy after the last epoch; the released code takes the best epoch's, as
    `recipe.validate_last` of all epochs does.
    """

    max_layers: int = 18  # 12 for SVHN and MNIST
    widths: tuple[int, ...] = (64, 128, 256, 512)
    dense: tuple[int, ...] = (512, 256, 128)
    strict: bool = False  # kernels below the size bin, as in the released code
    skeleton: Chain = _CHAIN
    recipe: Recipe = _LAYER_SEARCH
    final: Recipe = _LAYER_FINAL  # what `retrain` uses
    floor: float = 0.0  # choice: the reward of a network that failed
    limits: Limits = _LIMITS  # choice
    time_limit_s: float | None = None  # choice: per network

    def space(self, task: Task) -> LayerSpace:
        size = min(task.shape[1:])
        return LayerSpace(size, self.max_layers, self.widths, self.dense, self.strict)

    def evaluator(self, task: Task) -> TrainEvaluator:
        return _training(task, self)

    def reward(self) -> Accuracy:
        return Accuracy(self.floor, scale=1.0)


@dataclass(frozen=True)
class DagProblem:
    """Cells of NAS-Bench-101 or blocks of summing nodes; the training is a choice, BlockQNN's."""

    kind: Literal["edges", "sums"] = "edges"
    max_nodes: int = 7  # of "edges", with input and output
    max_edges: int = 9
    erasing: bool = False  # whether nodes may come after edges, as AlphaX has it
    nodes: int = 17  # of "sums", as a graph hypernetwork has them
    skeleton: Skeleton = _CIFAR
    recipe: Recipe = _SEARCH
    final: Recipe = _FINAL  # what `retrain` uses
    floor: float = 0.0  # the reward of a failed or empty block
    limits: Limits = _LIMITS
    time_limit_s: float | None = None  # per block

    def space(self, task: Task) -> EdgeDagSpace | SumDagSpace:
        if self.kind == "sums":
            return SumDagSpace(self.nodes)
        return EdgeDagSpace(self.max_nodes, self.max_edges, erasing=self.erasing)

    def evaluator(self, task: Task) -> TrainEvaluator:
        return _training(task, self)

    def reward(self) -> Accuracy:
        return Accuracy(self.floor)


# For two CPU cores and small images, in minutes: every value is a choice.
SMALL_BLOCK = BlockProblem(
    max_layers=6,
    skeleton=Skeleton.small(),
    recipe=replace(_SEARCH, epochs=6, batch=64, lr=3e-3),
    final=replace(_FINAL, epochs=60, batch=64, lr=0.05),
    time_limit_s=600.0,
)
SMALL_LAYER = LayerProblem(
    max_layers=6,
    widths=(8, 16, 32, 64),
    dense=(128, 64, 32),
    recipe=replace(_LAYER_SEARCH, epochs=6, batch=64, lr=3e-3),
    final=replace(_LAYER_FINAL, epochs=60, batch=64),
    time_limit_s=600.0,
)

SMALL_DAG = DagProblem(
    nodes=5,
    skeleton=SMALL_BLOCK.skeleton,
    recipe=SMALL_BLOCK.recipe,
    final=SMALL_BLOCK.final,
    time_limit_s=600.0,
)

_BLOCK, _DAG, _LAYER = BlockProblem(), DagProblem(), LayerProblem()


@dataclass(frozen=True)
class Loop:
    """How many trials, and how many of them at a time."""

    trials: int = 11_392  # BlockQNN's: 178 iterations of 64 blocks
    batch: int = 64  # proposed at once
    in_flight: int = 0  # choice: a batch waits for the one before it

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise ValueError(f"trials={self.trials}: a search needs at least one trial")


@dataclass(frozen=True)
class AnyProblem:
    """The problem of one of the spaces: what an agent that works in all of them is given."""

    space: Literal["block", "dag", "layer"] = "block"
    block: BlockProblem = _BLOCK
    dag: DagProblem = _DAG
    layer: LayerProblem = _LAYER

    @property
    def problem(self) -> BlockProblem | DagProblem | LayerProblem:
        problem: BlockProblem | DagProblem | LayerProblem = getattr(self, self.space)
        return problem

    @property
    def skeleton(self) -> Skeleton | Chain:
        return self.problem.skeleton

    @property
    def final(self) -> Recipe:
        return self.problem.final


# The small problem of every space, and a search of that size.
SMALL: dict[str, Any] = {
    "block": SMALL_BLOCK,
    "dag": SMALL_DAG,
    "layer": SMALL_LAYER,
    "trials": 160,
    "batch": 8,
}


def search(
    method: str,
    task: Task,
    config: Loop,
    problem: Problem,
    agent: Agent,
    seed: int,
    reward: Reward | None = None,
) -> Search:
    """One ask/tell stage in which `agent` proposes and short training scores.

    The reward is the problem's unless another is given.
    """
    stage = AskTell(
        agent,
        problem.evaluator(task),
        reward or problem.reward(),
        config.trials,
        batch=config.batch,
        in_flight=config.in_flight,
        deadline_s=problem.time_limit_s,  # a worker that hangs far past it is killed
    )
    return Search(method, asdict(config), task.name, seed, [stage])


def _training(task: Task, problem: BlockProblem | DagProblem | LayerProblem) -> TrainEvaluator:
    return TrainEvaluator(
        task, problem.skeleton, problem.recipe, problem.limits, problem.time_limit_s
    )
