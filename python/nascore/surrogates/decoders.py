"""From embeddings to weights of any shape."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor, nn


class Decoder(nn.Module):
    """Kernels of at most `channels` x `channels` x `kernel` x `kernel` and vectors of `channels`.

    What is smaller is sliced out of the largest, in the middle where it is a kernel; that alone is
    computed. What has more channels is made of several copies. "mlp" has two layers (Zhang et al.,
    2019, section 4.3), "conv" a layer and two 1x1 convolutions (Knyazev et al., 2021).
    """

    def __init__(
        self, kind: Literal["mlp", "conv"], width: int, hidden: int, channels: int, kernel: int
    ) -> None:
        super().__init__()
        self.kind, self.channels, self.kernel = kind, channels, kernel
        taps = kernel * kernel
        if kind == "mlp":
            self.first = nn.Linear(width, hidden)
            self.last = nn.Linear(hidden, taps * channels * channels)
        else:
            self.first = nn.Linear(width, 4 * width * taps)
            self.middle = nn.Linear(4 * width, 8 * width)
            self.last = nn.Linear(8 * width, channels * channels)
        self.vector = nn.Sequential(
            nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, channels)
        )

    def kernels(self, embeddings: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Weights `[n, O, I, H, W]` of embeddings `[n, D]`; the shape is (O, I, H, W)."""
        out, given, height, width = (
            min(side, most)
            for side, most in zip(shape, (*[self.channels] * 2, *[self.kernel] * 2), strict=True)
        )
        rows, columns = _middle(height, self.kernel), _middle(width, self.kernel)
        n, k, c = len(embeddings), self.kernel, self.channels
        hidden = self.first(embeddings).relu()
        if self.kind == "mlp":
            weight = self.last.weight.view(k, k, c, c, -1)[rows, columns, :out, :given]
            bias = self.last.bias.view(k, k, c, c)[rows, columns, :out, :given]
            made = hidden @ weight.flatten(0, 3).T + bias.flatten()
        else:
            pixels = hidden.view(n, k, k, -1)[:, rows, columns]
            pixels = self.middle(pixels).relu()
            weight = self.last.weight.view(c, c, -1)[:out, :given].flatten(0, 1)
            made = pixels @ weight.T + self.last.bias.view(c, c)[:out, :given].flatten()
        made = made.view(n, height, width, out, given).permute(0, 3, 4, 1, 2)
        return tiled(made, shape)

    def vectors(self, embeddings: Tensor, length: int) -> Tensor:
        """Vectors `[n, length]` of embeddings `[n, D]`."""
        return tiled(self.vector(embeddings)[:, :length], (length,))


def tiled(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`[n, *shape]` of copies of `[n, *smaller]`, one after another, the last ones cut off."""
    times = [math.ceil(side / own) for side, own in zip(shape, values.shape[1:], strict=True)]
    return values.repeat(1, *times)[(slice(None), *map(slice, shape))]


def fan_in_scale(shape: tuple[int, ...]) -> float:
    """What GHN-2 multiplies a weight by: sqrt(beta / fan-in) (Knyazev et al., 2021, section 4.2).

    beta is 2, but 1 of depthwise kernels and of those that are wider than high.
    """
    thin = shape[1] == 1 or (len(shape) == 4 and shape[2] < shape[3])
    return math.sqrt((1 if thin else 2) / math.prod(shape[1:]))


def _middle(side: int, of: int) -> slice:
    first = (of - side) // 2
    return slice(first, first + side)
