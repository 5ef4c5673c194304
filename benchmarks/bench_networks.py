"""Whole architectures: random blocks as networks, each built and run on images once."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from nascore import tasks
from nascore.agents.random import Random
from nascore.networks import build
from nascore.networks.scoring import place
from nascore.spaces import BlockSpace, Skeleton
from side_by_side import Compare, Route

N, IMAGES, SHAPE = 3, 64, (3, 32, 32)


def test_random_blocks(compare: Compare) -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, *SHAPE), dtype=torch.uint8)
    task = tasks.from_arrays(images.numpy(), torch.arange(IMAGES).numpy() % 10)
    blocks = [p.architecture for p in Random(BlockSpace(10), 0).ask(N)]
    x = images.float() / 255

    def each(run: Callable[[nn.Module], Tensor]) -> Route:
        def route() -> Tensor:
            with torch.inference_mode():
                networks = (build(block, task, Skeleton.small()).eval() for block in blocks)
                return torch.stack([run(network) for network in networks])

        return Route(route, N)

    def ours(network: nn.Module) -> Tensor:
        place(network, torch.device("cpu"))
        return network(x.contiguous(memory_format=torch.channels_last))

    def onednn(network: nn.Module) -> Tensor:
        """Traced and frozen: torch folds batch norm and fuses what follows a convolution."""
        place(network, torch.device("cpu"))
        given = x.contiguous(memory_format=torch.channels_last)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.enable_onednn_fusion(True)
            fused = torch.jit.freeze(torch.jit.trace(network, given))
            fused(given)  # profiles; the second run is the first fast one
            torch.jit.enable_onednn_fusion(False)
        return fused(given)

    def agree(*logits: Tensor) -> None:
        for other in logits[1:]:
            torch.testing.assert_close(logits[0], other, atol=1e-4, rtol=1e-3)

    compare(
        f"random blocks built and run on {IMAGES} images of {'x'.join(map(str, SHAPE))}",
        "architectures",
        {
            "nascore": each(ours),
            "torch, eager": each(lambda network: network(x)),
            "torch, oneDNN graph": each(onednn),
        },
        agree,
    )
