"""An evaluator and an agent that cost nothing, for tests of what is around them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nascore import _core
from nascore.files import write_whole
from nascore.search import AskTell, Search
from nascore.spaces import Architecture, ChoicesSpace
from nascore.trial import Evaluation, Job, Proposal, Trial, WeightsRef


@dataclass(frozen=True)
class ToyEvaluator:
    """Metrics that are a function of the architecture's hash, and of what it starts from.

    The weights that it leaves are its accuracy, as text. `faults` are by trial number.

    A fault is "die", "die once", "hang", "raise" or "interrupt"; `marks` is a folder in which
    each evaluation leaves a file.
    """

    sleep_s: float = 0.0
    faults: Mapping[int, str] = field(default_factory=dict)
    marks: Path | None = None

    def key(self, architecture: Architecture) -> str:
        return architecture.hash

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        return [self._evaluate(job) for job in jobs]

    def _evaluate(self, job: Job) -> Evaluation:
        fault = self.faults.get(job.number)
        if self.marks is not None:
            attempt = len(list(self.marks.glob(f"{job.number}-*")))
            (self.marks / f"{job.number}-{attempt}-{os.getpid()}").touch()
            if fault == "die once" and attempt == 0:
                fault = "die"
        if fault == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "hang":
            time.sleep(3600)
        if fault == "raise":
            raise FileNotFoundError("a bug in the evaluator")
        if fault == "interrupt":
            raise KeyboardInterrupt
        if self.sleep_s:
            time.sleep(self.sleep_s)
        value = int(job.architecture.hash[:6], 16) / 0xFFFFFF
        weights = None
        if job.weights is not None:
            if job.init_from is not None:
                value = (value + float((job.weights / job.init_from).read_text())) / 2
            weights = WeightsRef(f"{job.architecture.hash}-{job.seed}")
            write_whole(job.weights / weights, str(value).encode())
        metrics = {
            "val_accuracy": value,
            "val_area": value,
            "params": 100.0,
            "macs": 5e5 + value,
            "density": 1.0,
        }
        return Evaluation(metrics, "table", weights=weights)


@dataclass(frozen=True)
class Probe(ToyEvaluator):
    """Reports on the process that it runs in, and counts what this very object evaluated."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, seen=[])

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        import torch

        self.__dict__["seen"].append(jobs[0].number)
        metrics = {
            "process": os.getpid(),
            "seen": len(self.__dict__["seen"]),
            "threads": torch.get_num_threads(),
            "gpus": torch.cuda.device_count(),
        }
        return [Evaluation(metrics, "table")]


def leave(*_: object) -> None:
    """The whole life of a worker process that fails to start."""


class SubsetSpace:
    """`size` of `items` things, in Python alone: the order in which they are taken is nothing."""

    name = "subset"

    def __init__(self, items: int, size: int) -> None:
        self.heads = (items,)
        self.max_steps = size

    def start(self, n: int) -> npt.NDArray[np.int16]:
        return np.full((n, self.max_steps), -1, np.int16)

    def head(self, state: npt.NDArray[np.int16]) -> npt.NDArray[np.int32]:
        return np.zeros(len(state), np.int32)

    def legal(self, state: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
        taken = (state[:, :, None] == np.arange(self.heads[0])).any(1)
        return ~taken & ~self.done(state)[:, None]

    def step(
        self, state: npt.NDArray[np.int16], action: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.int16]:
        after = state.copy()
        for row, chosen in zip(after, action.tolist(), strict=True):
            row[np.flatnonzero(row < 0)[:1]] = chosen
        return after

    def done(self, state: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
        return state[:, -1] >= 0

    def observe(self, state: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        return state

    def features(self, state: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        return (state[:, :, None] == np.arange(self.heads[0])).any(1).astype(np.float32)

    def key(self, state: npt.NDArray[np.int16]) -> npt.NDArray[np.uint64]:
        taken = self.features(state).astype(np.uint64) @ (1 << np.arange(self.heads[0])).astype(
            np.uint64
        )
        return np.stack([taken, taken * 0], axis=1)

    def decode(self, state: npt.NDArray[np.int16]) -> list[Architecture]:
        return [
            Architecture(self.name, tuple(code), f"{sum(1 << item for item in code):032x}")
            for code in state.tolist()
        ]

    def actions(self, architecture: Architecture) -> tuple[int, ...]:
        return architecture.code


SPACE = ChoicesSpace((4, 4, 4))


class ToyAgent:
    """Proposes at random, from its seed and all that it was told, in the order it was told.

    It starts from one of the `relatives` best trials that left weights.
    """

    def __init__(self, seed: int, relatives: int = 0) -> None:
        self.seed = seed
        self.relatives = relatives
        self.best: list[tuple[float, int]] = []
        self.asked = 0
        self.memory = 0
        self.calls: list[tuple[str, tuple[int, ...]]] = []

    def ask(self, n: int) -> list[Proposal]:
        numbers = tuple(range(self.asked, self.asked + n))
        self.calls.append(("ask", numbers))
        self.asked += n
        codes = [
            tuple(_core.integers(self.seed, 16 + self.memory, 3 * i, 3, 4).tolist())
            for i in numbers
        ]
        starts = [self.best[sum(code) % len(self.best)][1] if self.best else None for code in codes]
        return [
            Proposal(SPACE.architecture(code), code, -0.1 * code[0], init_from=start)
            for code, start in zip(codes, starts, strict=True)
        ]

    def tell(self, trials: Sequence[Trial]) -> None:
        self.calls.append(("tell", tuple(trial.number for trial in trials)))
        for trial in trials:
            told = trial.number + int(1e6 * trial.reward)
            self.memory = (31 * self.memory + told) % 2**31
            if trial.evaluation.weights and trial.repeat_of is None:
                self.best = sorted([*self.best, (-trial.reward, trial.number)])[: self.relatives]

    def state_dict(self) -> dict[str, Any]:
        return {"asked": self.asked, "memory": self.memory, "best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.asked, self.memory, self.best = state["asked"], state["memory"], state["best"]


def accuracy(job: Job, evaluation: Evaluation) -> float:
    """A reward: percent, -1 for a failure."""
    return 100 * evaluation.accuracy if evaluation.ok else -1.0


def toy_search(
    trials: int,
    evaluator: ToyEvaluator | None = None,
    *,
    seed: int = 0,
    **settings: Any,
) -> Search:
    """A search of one stage, with a fresh agent."""
    agent = ToyAgent(seed, settings.get("keep_weights", 0))
    stage = AskTell(agent, evaluator or ToyEvaluator(), accuracy, trials, **settings)
    return Search("toy", {"trials": trials}, "toy", seed, [stage])
