"""The operations of a network, one module per row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class Row(NamedTuple):
    """A row of a network: the operation and the shape of what it computes, `_core.NET_COLUMNS`."""

    op: int
    kernel: int
    stride: int
    dilation: int
    groups: int
    channels: int
    height: int
    width: int


def _padding(row: Row) -> int:
    """Odd kernels keep the size at stride 1, even ones are not padded."""
    return row.dilation * (row.kernel // 2) if row.kernel % 2 else 0


def _convolution(row: Row, channels: int, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(
        channels,
        row.channels,
        row.kernel,
        stride=row.stride,
        padding=_padding(row),
        dilation=row.dilation,
        groups=row.groups,
        bias=bias,
    )


class Conv(nn.Module):
    """The pre-activation convolution cell (PCC): ReLU, convolution, batch norm."""

    def __init__(self, row: Row, channels: int) -> None:
        super().__init__()
        self.conv = _convolution(row, channels)
        self.norm = nn.BatchNorm2d(row.channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(F.relu(x)))  # not in place: others read x too
        return y


class Stem(nn.Module):
    """Convolution and batch norm on the image."""

    def __init__(self, row: Row, channels: int) -> None:
        super().__init__()
        self.conv = _convolution(row, channels)
        self.norm = nn.BatchNorm2d(row.channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return y


class ConvRelu(nn.Module):
    """Convolution with a bias, then ReLU."""

    def __init__(self, row: Row, channels: int) -> None:
        super().__init__()
        self.conv = _convolution(row, channels, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


class Add(nn.Module):
    """The sum of the inputs; one that is wired twice counts twice."""

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            x = x + other
        return x


class Concat(nn.Module):
    """The inputs side by side, along the channels."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, 1)


class GlobalPool(nn.Module):
    """The average over height and width, [n, C, H, W] -> [n, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def _max_pool(row: Row, _: Sequence[Row]) -> nn.Module:
    return nn.MaxPool2d(row.kernel, row.stride, _padding(row))


def _avg_pool(row: Row, _: Sequence[Row]) -> nn.Module:
    return nn.AvgPool2d(row.kernel, row.stride, _padding(row), count_include_pad=False)


# By the names of `_core.OPS`; the arguments are the row and the rows that it reads.
MODULES: dict[str, Callable[[Row, Sequence[Row]], nn.Module]] = {
    "conv": lambda row, inputs: Conv(row, inputs[0].channels),
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "identity": lambda row, inputs: nn.Identity(),
    "add": lambda row, inputs: Add(),
    "concat": lambda row, inputs: Concat(),
    "stem": lambda row, inputs: Stem(row, inputs[0].channels),
    "relu": lambda row, inputs: nn.ReLU(),
    "global_pool": lambda row, inputs: GlobalPool(),
    "linear": lambda row, inputs: nn.Linear(inputs[0].channels, row.channels),
    "conv_relu": lambda row, inputs: ConvRelu(row, inputs[0].channels),
    "max_pool_valid": lambda row, inputs: nn.MaxPool2d(row.kernel, row.stride),
    "flatten": lambda row, inputs: nn.Flatten(),
    "dropout": lambda row, inputs: nn.Dropout(row.kernel / row.stride),
}
