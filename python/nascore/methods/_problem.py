"""What is searched: for each space, its settings, and how what is found there is scored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from nascore._core import CELL_OPS
from nascore.evaluators.train import TrainEvaluator
from nascore.networks.recipe import Recipe
from nascore.search import Accuracy, EarlyStop
from nascore.spaces import (
    BlockSpace,
    CellSpace,
    CellStack,
    Chain,
    ConnectionSpace,
    EdgeDagSpace,
    LayerSpace,
    ResidualNet,
    Skeleton,
    SkipNet,
    SkipSpace,
    SumDagSpace,
)
from nascore.tasks import Task
from nascore.trial import Limits

_CIFAR, _SEARCH, _FINAL = Skeleton.cifar(), Recipe.search(), Recipe.final()
_CHAIN, _SKIP_NET, _LIMITS = Chain(), SkipNet(), Limits()
_RESIDUAL = ResidualNet()
_STACK = CellStack(2)  # N = 2 in search
_FINAL_STACK = CellStack(auxiliary=True)  # 6 @ 768 with NASNet-A's cells

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


# NASNet's: one period of a cosine. The paper gives no rate, decay or batch for the search.
_CELL_SEARCH = Recipe(
    20, 128, "sgd", 0.025, weight_decay=5e-4, schedule="cosine", restarts=0, clip=5.0
)

# NASNet's for CIFAR-10, as in the released code. Its best results are with holes (cutout), whose
# side is not said: that of DeVries & Taylor (2017) for CIFAR-10.
_CELL_FINAL = Recipe(
    600,
    32,
    "sgd",
    0.025,
    weight_decay=5e-4,
    schedule="cosine",
    restarts=0,
    clip=5.0,
    auxiliary=0.4,
    drop_path_keep=0.6,
    drop_path_depth=True,
    cutout=16,
)

# Zoph & Le's: 50 epochs of SGD; a network's score is the best after one of the last 5.
_SKIP_SEARCH = Recipe(
    50, 128, "sgd", 0.1, weight_decay=1e-4, nesterov=True, restarts=0, validate_last=5
)

# Choice: the paper finds rate, weight decay and its schedule on a small grid.
_SKIP_FINAL = Recipe(
    300, 128, "sgd", 0.1, weight_decay=1e-4, nesterov=True, schedule="cosine", restarts=0
)


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
class CellProblem:
    """NASNet's space, training and reward for CIFAR-10; "choice" marks where the paper gives none.

    `retrain` uses `final_skeleton`, which is larger than that of the search.
    """

    blocks: int = 5  # B
    ops: tuple[str, ...] = CELL_OPS
    combine: tuple[str, ...] = ("add", "concat")  # NASNet-B and C have normalised adds too
    all_outputs: bool = False  # NASNet-B: a cell gives all of its states
    skeleton: CellStack = _STACK  # choice: 32 filters
    final_skeleton: CellStack = _FINAL_STACK
    recipe: Recipe = _CELL_SEARCH  # 20 epochs
    final: Recipe = _CELL_FINAL
    floor: float = 0.0  # choice: the reward of a pair of cells that failed
    limits: Limits = _LIMITS  # choice
    time_limit_s: float | None = None  # choice: per pair of cells

    def space(self, task: Task) -> CellSpace:
        return CellSpace(self.blocks, self.ops, self.combine, self.all_outputs)

    def evaluator(self, task: Task) -> TrainEvaluator:
        return _training(task, self)

    def reward(self) -> Accuracy:
        return Accuracy(self.floor, scale=1.0)


@dataclass(frozen=True)
class SkipProblem:
    """Zoph & Le's (ICLR 2017) space, training and reward for CIFAR-10.

    The reward is the cube of the best validation accuracy after one of the last 5 epochs.
    """

    depths: tuple[int, ...] = (6, 8, 10, 12, 14, 16, 18, 20)
    heights: tuple[int, ...] = (1, 3, 5, 7)
    widths: tuple[int, ...] = (1, 3, 5, 7)
    strides: tuple[int, ...] = (1,)  # (1, 2, 3) where they are predicted
    filters: tuple[int, ...] = (24, 36, 48, 64)
    skeleton: SkipNet = _SKIP_NET
    recipe: Recipe = _SKIP_SEARCH
    final: Recipe = _SKIP_FINAL  # what `retrain` uses
    power: float = 3.0  # of the accuracy
    floor: float = 0.0  # choice: the reward of a network that failed
    limits: Limits = _LIMITS  # choice
    time_limit_s: float | None = None  # choice: per network

    def space(self, task: Task) -> SkipSpace:
        return SkipSpace(self.depths, self.heights, self.widths, self.strides, self.filters)

    def evaluator(self, task: Task) -> TrainEvaluator:
        return _training(task, self)

    def reward(self) -> Accuracy:
        return Accuracy(self.floor, scale=1.0, power=self.power)


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


@dataclass(frozen=True)
class ConnectionProblem:
    """MaskConnect's masks as decisions, in ResNeXt {29, 8, 8}; the training is a choice."""

    fan_in: int = 4
    skeleton: ResidualNet = _RESIDUAL
    recipe: Recipe = _SKIP_SEARCH
    final: Recipe = _SKIP_FINAL  # what `retrain` uses
    floor: float = 0.0  # the reward of a network that failed
    limits: Limits = _LIMITS
    time_limit_s: float | None = None  # per network

    def space(self, task: Task) -> ConnectionSpace:
        return ConnectionSpace(self.skeleton.candidates, self.fan_in)

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
    widths=(4, 8, 16, 32),
    dense=(64, 32, 16),
    recipe=replace(_LAYER_SEARCH, epochs=6, batch=64, lr=1e-2),
    final=replace(_LAYER_FINAL, epochs=60, batch=64),
    time_limit_s=600.0,
)

SMALL_CELL = CellProblem(
    blocks=3,
    skeleton=CellStack.small(),
    final_skeleton=replace(CellStack.small(), normal=2, auxiliary=True),
    recipe=replace(_CELL_SEARCH, epochs=6, batch=64, lr=0.1),
    final=replace(_CELL_FINAL, epochs=60, batch=64, lr=0.1, cutout=0),
    time_limit_s=600.0,
)
SMALL_SKIP = SkipProblem(
    depths=(2, 3, 4),
    heights=(1, 3, 5),
    widths=(1, 3, 5),
    filters=(8, 16, 24),
    recipe=replace(_SKIP_SEARCH, epochs=6, batch=64, validate_last=2),
    final=replace(_SKIP_FINAL, epochs=60, batch=64),
    time_limit_s=600.0,
)

SMALL_DAG = DagProblem(
    nodes=5,
    skeleton=SMALL_BLOCK.skeleton,
    recipe=SMALL_BLOCK.recipe,
    final=SMALL_BLOCK.final,
    time_limit_s=600.0,
)

SMALL_CONNECTION = ConnectionProblem(
    fan_in=2,
    skeleton=ResidualNet.small(),
    recipe=SMALL_SKIP.recipe,
    final=SMALL_SKIP.final,
    time_limit_s=600.0,
)

AnyOne = BlockProblem | LayerProblem | CellProblem | SkipProblem | DagProblem | ConnectionProblem


def _training(task: Task, problem: AnyOne) -> TrainEvaluator:
    return TrainEvaluator(
        task, problem.skeleton, problem.recipe, problem.limits, problem.time_limit_s
    )
