"""Graph hypernetworks: messages and weights of many networks at once, and one by one."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from nascore.agents.random import Random
from nascore.networks import Network
from nascore.spaces import Skeleton, SumDagSpace
from nascore.surrogates.hypernetwork import Design, HyperNetwork
from side_by_side import Compare, Route

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from test_hypernetwork import slow

N, SHAPE = 16, (3, 16, 16)


def nets_of(n: int) -> list[object]:
    blocks = Random(SumDagSpace(7), 0).ask(n)
    return [Skeleton.small().expand(b.architecture, SHAPE, 10) for b in blocks]


def test_messages(compare: Compare) -> None:
    """Forward and backward passes over unstacked graphs; the peer computes node after node."""
    nets = nets_of(N)
    hyper = HyperNetwork(Design(passes=2, stacked=False))

    def ours() -> Tensor:
        embeddings, node_of = hyper.embed(nets)
        return torch.cat([embeddings[list(nodes)] for nodes in node_of[:2]])

    def theirs() -> Tensor:
        return torch.cat([slow(hyper, net) for net in nets[:2]])

    def agree(ours: Tensor, theirs: Tensor) -> None:
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)

    with torch.no_grad():
        compare(
            f"hypernetwork's messages, {N} networks at once",
            "networks",
            {"nascore": Route(ours, N), "torch, node after node": Route(theirs, 2)},
            agree,
        )


def test_weights(compare: Compare) -> None:
    nets = nets_of(N)
    hyper = HyperNetwork(Design())
    images = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0))

    def agree(together: list[Network], alone: list[Network]) -> None:
        for one, other in zip(together, alone, strict=True):
            torch.testing.assert_close(one(images), other(images), atol=1e-3, rtol=1e-3)

    with torch.no_grad():
        compare(
            f"networks with a hypernetwork's weights, {N} at once",
            "networks",
            {
                "nascore": Route(lambda: hyper(nets), N),
                "one at a time": Route(lambda: [hyper([net])[0] for net in nets], N),
            },
            agree,
        )
