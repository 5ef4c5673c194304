"""The operations of a network, one module per row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from nascore.ops import sep_conv_norm


class Row(NamedTuple):
    """A row of a network: the operation and the shape of what it computes, `_core.NET_COLUMNS`."""

    op: int
    kernel: int  # its height
    kernel_width: int
    stride: int
    dilation: int
    groups: int
    channels: int
    height: int
    width: int
    signal: int = 0  # 1 in a network of signals [n, C, L], whose kernels have a width alone


def _sides(row: Row) -> tuple[int, ...]:
    return (row.kernel_width,) if row.signal else (row.kernel, row.kernel_width)


def _padding(row: Row) -> tuple[int, ...]:
    """Odd kernels keep the size at stride 1, even ones are not padded."""
    return tuple(row.dilation * (side // 2) if side % 2 else 0 for side in _sides(row))


def _convolution(row: Row, channels: int, bias: bool = False, pads: bool = True) -> Any:
    make: Any = nn.Conv1d if row.signal else nn.Conv2d
    return make(
        channels,
        row.channels,
        _sides(row),
        stride=row.stride,
        padding=_padding(row) if pads else 0,
        dilation=row.dilation,
        groups=row.groups,
        bias=bias,
    )


def _norm(row: Row) -> Any:
    return (nn.BatchNorm1d if row.signal else nn.BatchNorm2d)(row.channels)


class Conv(nn.Module):
    """The pre-activation convolution cell (PCC): ReLU, convolution, batch norm."""

    def __init__(self, row: Row, channels: int) -> None:
        super().__init__()
        self.conv = _convolution(row, channels)
        self.norm = _norm(row)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(F.relu(x)))  # not in place: others read x too
        return y


class Stem(nn.Module):
    """Convolution and batch norm on the image."""

    def __init__(self, row: Row, channels: int) -> None:
        super().__init__()
        self.conv = _convolution(row, channels)
        self.norm = _norm(row)

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


class SepConv(nn.Module):
    """ReLU, depthwise convolution, pointwise convolution, batch norm: nothing in between.

    By the norm of the batch it is one operation, on CUDA where `fused_on_cuda` says so.
    """

    # Whoever has measured that it pays sets it: the times of docs/cuda.md are predicted, no more.
    fused_on_cuda: ClassVar[bool] = False

    def __init__(self, row: Row, channels: int) -> None:
        super().__init__()
        self.depthwise = _convolution(row._replace(channels=channels, groups=channels), channels)
        point = row._replace(kernel=1, kernel_width=1, stride=1, dilation=1, groups=1)
        self.pointwise = _convolution(point, channels)
        self.norm = _norm(row)

    def forward(self, x: Tensor) -> Tensor:
        if _fits_kernel(self, x):
            return _by_batch(self, x)
        y: Tensor = self.norm(self.pointwise(self.depthwise(F.relu(x))))
        return y


def _fits_kernel(module: SepConv, x: Tensor) -> bool:
    """Whether there is one kernel of all that `module` does, since its norm goes by the batch."""
    if not module.norm.training and module.norm.running_mean is not None:
        return False  # before x is looked at, which torch.fx would not bear
    if x.dim() != 4:
        return False  # signals
    height, width = module.depthwise.kernel_size
    if x.device.type == "cuda":
        weights = module.norm.weight, module.depthwise.weight, module.pointwise.weight
        fits = module.fused_on_cuda and all(w.dtype == torch.float32 for w in weights)
        fits = fits and x.dtype != torch.float64
    else:
        fits = x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        fits = fits and x.dtype == torch.float32
    return fits and len(x) > 0 and height == width and height % 2 == 1


def _by_batch(module: SepConv, x: Tensor) -> Tensor:
    depthwise, norm = module.depthwise, module.norm
    if x.device.type == "cuda" and torch.is_autocast_enabled("cuda"):
        x = x.to(torch.get_autocast_dtype("cuda"))  # as torch's convolutions do; weights stay
    y, mean, variance = sep_conv_norm(
        x,
        depthwise.weight,
        module.pointwise.weight,
        norm.weight,
        norm.bias,
        depthwise.stride[0],
        depthwise.dilation[0],
        norm.eps,
    )
    if norm.training and norm.track_running_stats and norm.running_mean is not None:
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked += 1
        share = norm.momentum
        if share is None:  # a mean over all batches
            share = 1 / int(norm.num_batches_tracked)
        count = y.numel() // y.shape[1]
        norm.running_mean.lerp_(mean, share)
        norm.running_var.lerp_(variance * (count / (count - 1)), share)
    return y


class FactorizedReduce(nn.Module):
    """Half the size: ReLU, then half of the channels from the even pixels, half from the odd ones.

    An image of odd height or width has one odd pixel less: zeros stand in for it.
    """

    def __init__(self, row: Row, channels: int) -> None:
        super().__init__()
        half = row.channels // 2
        self.even = _convolution(row._replace(channels=half), channels)
        self.odd = _convolution(row._replace(channels=row.channels - half), channels)
        self.norm = _norm(row)
        self.signal = row.signal  # not to ask x for its dimensions, which torch.fx would not bear

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        shifted = (
            F.pad(x[:, :, 1:], (0, 1)) if self.signal else F.pad(x[:, :, 1:, 1:], (0, 1, 0, 1))
        )
        y: Tensor = self.norm(torch.cat([self.even(x), self.odd(shifted)], 1))
        return y


class DropPath(nn.Module):
    """In training, keeps each sample with probability `keep` and divides it by that."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.depth = row.kernel / row.stride  # (l + 1) / L in the l-th of L cells
        # Training sets it; as a tensor [] in a compiled network, which is translated anew for every
        # other number.
        self.keep: float | Tensor = 1.0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        samples = (len(x), *(1,) * (x.dim() - 1))
        if isinstance(self.keep, Tensor):
            kept = torch.rand(samples, device=x.device) < self.keep
            return x * (kept / self.keep).to(x.dtype)
        if self.keep == 1.0:
            return x
        return x * x.new_empty(samples).bernoulli_(self.keep).div_(self.keep)


