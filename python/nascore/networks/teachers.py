"""Ordinary torch modules to compress: residual networks and VGGs as one builds them for CIFAR."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., 2016)."""

    def __init__(self, given: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(given, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride > 1 or given != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(given, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """`blocks[g]` blocks at `widths[g]` channels per group, each group at half the size before.

    (2, 2, 2, 2) blocks at 64 to 512 channels are ResNet-18, (3, 4, 6, 3) ResNet-34.
    """

    def __init__(
        self, channels: int, classes: int, blocks: Sequence[int], widths: Sequence[int]
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        ]
        given = widths[0]
        for group, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            for i in range(count):
                layers.append(Block(given, width, 2 if group and not i else 1))
                given = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(given, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


class VGG(nn.Sequential):
    """`blocks[g]` 3x3 convolutions with batch norm per group, then 2x2 max pooling; one linear.

    (2, 2, 4, 4, 4) at 64, 128, 256, 512, 512 channels is VGG-19.
    """

    def __init__(
        self, channels: int, classes: int, blocks: Sequence[int], widths: Sequence[int]
    ) -> None:
        layers: list[nn.Module] = []
        for count, width in zip(blocks, widths, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        super().__init__(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
        )
