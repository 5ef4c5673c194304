"""How long a network takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.benchmark import Timer

from nascore.networks.scoring import find_device
from nascore.networks.training import threads

_WARM_UP = 3  # calls
_LEAST_S, _MOST_S = 0.2, 1.0  # of the measurement, which ends early once its quartiles are near


def latency_ms(
    network: nn.Module,
    shape: Sequence[int],
    device: str | torch.device = "auto",
    batch: int = 1,
    n_threads: int = 1,
) -> float:
    """The median time of `network`, moved to `device`, for a batch of images of `shape` [C, H, W].

    The module is timed as it is: in evaluation mode, in float32, neither fused nor compiled.
    """
    device = find_device(device)
    network.to(device).eval()
    images = torch.rand(batch, *shape, generator=torch.Generator().manual_seed(0)).to(device)
    timer = Timer("network(images)", globals={"network": network, "images": images})
    with threads(n_threads), torch.inference_mode():
        for _ in range(_WARM_UP):
            network(images)
        timed = timer.adaptive_autorange(min_run_time=_LEAST_S, max_run_time=_MOST_S)
    return 1e3 * float(timed.median)
