"""What a step of training asks a network for, and on how many processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nascore.networks import ranks
from nascore.networks.build import Network


class Logits(nn.Module):
    """The logits that training minimises the loss of; `main` is the place of the classifier's."""

    def __init__(self, network: nn.Module, auxiliary: bool, alone: bool) -> None:
        """Only the classifier's if `alone`; those of auxiliary heads if `auxiliary`."""
        super().__init__()
        self.network = network
        whole = isinstance(network, Network) and not alone
        self.exits = whole and len(network.exit_rows) > 1
        self.heads = whole and not self.exits and auxiliary
        self.main = -1 if self.exits else 0
        # Heads that nobody asks have no gradient.
        self.partial = isinstance(network, Network) and len(network.ends) > 1 and not self.heads

    def forward(self, images: Tensor) -> list[Tensor]:
        """Logits [n, classes] each, of normalised images [n, C, H, W]."""
        if self.exits:
            found: list[Tensor] = self.network.exits(images)
        elif self.heads:
            found = self.network.heads(images)
        else:
            found = [self.network(images)]
        return found


def parallel(logits: Logits, device: torch.device) -> nn.Module:
    """`logits` whose gradients are the means over all processes, where there are several.

    On GPUs batch norm goes by the whole batch then; on CPUs, for which torch has no such thing, by
    each process's share of it, and its statistics are those of process 0.
    """
    if ranks.count() == 1:
        return logits
    on_gpu = device.type == "cuda"
    if on_gpu:
        nn.SyncBatchNorm.convert_sync_batchnorm(logits.network)
    ids = [torch.cuda.current_device()] if on_gpu else None
    return DistributedDataParallel(logits, ids, find_unused_parameters=logits.partial)
