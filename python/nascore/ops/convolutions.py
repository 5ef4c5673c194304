"""ReLU, a convolution, and the scale and shift into which a batch norm folds: for inference.

Odd kernels are padded by half, even ones not at all:

    y[n, o, i, j] = scale[o] * sum_cuv w[o, c, u, v] relu(x[n, c, i', j']) + shift[o],
    i' = i * stride + u * dilation - padding, and j' alike.

A program of one instruction each: `nascore.ops.cell` runs many.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nascore import _core
from nascore.ops._library import CUDA_TYPES, channels_last, cuda, library, require, without_gradient
from nascore.ops.cell import launch

library.define(
    "conv(Tensor x, Tensor? depthwise, Tensor dense, Tensor scale, Tensor shift, int stride, "
    "int dilation, Tensor? onto) -> Tensor"
)


def conv(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    shift: Tensor,
    stride: int = 1,
    dilation: int = 1,
    onto: Tensor | None = None,
) -> Tensor:
    """y [N, O, H', W'] of x [N, C, H, W] and `weight` [O, C, h, w], for inference.

    A batch norm is folded into `scale` and `shift` [O]; `onto`, of y's shape, is added. All is
    float32; on CUDA x, `onto` and y may be float16 or bfloat16. Raises ValueError where a shape or
    type does not fit.
    """
    y: Tensor = torch.ops.nascore.conv(x, None, weight, scale, shift, stride, dilation, onto)
    return y


def sep_conv(
    x: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    scale: Tensor,
    shift: Tensor,
    stride: int = 1,
    dilation: int = 1,
    onto: Tensor | None = None,
) -> Tensor:
    """`conv` with a `depthwise` [C, 1, h, w] and a `pointwise` [O, C, 1, 1] convolution."""
    y: Tensor = torch.ops.nascore.conv(
        x, depthwise, pointwise, scale, shift, stride, dilation, onto
    )
    return y


def conv_ref(
    x: Tensor,
    depthwise: Tensor | None,
    dense: Tensor,
    scale: Tensor,
    shift: Tensor,
    stride: int = 1,
    dilation: int = 1,
    onto: Tensor | None = None,
) -> Tensor:
    """`conv` and `sep_conv` in plain torch."""
    first = dense if depthwise is None else depthwise
    padding = [_padding(side, dilation) for side in first.shape[2:]]
    groups = 1 if depthwise is None else x.shape[1]
    y = torch.conv2d(x.relu(), first, None, stride, padding, dilation, groups)
    if depthwise is not None:
        y = torch.conv2d(y, dense)
    y = y * scale[:, None, None] + shift[:, None, None]
    return y if onto is None else onto + y


def _padding(side: int, dilation: int) -> int:
    return dilation * (side // 2) if side % 2 else 0


def checked_output(
    x: Tensor,
    depthwise: Tensor | None,
    dense: Tensor,
    scale: Tensor,
    shift: Tensor,
    stride: int,
    dilation: int,
) -> Tensor:
    """Room for y, of arguments that fit."""
    require(stride >= 1 and dilation >= 1, f"stride={stride}, dilation={dilation}: at least 1")
    require(x.dim() == 4, f"x: expected [N, C, H, W], got {list(x.shape)}")
    channels, kernel = x.shape[1], dense
    require(channels >= 1, f"x: {list(x.shape)} has no channels")
    if depthwise is not None:
        kernel = depthwise
        require(
            depthwise.dim() == 4 and depthwise.shape[:2] == (channels, 1),
            f"depthwise: expected [{channels}, 1, h, w], got {list(depthwise.shape)}",
        )
        wanted = [dense.shape[0], channels, 1, 1]
        require(
            list(dense.shape) == wanted, f"pointwise: expected {wanted}, got {list(dense.shape)}"
        )
    require(
        dense.dim() == 4 and dense.shape[1] == channels,
        f"weight: expected [O, {channels}, h, w], got {list(dense.shape)}",
    )
    out = dense.shape[0]
    for name, numbers in ("scale", scale), ("shift", shift):
        require(numbers.shape == (out,), f"{name}: expected [{out}], got {list(numbers.shape)}")
    weights = ("depthwise", depthwise), ("weight", dense), ("scale", scale), ("shift", shift)
    for name, given in (("x", x), *weights):
        if given is not None:
            fits = given.dtype == torch.float32 or (
                name == "x" and x.device.type == "cuda" and x.dtype in CUDA_TYPES
            )
            require(fits, f"{name}: expected float32, got {given.dtype}")
            there = f"{name}: it is on {given.device}, x on {x.device}"
            require(given.device == x.device, there)
    sizes = []
    for length, side in zip(x.shape[2:], kernel.shape[2:], strict=True):
        padding = _padding(side, dilation)
        size = (length + 2 * padding - dilation * (side - 1) - 1) // stride + 1
        require(size >= 1, f"x: {list(x.shape)} is smaller than the kernel {list(kernel.shape)}")
        sizes.append(size)
    shape = (x.shape[0], out, *sizes)
    last = torch.channels_last
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=last)


def _conv_fake(
    x: Tensor,
    depthwise: Tensor | None,
    dense: Tensor,
    scale: Tensor,
    shift: Tensor,
    stride: int,
    dilation: int,
    onto: Tensor | None,
) -> Tensor:
    y = checked_output(x, depthwise, dense, scale, shift, stride, dilation)
    if onto is not None:
        got = list(onto.shape)
        require(onto.shape == y.shape, f"onto: expected {list(y.shape)}, got {got}")
        require(onto.dtype == y.dtype, f"onto: expected {y.dtype}, got {onto.dtype}")
    return y


def _conv(
    x: Tensor,
    depthwise: Tensor | None,
    dense: Tensor,
    scale: Tensor,
    shift: Tensor,
    stride: int,
    dilation: int,
    onto: Tensor | None,
) -> Tensor:
    y = _conv_fake(x, depthwise, dense, scale, shift, stride, dilation, onto)
    if onto is not None:
        y.copy_(onto)
    if not y.numel():
        return y
    channels = x.shape[1]
    first = dense if depthwise is None else depthwise
    values: dict[str, int] = dict.fromkeys(_core.PROGRAM_COLUMNS, 0)
    values |= {
        "kernel": _core.KERNELS.index("conv" if depthwise is None else "sep_conv"),
        "relu": 1,
        "accumulate": onto is not None,
        "stride": stride,
        "dilation": dilation,
        "from_stride": channels,
        "to_stride": y.shape[1],
    }
    for axes, sizes in (
        (("in_channels", "in_height", "in_width"), x.shape[1:]),
        (("out_channels", "out_height", "out_width"), y.shape[1:]),
        (("kernel_height", "kernel_width"), first.shape[2:]),
        (("pad_top", "pad_left"), (_padding(side, dilation) for side in first.shape[2:])),
    ):
        values |= dict(zip(axes, sizes, strict=True))
    program = torch.tensor([list(values.values())], dtype=torch.int32)
    deep = 0 if depthwise is None else _core.padded(channels) * first[0].numel()
    depth = channels * dense[0, 0].numel()
    packed = np.empty(deep + (depth + 1) * _core.padded(dense.shape[0]), np.float32)
    if depthwise is not None:
        _core.pack_depthwise(depthwise.detach().numpy(), packed)
    weights, scales, shifts = (w.detach().numpy() for w in (dense, scale, shift))
    _core.pack_convolution(weights, scales, shifts, packed[deep:])
    launch([x], program, torch.from_numpy(packed), [y])
    return y


def cuda_shape(
    x: Tensor, y: Tensor, kernel: Tensor, stride: int, dilation: int, accumulate: bool = False
) -> Any:
    """Of dense images, for the kernels of CUDA."""
    assert cuda is not None
    samples, channels, height, width = x.shape
    return cuda.ConvShape(
        samples=samples,
        in_channels=channels,
        in_stride=channels,
        height=height,
        width=width,
        out_channels=y.shape[1],
        out_stride=y.shape[1],
        out_height=y.shape[2],
        out_width=y.shape[3],
        kernel_h=kernel.shape[2],
        kernel_w=kernel.shape[3],
        stride=stride,
        dilation=dilation,
        pad_top=_padding(kernel.shape[2], dilation),
        pad_left=_padding(kernel.shape[3], dilation),
        relu=True,
        accumulate=accumulate,
    )


def _conv_cuda(
    x: Tensor,
    depthwise: Tensor | None,
    dense: Tensor,
    scale: Tensor,
    shift: Tensor,
    stride: int,
    dilation: int,
    onto: Tensor | None,
) -> Tensor:
    assert cuda is not None
    y = _conv_fake(x, depthwise, dense, scale, shift, stride, dilation, onto)
    if onto is not None:
        y.copy_(onto)
    if not y.numel():
        return y
    first = dense if depthwise is None else depthwise
    shape = cuda_shape(x, y, first, stride, dilation, onto is not None)
    # As the kernels read them: [h, w, C] and [h, w, C, O].
    scaled = (dense * scale[:, None, None, None]).permute(2, 3, 1, 0).contiguous()
    given = [channels_last(x), scaled, shift.contiguous()]
    if depthwise is not None:
        given.insert(1, depthwise[:, 0].permute(1, 2, 0).contiguous())
    name = "conv" if depthwise is None else "sep_conv"
    kernel = getattr(cuda, f"{name}_{CUDA_TYPES[x.dtype]}")
    with torch.cuda.device(x.device):
        stream = torch.cuda.current_stream().cuda_stream
        kernel(*(t.data_ptr() for t in given), shape, y.data_ptr(), stream)
    return y


library.impl("conv", _conv, "CPU")
if cuda is not None:
    library.impl("conv", _conv_cuda, "CUDA")
torch.library.register_fake("nascore::conv", _conv_fake, lib=library)
without_gradient(
    "conv", "conv and sep_conv are for inference; sep_conv_norm and torch.conv2d have derivatives"
)
