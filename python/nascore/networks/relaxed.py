"""A block whose every decision is a softmax, in a network that can be trained: DARTS for codes.

Liu et al., ICLR 2019, relax a cell's choices of operation and edge. Here a row of a Network
Structure Code is relaxed: whether the code ends before it, its operation, its predecessors.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from nascore.networks.build import initialise
from nascore.networks.modules import GlobalPool
from nascore.spaces import Skeleton

# Type and kernel of a row that reads one row. A row that reads two is an add: a concat would widen
# what follows, and rows that nobody reads are concatenated as it is.
UNARY = ((1, 1), (1, 3), (1, 5), (2, 1), (2, 3), (3, 1), (3, 3), (4, 0))
ADD, END = len(UNARY), len(UNARY) + 1
_NEVER = -1e9  # a logit of probability 0 that leaves no NaN where all are such


class Choices(NamedTuple):
    """The probabilities of a relaxed block's decisions; row i of them is layer i + 1."""

    end: Tensor  # [L] that the code ends before the row
    ops: Tensor  # [L, 9] of a row that is written: UNARY, then add
    pred: Tensor  # [L, L] of what a row that reads one reads: 0 is the block's input
    pair: Tensor  # [L, L, L] of the two that an add reads, the lower first

    def alive(self) -> Tensor:
        """That each row is written, [L]."""
        return torch.cumprod(1 - self.end, 0)


class Relaxed(nn.Module):
    """The logits of a block of up to `max_layers` layers; it has one layer at least."""

    def __init__(self, max_layers: int) -> None:
        super().__init__()
        self.ops = nn.Parameter(torch.zeros(max_layers, END + 1))
        self.preds = nn.Parameter(torch.zeros(max_layers, max_layers))

    def forward(self) -> Choices:
        rows = torch.arange(len(self.ops), device=self.ops.device)
        first = (rows == 0)[:, None] & (torch.arange(END + 1, device=rows.device) >= ADD)
        ops = self.ops.masked_fill(first, _NEVER)
        preds = self.preds.masked_fill(rows[:, None] < rows, _NEVER)
        pairs = (preds[:, :, None] + preds[:, None, :]).masked_fill(rows[:, None] >= rows, _NEVER)
        return Choices(
            ops.softmax(1)[:, END],
            ops[:, :END].softmax(1),
            preds.softmax(1),
            pairs.flatten(1).softmax(1).view_as(pairs),
        )


class RelaxedNetwork(nn.Module):
    """A skeleton whose blocks are all the same relaxed one, `choices`.

    A block's rows are `width` channels each, behind a 1x1 convolution; its output is all rows, each
    times the probability that it is written and not read.
    """

    def __init__(self, max_layers: int, skeleton: Skeleton, channels: int, classes: int) -> None:
        super().__init__()
        self.choices = Relaxed(max_layers)
        stem = [
            nn.Conv2d(channels, skeleton.stem_width, 3, skeleton.stem_stride, 1, bias=False),
            nn.BatchNorm2d(skeleton.stem_width),
            *([nn.MaxPool2d(3, 2, 1)] if skeleton.stem_pool else []),
        ]
        self.stem = nn.Sequential(*stem)
        blocks: list[nn.Module] = []
        wide = skeleton.stem_width
        for group, width in enumerate(skeleton.widths):
            for i in range(skeleton.blocks):
                blocks.append(_Block(max_layers, wide, width, shrink=group > 0 and i == 0))
                wide = max_layers * width
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Sequential(nn.ReLU(), GlobalPool(), nn.Linear(wide, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, classes]."""
        choices = self.choices()
        x = self.stem(images)
        for block in self.blocks:
            x = block(x, choices)
        logits: Tensor = self.head(x)
        return logits

    def weights(self) -> list[nn.Parameter]:
        """All parameters but those of the choices."""
        return [p for name, p in self.named_parameters() if not name.startswith("choices.")]


def build_relaxed(
    max_layers: int, skeleton: Skeleton, channels: int, classes: int, seed: int
) -> RelaxedNetwork:
    """A relaxed network on the CPU, its weights drawn from `seed`, its choices all alike."""
    with torch.device("meta"):
        network = RelaxedNetwork(max_layers, skeleton, channels, classes)
    initialise(network, seed)
    for parameter in network.choices.parameters():
        nn.init.zeros_(parameter)
    return network


class _Block(nn.Module):
    def __init__(self, max_layers: int, wide: int, width: int, *, shrink: bool) -> None:
        super().__init__()
        self.shrink = shrink
        self.project = _conv(wide, width, 1)
        self.rows = nn.ModuleList(
            nn.ModuleList(_operation(kind, kernel, width) for kind, kernel in UNARY)
            for _ in range(max_layers)
        )

    def forward(self, x: Tensor, choices: Choices) -> Tensor:
        if self.shrink:
            x = F.max_pool2d(x, 2)
        either = choices.pair.sum(1) + choices.pair.sum(2)  # [L, L] that an add reads a row
        results = [self.project(x)]
        for ops, share, pred, add in zip(self.rows, choices.ops, choices.pred, either, strict=True):
            read = _mix(pred, results)
            mixed = sum(p * op(read) for p, op in zip(share, ops, strict=False))
            results.append(mixed + share[ADD] * _mix(add, results))
        reads = choices.ops[:, :ADD].sum(1, keepdim=True) * choices.pred
        reads = choices.alive()[:, None] * (reads + choices.ops[:, ADD:] * either)
        unread = torch.prod(1 - reads, 0)[1:]  # layers 1 to L - 1; none reads the last
        leaf = choices.alive() * torch.cat([unread, unread.new_ones(1)])
        return torch.cat([p * y for p, y in zip(leaf, results[1:], strict=True)], 1)


def _mix(shares: Tensor, results: list[Tensor]) -> Tensor:
    mixed = shares[0] * results[0]
    for p, y in zip(shares[1:], results[1:], strict=False):
        mixed = mixed + p * y
    return mixed


def _conv(wide: int, width: int, kernel: int) -> nn.Module:
    """A PCC whose batch norm does not scale, which would undo the shares (DARTS)."""
    conv = nn.Conv2d(wide, width, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(width, affine=False))


def _operation(kind: int, kernel: int, width: int) -> nn.Module:
    """An operation of a code; as in DARTS, batch norm follows a pooling."""
    if kind == 1:
        return _conv(width, width, kernel)
    if kind == 4 or kernel == 1:
        return nn.Identity()
    pool = (
        nn.MaxPool2d(kernel, 1, kernel // 2)
        if kind == 2
        else nn.AvgPool2d(kernel, 1, kernel // 2, count_include_pad=False)
    )
    return nn.Sequential(pool, nn.BatchNorm2d(width, affine=False))
