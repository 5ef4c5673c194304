"""Several networks as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """The mean of its members' class probabilities."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Logarithms of probabilities [n, classes] of normalised images [n, C, H, W]."""
        each = torch.stack([member(images).log_softmax(1) for member in self.members])
        return each.logsumexp(0) - math.log(len(self.members))
