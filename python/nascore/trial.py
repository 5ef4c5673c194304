"""The values that travel through a search, and the contracts of those who handle them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NewType, Protocol, get_args

import numpy as np
import numpy.typing as npt

from nascore.spaces import Architecture

# How far an accuracy can be trusted, in rising order; the first two are not measured by training.
Fidelity = Literal["predicted", "hypernet", "proxy", "table", "full"]
FIDELITIES: tuple[Fidelity, ...] = get_args(Fidelity)
Status = Literal[
    "ok",
    "too large",
    "out of memory",
    "not finite",
    "timed out",
    "invalid",
    "lost worker",
]
# A file in a run's folder of weights, named by a hash of all that its weights are a function of.
WeightsRef = NewType("WeightsRef", str)


@dataclass(frozen=True)
class Proposal:
    """An architecture that an agent wants evaluated, and the decisions that wrote it.

    `prediction` is the accuracy that the agent expects, in 0..1, which the trial's metrics then
    have as `predicted_accuracy`. `init_from` is the trial whose trained weights it is to start
    from.
    """

    architecture: Architecture
    actions: tuple[int, ...]
    log_prob: float | None = None
    prediction: float | None = None
    init_from: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture.to_json(),
            "actions": list(self.actions),
            "log_prob": self.log_prob,
            "prediction": self.prediction,
            "init_from": self.init_from,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Proposal:
        return cls(
            Architecture.from_json(data["architecture"]),
            tuple(data["actions"]),
            data["log_prob"],
            data["prediction"],
            data.get("init_from"),  # runs begun before there were weights have none
        )


@dataclass(frozen=True)
class Job:
    """One evaluation to be done: everything a worker needs besides the evaluator itself.

    In the folder `weights` are the weights of `init_from`, to start from; there the evaluator
    leaves the trained ones. None: nobody will ask for them. In the folder `files` is what earlier
    stages of the search left; None where the run has no folder.
    """

    number: int
    architecture: Architecture
    seed: int
    deadline_s: float | None = None
    init_from: WeightsRef | None = None
    weights: Path | None = None
    files: Path | None = None


@dataclass(frozen=True)
class Evaluation:
    """What an evaluator found; `metrics` of a failed one are what was known before it failed.

    Those of an ok one have `accuracy_metric`, in 0..1; all are finite.
    """

    metrics: Mapping[str, float]
    fidelity: Fidelity
    status: Status = "ok"
    message: str = ""
    weights: WeightsRef | None = None  # what was trained

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def accuracy_metric(self) -> str:
        """The name of its accuracy: what is predicted or generated is never called measured."""
        names = {"predicted": "predicted_accuracy", "hypernet": "generated_accuracy"}
        return names.get(self.fidelity, "val_accuracy")

    @property
    def area_metric(self) -> str:
        """The name of its area under accuracy against multiply-adds, of a network with exits."""
        return self.accuracy_metric.replace("accuracy", "area")

    @property
    def accuracy(self) -> float:
        """On validation images, as its fidelity has it, in 0..1; KeyError unless it is ok."""
        return self.metrics[self.accuracy_metric]

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "metrics": dict(self.metrics)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        return cls(**data)


@dataclass(frozen=True)
class Trial:
    """A proposal, its evaluation, its reward; `repeat_of` is the trial whose result it took."""

    number: int
    proposal: Proposal
    evaluation: Evaluation
    reward: float
    repeat_of: int | None = None

    @property
    def architecture(self) -> Architecture:
        return self.proposal.architecture

    @property
    def metrics(self) -> Mapping[str, float]:
        return self.evaluation.metrics

    @property
    def rank(self) -> tuple[int, float, int]:
        """Greatest of the best trial: the surest, of those the highest reward, then the first."""
        return FIDELITIES.index(self.evaluation.fidelity), self.reward, -self.number


class Space(Protocol):
    """A decision process. A state is the part of the code written so far; `A` the largest head."""

    name: str
    heads: tuple[int, ...]
    max_steps: int

    def start(self, n: int) -> npt.NDArray[np.int16]: ...  # [n, W]
    def head(self, state: npt.NDArray[np.int16]) -> npt.NDArray[np.int32]: ...  # [n]
    def legal(self, state: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]: ...  # [n, A]
    def step(
        self, state: npt.NDArray[np.int16], action: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.int16]: ...  # [n, W]; a finished state stays as it is
    def done(self, state: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]: ...  # [n]
    def observe(self, state: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]: ...  # [n, V]
    def features(self, state: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]: ...  # [n, F]
    def decode(self, state: npt.NDArray[np.int16]) -> list[Architecture]: ...
    def actions(self, architecture: Architecture) -> tuple[int, ...]: ...


class Agent(Protocol):
    """Who proposes. All its randomness comes from its seed and its own counters."""

    def ask(self, n: int) -> list[Proposal]: ...  # exactly n
    def tell(self, trials: Sequence[Trial]) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...  # values that torch.save(weights_only) can keep
    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class Evaluator(Protocol):
    """Who scores. Pickles, and never raises for what an architecture did."""

    def key(self, architecture: Architecture) -> str: ...  # equal keys and init, equal results
    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]: ...  # one for each, in order


class Reward(Protocol):
    """A finite number for the agent; a failed evaluation gets the method's stated floor."""

    def __call__(self, job: Job, evaluation: Evaluation) -> float: ...


@dataclass(frozen=True)
class Limits:
    """What an architecture may cost before it is built; a dearer one is a failed trial."""

    params: int | None = None
    macs: int | None = None
    peak_bytes: int | None = 1 << 30
