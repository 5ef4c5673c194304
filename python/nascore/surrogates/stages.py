"""A meta-DNN in stages, each of which looks at better architectures than the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nascore.spaces import Architecture
from nascore.surrogates.predictor import Predictor, normal_scores
from nascore.trial import Space, Trial

_LEAST = 8  # trials that a stage learns from


class StagedPredictor:
    """`stages` predictors, each for the better half of what the one before learned from (AlphaX).

    What a stage places in its upper half goes on to the next one; the last that it gets to
    predicts. How the paper divides the range was not readable: the halves are a choice. A stage of
    fewer than 8 trials is left out. `settings` are those of a `Predictor`.
    """

    def __init__(self, space: Space, seed: int, stages: int, **settings: Any) -> None:
        if stages < 1:
            raise ValueError(f"stages={stages} must be at least 1")
        self._stages = [Predictor(space, seed + i, **settings) for i in range(stages)]
        self._floors: list[float] = []  # least score that a stage after the first learned

    @property
    def fitted(self) -> bool:
        """Whether there is anything to predict from."""
        return self._stages[0].fitted

    def fit(self, trials: Sequence[Trial]) -> None:
        """Learns the rewards of at least one trial."""
        first = self._stages[0]
        if not trials:
            raise ValueError("there are no trials to fit")
        states = first.states([trial.architecture for trial in trials])
        self.fit_states(states, np.array([trial.reward for trial in trials]))

    def fit_states(self, states: npt.NDArray[np.int16], rewards: npt.NDArray[np.float64]) -> None:
        """`fit` of finished states `[n, W]` with rewards `[n]`."""
        first, *others = self._stages
        scores = normal_scores(rewards) if first.target == "rank" else rewards
        first.fit_scores(states, scores)
        self._floors = []
        for stage in others:
            floor = float(np.median(scores))
            upper = scores >= floor
            if upper.sum() < _LEAST:
                break
            states, scores = states[upper], scores[upper]
            stage.fit_scores(states, scores)
            self._floors.append(floor)

    def predict(
        self, architectures: Sequence[Architecture]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Mean and standard deviation, each `[n]`, in units of the target."""
        return self.predict_states(self._stages[0].states(architectures))

    def predict_states(
        self, states: npt.NDArray[np.int16]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """`predict` of finished states `[n, W]`."""
        mean, std = self._stages[0].predict_states(states)
        rows = np.arange(len(states))
        for stage, floor in zip(self._stages[1:], self._floors, strict=False):
            rows = rows[mean[rows] >= floor]
            if not rows.size:
                break
            better, std[rows] = stage.predict_states(states[rows])
            mean[rows] = np.maximum(better, floor)  # it knows of nothing below
        return mean, std

    def state_dict(self) -> dict[str, Any]:
        return {
            "stages": [stage.state_dict() for stage in self._stages],
            "floors": list(self._floors),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError if the weights belong to other stages or layers."""
        if len(state["stages"]) != len(self._stages):
            raise ValueError(
                f"a predictor of {len(state['stages'])} stages, this one has {len(self._stages)}"
            )
        for stage, saved in zip(self._stages, state["stages"], strict=True):
            stage.load_state_dict(saved)
        self._floors = list(state["floors"])
