"""Many different architectures: each built, given weights, made fast, and run once."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from nascore import fuse
from nascore.agents.random import Random
from nascore.networks import Network, build_net
from nascore.spaces import BlockSpace, CellSpace, CellStack, Skeleton
from side_by_side import Compare, Route
from torch_routes import Part, folded, inductor, onednn

N, IMAGES, SHAPE = 50, 256, (3, 16, 16)
ONEDNN, INDUCTOR = 10, 3  # of the N, since these compile each for seconds


def random_nets() -> list[Any]:
    """Blocks and cells in turn."""
    kinds = (
        (BlockSpace(10), Skeleton.small(), Random(BlockSpace(10), 0)),
        (CellSpace(), CellStack.small(), Random(CellSpace(), 0)),
    )
    found: list[Any] = []
    while len(found) < N:
        _, skeleton, agent = kinds[len(found) % 2]
        try:
            net = skeleton.expand(agent.ask(1)[0].architecture, SHAPE, 10)
        except ValueError:  # a block too wide
            continue
        if net.macs < 2e7:
            found.append(net)
    return found


# The clock's time, since inductor compiles in processes of its own.
@pytest.mark.benchmark(timer=time.perf_counter)
@pytest.mark.timeout(900)
def test_random_networks(compare: Compare) -> None:
    nets = random_nets()
    x = torch.randn(IMAGES, *SHAPE)
    last = x.contiguous(memory_format=torch.channels_last)

    def route(fast: Callable[[Network], Callable[..., Tensor]], given: Tensor, n: int = N) -> Route:
        def every() -> Tensor:
            with torch.inference_mode():
                runs = (fast(build_net(net, i).eval()) for i, net in enumerate(nets[:n]))
                return torch.stack([run(given) for run in runs])

        return Route(every, n)

    turns = itertools.count()

    def one_by_inductor() -> Tensor:  # another in each turn
        i = next(turns) % INDUCTOR
        with torch.inference_mode():
            return inductor(whole(build_net(nets[i], i).eval()), last)(last)[None]

    def whole(network: Network) -> Part:
        return Part(network, (0,), network.exit_rows[-1]).eval()

    def agree(*logits: Tensor) -> None:
        for other in logits[1:]:
            torch.testing.assert_close(other, logits[0][: len(other)], atol=1e-3, rtol=1e-3)

    compare(
        f"{N} random blocks and cells built and run on {IMAGES} images of 16x16 (by oneDNN 10, "
        "by inductor 3)",
        "architectures",
        {
            "nascore": route(fuse, last),
            "torch, eager": route(lambda network: network, x),
            "channels last, folded": route(lambda n: folded(whole(n)), last),
            "oneDNN graph": route(lambda n: onednn(whole(n), last), last, ONEDNN),
            "inductor": Route(one_by_inductor),
        },
        agree,
    )
