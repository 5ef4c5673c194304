"""Moving averages of a network's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Averages:
    """Exponential moving averages of all that `network` holds, in `network` of their own.

    After n updates the decay is min(`decay`, (1 + n) / (10 + n)), so that a short training is not
    the average of its beginning (TensorFlow's ExponentialMovingAverage). The statistics of batch
    norms are averaged alike; counters are copied.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.network = copy.deepcopy(network).requires_grad_(False)
        pairs = list(zip(_tensors(self.network), _tensors(network), strict=True))
        averaged = [(ours, theirs) for ours, theirs in pairs if ours.is_floating_point()]
        self._ours, self._theirs = [a for a, _ in averaged], [b for _, b in averaged]
        self._counters = [pair for pair in pairs if not pair[0].is_floating_point()]

    def update(self) -> None:
        """Counts what the network is now."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self._ours, self._theirs, 1 - decay)
        for ours, theirs in self._counters:
            ours.copy_(theirs)


def _tensors(network: nn.Module) -> list[torch.Tensor]:
    # Without gradient, and the very memory of the network, which no training replaces.
    return list(network.state_dict().values())
