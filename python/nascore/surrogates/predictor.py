"""The meta-DNN: an ensemble of small networks from an architecture's features to its reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from nascore import _core
from nascore.sampling import states_after
from nascore.spaces import Architecture
from nascore.surrogates.bayesian import BayesianHeads
from nascore.trial import Space, Trial

_WEIGHTS, _BATCHES = 24, 25  # random streams

Target = Literal["rank", "reward"]


class Predictor:
    """`members` networks of ReLU layers `hidden`, trained side by side, each from its own start.

    They read a finished state's features `[F]`. With target "rank" they learn where in the order
    of the trials an architecture stands, as a normal score; with "reward" the reward itself,
    through a sigmoid (AlphaX, rewards in 0..1). `fit` goes on from the weights it has, unless
    `fresh`; an epoch sees every trial once, in batches of `batch`. With `bayesian` the trained
    output layer gives way to a Bayesian one, which doubts what is unlike all it has seen.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        hidden: tuple[int, ...],
        members: int,
        epochs: int,
        batch: int,
        lr: float,
        weight_decay: float,
        target: Target,
        fresh: bool,
        bayesian: bool = False,
    ) -> None:
        for name, value in {"members": members, "epochs": epochs, "batch": batch}.items():
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        if target not in ("rank", "reward"):
            raise ValueError(f"target={target!r} must be 'rank' or 'reward'")
        self.space = space
        self.seed = seed
        self.sizes = (space.features(space.start(1)).shape[1], *hidden, 1)
        self.members = members
        self.epochs = epochs
        self.batch = batch
        self.lr = lr
        self.weight_decay = weight_decay
        self.target = target
        self.fresh = fresh
        self.bayesian = bayesian
        self._weights: list[torch.Tensor] = []  # per layer [m, in, out] and [m, 1, out]
        self._heads: BayesianHeads | None = None
        self._fits = 0

    @property
    def fitted(self) -> bool:
        """Whether there is anything to predict from."""
        return self._fits > 0

    def fit(self, trials: Sequence[Trial]) -> None:
        """Learns the rewards of at least one trial."""
        if not trials:
            raise ValueError("there are no trials to fit")
        self.fit_states(
            self.states([trial.architecture for trial in trials]),
            np.array([trial.reward for trial in trials]),
        )

    def predict(
        self, architectures: Sequence[Architecture]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Mean and standard deviation over the members, each `[n]`, in units of the target."""
        return self.predict_states(self.states(architectures))

    def fit_states(self, states: npt.NDArray[np.int16], rewards: npt.NDArray[np.float64]) -> None:
        """`fit` of finished states `[n, W]` with rewards `[n]`."""
        scores = normal_scores(rewards) if self.target == "rank" else rewards
        self.fit_scores(states, scores)

    def fit_scores(self, states: npt.NDArray[np.int16], scores: npt.NDArray[np.float64]) -> None:
        """`fit_states` with what is to be predicted, `[n]`, in units of the target."""
        features = torch.from_numpy(self.space.features(states))
        wanted = torch.from_numpy(scores).float()[:, None]
        if self.fresh or not self._weights:
            self._weights = self._start()
        weights = [w.requires_grad_() for w in self._weights]
        optimizer = torch.optim.Adam(weights, self.lr, weight_decay=self.weight_decay)
        n = len(wanted)
        for epoch in range(self.epochs):
            order = self._order(epoch, n)  # [m, n]
            for first in range(0, n, self.batch):
                picks = order[:, first : first + self.batch]
                loss = functional.mse_loss(
                    self._forward(features[picks]), wanted[picks], reduction="sum"
                )
                optimizer.zero_grad()
                loss = loss / picks.shape[1]  # the members' losses add up, so each learns alone
                torch.autograd.backward(loss)
                optimizer.step()
        self._weights = [w.detach() for w in weights]
        if self.bayesian:
            hidden = self._hidden(features.expand(self.members, -1, -1))
            self._heads = BayesianHeads.fit(hidden, wanted[:, 0])
        self._fits += 1

    def predict_states(
        self, states: npt.NDArray[np.int16]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """`predict` of finished states `[n, W]`."""
        if not self.fitted:
            raise ValueError("the predictor was not fitted")
        features = torch.from_numpy(self.space.features(states))
        features = features.expand(self.members, -1, -1)
        if self._heads is None:
            out = self._forward(features)[..., 0].double()  # [m, n]
            return out.mean(0).numpy(), out.std(0, correction=0).numpy()
        mean, variance = self._heads.predict(self._hidden(features))
        spread = variance.mean(0) + mean.var(0, correction=0)  # of an even mixture
        return mean.mean(0).numpy(), spread.sqrt().numpy()

    def states(self, architectures: Sequence[Architecture]) -> npt.NDArray[np.int16]:
        """Their finished states `[n, W]`."""
        return states_after(self.space, [self.space.actions(a) for a in architectures])

    def _start(self) -> list[torch.Tensor]:
        weights, counter = [], self._fits << 32
        for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False):
            count = self.members * n_in * n_out
            normal = _core.normal(self.seed, _WEIGHTS, counter, count)
            counter += count
            scale = (2 / n_in) ** 0.5  # He
            weight = torch.from_numpy(normal * scale).float().view(self.members, n_in, n_out)
            weights += [weight, torch.zeros(self.members, 1, n_out)]
        return weights

    def _hidden(self, x: torch.Tensor) -> torch.Tensor:
        for weight, bias in zip(self._weights[:-2:2], self._weights[1:-2:2], strict=True):
            x = torch.baddbmm(bias, x, weight).relu()
        return x

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.baddbmm(self._weights[-1], self._hidden(x), self._weights[-2])
        return x if self.target == "rank" else x.sigmoid()

    def _order(self, epoch: int, n: int) -> torch.Tensor:
        counter = (self._fits << 40) + (epoch << 24)
        draws = _core.uniform(self.seed, _BATCHES, counter, self.members * n)
        return torch.from_numpy(draws).view(self.members, n).argsort(1)

    def state_dict(self) -> dict[str, Any]:
        return {
            "fits": self._fits,
            "weights": [w.clone() for w in self._weights],
            "heads": None if self._heads is None else [*self._heads],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError if the weights belong to other layers."""
        layers = [tuple(w.shape) for w in state["weights"]]
        if layers and layers != [tuple(w.shape) for w in self._start()]:
            raise ValueError(f"a predictor of other layers: its weights have the shapes {layers}")
        self._fits = state["fits"]
        self._weights = [w.clone() for w in state["weights"]]
        self._heads = None if state["heads"] is None else BayesianHeads(*state["heads"])


def normal_scores(rewards: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The normal quantiles of the rewards' ranks, `[n]`; equal rewards share their mean rank."""
    ordered = np.sort(rewards)
    ranks = (np.searchsorted(ordered, rewards) + np.searchsorted(ordered, rewards, "right")) / 2
    quantiles = torch.from_numpy(ranks / len(rewards))
    return np.asarray(torch.special.ndtri(quantiles), np.float64)
