"""What a step of training asks a network for, and on how many processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nascore.networks import ranks
from nascore.networks.build import Network


class Logits(nn.Module):
    """The logits whose loss training minimises; `main` is the place of the classifier's.

    They are the classifier's, and unless it is to be `alone` those of the exits or, for `auxiliary`
    training, those of the auxiliary heads.
    """

    def __init__(self, network: nn.Module, auxiliary: bool, alone: bool) -> None:
        super().__init__()
        self.network = network
        exits, heads = 1, 1
        if isinstance(network, Network):
            exits, heads = len(network.exit_rows), len(network.ends)
        self.exits = exits > 1 and not alone
        self.heads = heads > 1 and not alone and not self.exits and auxiliary
        self.main = -1 if self.exits else 0
        self.partial = heads > 1 and not self.heads  # some weights are idle

    def forward(self, images: Tensor) -> list[Tensor]:
        """Logits [n, classes] each, of normalised images [n, C, H, W]."""
        if isinstance(self.network, Network) and self.exits:
            return self.network.exits(images)
        if isinstance(self.network, Network) and self.heads:
            return self.network.heads(images)
        return [self.network(images)]


def parallel(logits: Logits, device: torch.device) -> nn.Module:
    """`logits` whose gradients are the means over all processes, where there are several.

    On GPUs batch norm goes by the whole batch then; on CPUs, for which torch has no such thing, by
    each process's share of it, and its statistics are those of process 0.
    """
    if ranks.count() == 1:
        return logits
    on_gpu = device.type == "cuda"
    if on_gpu:
        nn.SyncBatchNorm.convert_sync_batchnorm(logits.network)  # type: ignore[no-untyped-call]
    ids = [torch.cuda.current_device()] if on_gpu else None
    return DistributedDataParallel(logits, ids, find_unused_parameters=logits.partial)