class ConvValid(nn.Module):
    """Convolution without padding, batch norm, ReLU."""

    def __init__(self, row: Row, channels: int) -> None:
        super().__init__()
        self.conv = _convolution(row, channels, pads=False)
        self.norm = _norm(row)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


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


class Pad(nn.Module):
    """Zeros around the input, as many on either side, or one more below and to the right."""

    def __init__(self, row: Row, given: Row) -> None:
        super().__init__()
        height, width = row.height - given.height, row.width - given.width
        sides = (width // 2, width - width // 2, height // 2, height - height // 2)
        self.sides = sides[:2] if row.signal else sides

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.sides)


class Upsample(nn.Module):
    """The nearest pixels of the input, at a larger height and width."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.size = (row.width,) if row.signal else (row.height, row.width)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, self.size)


class GlobalPool(nn.Module):
    """The average over height and width, or length, [n, C, ...] -> [n, C]."""

    def __init__(self, over: tuple[int, ...] = (2, 3)) -> None:
        super().__init__()
        self.over = over

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.over)


def _max_pool(row: Row, _: Sequence[Row]) -> nn.Module:
    pool: Any = nn.MaxPool1d if row.signal else nn.MaxPool2d
    made: nn.Module = pool(_sides(row), row.stride, _padding(row))
    return made


def _avg_pool(row: Row, _: Sequence[Row]) -> nn.Module:
    pool: Any = nn.AvgPool1d if row.signal else nn.AvgPool2d
    made: nn.Module = pool(_sides(row), row.stride, _padding(row), count_include_pad=False)
    return made


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
    "global_pool": lambda row, inputs: GlobalPool((2,) if row.signal else (2, 3)),
    "linear": lambda row, inputs: nn.Linear(inputs[0].channels, row.channels),
    "conv_relu": lambda row, inputs: ConvRelu(row, inputs[0].channels),
    "max_pool_valid": lambda row, inputs: (
        nn.MaxPool1d(row.kernel_width, row.stride)
        if row.signal
        else nn.MaxPool2d(row.kernel, row.stride)
    ),
    "flatten": lambda row, inputs: nn.Flatten(),
    "dropout": lambda row, inputs: nn.Dropout(row.kernel / row.stride),
    "sep_conv": lambda row, inputs: SepConv(row, inputs[0].channels),
    "factorized_reduce": lambda row, inputs: FactorizedReduce(row, inputs[0].channels),
    "layer_norm": lambda row, inputs: nn.GroupNorm(1, row.channels),
    "instance_norm": lambda row, inputs: nn.GroupNorm(row.channels, row.channels),
    "drop_path": lambda row, inputs: DropPath(row),
    "avg_pool_valid": lambda row, inputs: (
        nn.AvgPool1d(row.kernel_width, row.stride)
        if row.signal
        else nn.AvgPool2d((row.kernel, row.kernel_width), row.stride)
    ),
    "pad": lambda row, inputs: Pad(row, inputs[0]),
    "conv_valid": lambda row, inputs: ConvValid(row, inputs[0].channels),
    "conv_bias": lambda row, inputs: _convolution(row, inputs[0].channels, bias=True),
    "conv_plain": lambda row, inputs: _convolution(row, inputs[0].channels),
    "conv_plain_valid": lambda row, inputs: _convolution(row, inputs[0].channels, pads=False),
    "conv_bias_valid": lambda row, inputs: _convolution(
        row, inputs[0].channels, bias=True, pads=False
    ),
    "batch_norm": lambda row, inputs: _norm(row),
    "upsample": lambda row, inputs: Upsample(row),
}
