"""The last layers of several networks as Bayesian linear regressions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_NOISES = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)  # over the prior's variance of the outputs


class BayesianHeads(NamedTuple):
    """What the outputs may be, given features `[m, n, H]` of `m` networks (Snoek et al., 2015).

    Weights have a normal prior. Its variance, and the noise, which is shared by the networks, are
    those of the greatest evidence.
    """

    scale: Tensor  # [m, 1, 1]
    vectors: Tensor  # [m, H + 1, H + 1], of the features' covariance
    precision: Tensor  # [m, H + 1], along the vectors
    weights: Tensor  # [m, H + 1], along the vectors
    noise: Tensor  # [m]

    @classmethod
    def fit(cls, features: Tensor, wanted: Tensor) -> BayesianHeads:
        """The posterior once the outputs `[n]` are known."""
        x, y = _with_bias(features), wanted.double()
        scale = x.square().sum(2).mean(1).rsqrt()[:, None, None]
        x = x * scale
        n, width = x.shape[1:]
        values, vectors = torch.linalg.eigh(x.mT @ x)
        projected = (x @ vectors).mT @ y
        ratio = torch.tensor(_NOISES, dtype=torch.float64)[:, None]  # noise over prior variance
        precision = values.clamp(min=0) + ratio[..., None]  # [r, m, H + 1]
        prior = (y.square().sum() - (projected.square() / precision).sum(2)) / (ratio * n)
        evidence = -n * prior.log() - precision.log().sum(2) - (n - width) * ratio.log()
        best = evidence.sum(1).argmax()
        return cls(
            scale, vectors, precision[best], projected / precision[best], prior[best] * ratio[best]
        )

    def predict(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the outputs without noise, each `[m, k]`, for `[m, k, H]`."""
        x = _with_bias(features) * self.scale @ self.vectors
        mean = (x * self.weights[:, None]).sum(2)
        return mean, (x.square() / self.precision[:, None]).sum(2) * self.noise[:, None]


def _with_bias(features: Tensor) -> Tensor:
    return torch.cat([features, features.new_ones(*features.shape[:2], 1)], 2).double()
