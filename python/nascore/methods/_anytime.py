"""The problem of networks that answer at exits on their way."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nascore.evaluators.train import TrainEvaluator
from nascore.networks.recipe import Recipe
from nascore.search import Area
from nascore.spaces import AnytimeNet, AnytimeSpace
from nascore.tasks import Task
from nascore.trial import Limits

_NET, _SEARCH, _LIMITS = AnytimeNet(), Recipe.search(), Limits()

# Choice: that of Huang et al. (ICLR 2018), whose networks the paper compares with.
_FINAL = Recipe(
    *(300, 64, "sgd", 0.1),
    nesterov=True,
    weight_decay=1e-4,
    drops=(150 / 300, 225 / 300),
    restarts=0,
)


@dataclass(frozen=True)
class AnytimeProblem:
    """Anytime prediction as a graph hypernetwork has it (Zhang et al., ICLR 2019, section 5.2).

    The reward is the area under accuracy against multiply-adds up to `budget`, as `area` has it.
    ValueError where there are not as many cells as widths.
    """

    nodes: tuple[int, ...] = (24, 16, 8)  # of each cell
    scales: int = 3  # choice: of the image's sides, a half, a quarter
    budget: int = 100_000_000  # choice: multiply-adds
    skeleton: AnytimeNet = _NET
    recipe: Recipe = _SEARCH  # choice: BlockQNN's
    final: Recipe = _FINAL  # what `retrain` uses
    floor: float = 0.0  # the reward of a network that failed
    limits: Limits = _LIMITS
    time_limit_s: float | None = None  # per network

    def __post_init__(self) -> None:
        if len(self.nodes) != len(self.skeleton.widths):
            raise ValueError(
                f"anytime: {len(self.nodes)} cells in nodes={self.nodes}, "
                f"{len(self.skeleton.widths)} in skeleton.widths={self.skeleton.widths}"
            )
        if self.budget < 1:
            raise ValueError(f"anytime: budget={self.budget} multiply-adds must be at least 1")

    def space(self, task: Task) -> AnytimeSpace:
        """ValueError where images of `task` have no pixels at the last scale."""
        side = min(task.shape[1:])
        if side >> (self.scales - 1) < 1:
            raise ValueError(
                f"anytime: scales={self.scales}, but images of {task.name} have sides of {side}; "
                f"{side.bit_length()} at most"
            )
        return AnytimeSpace(self.nodes, scales=self.scales)

    def evaluator(self, task: Task) -> TrainEvaluator:
        return TrainEvaluator(
            *(task, self.skeleton, self.recipe, self.limits, self.time_limit_s),
            budget=self.budget,
        )

    def reward(self) -> Area:
        return Area(self.floor)


# For two CPU cores and small images, in minutes: every value is a choice.
SMALL_ANYTIME = AnytimeProblem(
    nodes=(6, 4, 2),
    budget=200_000,
    skeleton=AnytimeNet.small(),
    recipe=Recipe(12, 64, "adam", 1e-2, schedule="cosine"),
    final=replace(_FINAL, epochs=60, lr=0.05),
    time_limit_s=600.0,
)
