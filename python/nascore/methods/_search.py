"""A search over one of the spaces: what it is given, and the stage in which it is done."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from nascore.evaluators.train import TrainEvaluator
from nascore.methods._anytime import SMALL_ANYTIME, AnytimeProblem
from nascore.methods._problem import (
    SMALL_BLOCK,
    SMALL_CELL,
    SMALL_CONNECTION,
    SMALL_DAG,
    SMALL_LAYER,
    SMALL_SKIP,
    AnyOne,
    BlockProblem,
    CellProblem,
    ConnectionProblem,
    DagProblem,
    LayerProblem,
    SkipProblem,
)
from nascore.networks.recipe import Recipe
from nascore.search import AskTell, Search
from nascore.spaces import AnySkeleton
from nascore.tasks import Task
from nascore.trial import Agent, Limits, Reward, Space

_BLOCK, _LAYER, _CELL = BlockProblem(), LayerProblem(), CellProblem()
_SKIP, _DAG, _CONNECTION = SkipProblem(), DagProblem(), ConnectionProblem()
_ANYTIME = AnytimeProblem()


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

    space: Literal["block", "layer", "cell", "skip", "dag", "connection", "anytime"] = "block"
    block: BlockProblem = _BLOCK
    layer: LayerProblem = _LAYER
    cell: CellProblem = _CELL
    skip: SkipProblem = _SKIP
    dag: DagProblem = _DAG
    connection: ConnectionProblem = _CONNECTION
    anytime: AnytimeProblem = _ANYTIME

    @property
    def problem(self) -> AnyOne | AnytimeProblem:
        problem: AnyOne | AnytimeProblem = getattr(self, self.space)
        return problem

    @property
    def skeleton(self) -> AnySkeleton:
        return self.problem.skeleton

    @property
    def final_skeleton(self) -> AnySkeleton:
        return getattr(self.problem, "final_skeleton", self.skeleton)

    @property
    def final(self) -> Recipe:
        return self.problem.final


# The small problem of every space, and a search of that size.
SMALL: dict[str, Any] = {
    "block": SMALL_BLOCK,
    "layer": SMALL_LAYER,
    "cell": SMALL_CELL,
    "skip": SMALL_SKIP,
    "dag": SMALL_DAG,
    "connection": SMALL_CONNECTION,
    "anytime": SMALL_ANYTIME,
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
    evaluator: TrainEvaluator | None = None,
    keep_weights: int = 0,
    snapshot_every: int = 256,
) -> Search:
    """One ask/tell stage in which `agent` proposes and short training scores.

    The reward and the evaluator are the problem's unless others are given.
    """
    stage = AskTell(
        agent,
        evaluator or problem.evaluator(task),
        reward or problem.reward(),
        config.trials,
        batch=config.batch,
        in_flight=config.in_flight,
        deadline_s=problem.time_limit_s,  # a worker that hangs far past it is killed
        keep_weights=keep_weights,
        snapshot_every=snapshot_every,
    )
    return Search(method, asdict(config), task.name, seed, [stage], task.shape)
