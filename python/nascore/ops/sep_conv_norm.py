"""ReLU, depthwise and pointwise convolution, batch norm: one operator of training.

For a depthwise kernel w [C, 1, k, k] with k odd, a pointwise one p [O, C, 1, 1] and "same" padding,

    y[n, o, i, j] = scale[o] * sum_c p[o, c] sum_uv w[c, u, v] relu(x[n, c, i', j']) + shift[o],
    i' = i * stride + (u - k // 2) * dilation, j' alike.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nascore import _core
from nascore.ops._library import CUDA_TYPES, channels_last, cuda, library, require, without_gradient
from nascore.ops.convolutions import checked_output, conv_ref, cuda_shape

library.define(
    "sep_conv_norm(Tensor x, Tensor depthwise, Tensor pointwise, Tensor scale, Tensor shift, "
    "int stride, int dilation, float epsilon) -> (Tensor, Tensor, Tensor, Tensor)"
)
library.define(
    "sep_conv_norm_backward(Tensor grad, Tensor x, Tensor raw, Tensor mean, Tensor variance, "
    "Tensor depthwise, Tensor pointwise, Tensor scale, int stride, int dilation, float epsilon) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)


def sep_conv_norm(
    x: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    scale: Tensor,
    shift: Tensor,
    stride: int = 1,
    dilation: int = 1,
    epsilon: float = 1e-5,
) -> tuple[Tensor, Tensor, Tensor]:
    """y [N, O, H', W'] by the norm of this batch, and its mean and biased variance [O].

    The statistics are gathered as the convolution is computed. Everything but these two has a
    gradient. All is float32; on CUDA x and y may be float16 or bfloat16. Raises ValueError where a
    shape or type does not fit.
    """
    y, _, mean, variance = torch.ops.nascore.sep_conv_norm(
        x, depthwise, pointwise, scale, shift, stride, dilation, epsilon
    )
    return y, mean, variance


def sep_conv_norm_ref(
    x: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    scale: Tensor,
    shift: Tensor,
    stride: int = 1,
    dilation: int = 1,
    epsilon: float = 1e-5,
) -> tuple[Tensor, Tensor, Tensor]:
    """The same in plain torch."""
    one, zero = torch.ones_like(scale), torch.zeros_like(shift)
    raw = conv_ref(x, depthwise, pointwise, one, zero, stride, dilation)
    y = torch.nn.functional.batch_norm(raw, None, None, scale, shift, True, eps=epsilon)
    return y, raw.mean((0, 2, 3)), raw.var((0, 2, 3), correction=0)


def _shape(x: Tensor, depthwise: Tensor, pointwise: Tensor, stride: int, dilation: int) -> Any:
    return [*x.shape[1:], pointwise.shape[0], depthwise.shape[-1], stride, dilation]


def _norm_fake(
    x: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    scale: Tensor,
    shift: Tensor,
    stride: int,
    dilation: int,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    y = checked_output(x, depthwise, pointwise, scale, shift, stride, dilation)
    height, width = depthwise.shape[2:]
    kernel = f"depthwise: expected one k x k with k odd, got {height} x {width}"
    require(height == width and height % 2 == 1, kernel)
    return y, torch.empty_like(y), torch.empty_like(scale), torch.empty_like(scale)


def _checked(
    x: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    scale: Tensor,
    shift: Tensor,
    stride: int,
    dilation: int,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Room for what the operator gives."""
    found = _norm_fake(x, depthwise, pointwise, scale, shift, stride, dilation, epsilon)
    y = found[0]
    require(y.numel() > y.shape[1], f"x: {list(x.shape)} leaves a batch norm less than 2 numbers")
    return found


def _norm(
    x: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    scale: Tensor,
    shift: Tensor,
    stride: int,
    dilation: int,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    found = _checked(x, depthwise, pointwise, scale, shift, stride, dilation, epsilon)
    y, raw, mean, variance = found
    given = channels_last(x)
    weights = [w.contiguous() for w in (depthwise, pointwise, scale, shift)]
    _core.separable_forward(
        x.shape[0],
        _shape(x, depthwise, pointwise, stride, dilation),
        [w.data_ptr() for w in weights],
        epsilon,
        given.data_ptr(),
        [raw.data_ptr(), y.data_ptr(), mean.data_ptr(), variance.data_ptr()],
    )
    return found


def _norm_cuda(
    x: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    scale: Tensor,
    shift: Tensor,
    stride: int,
    dilation: int,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    assert cuda is not None
    found = _checked(x, depthwise, pointwise, scale, shift, stride, dilation, epsilon)
    y, raw, mean, variance = found
    shape = cuda_shape(x, y, depthwise, stride, dilation)
    # As the kernels read them: [k, k, C] and [C, O].
    turned = pointwise[:, :, 0, 0].t().contiguous()
    given = [channels_last(x), _by_tap(depthwise), turned, scale.contiguous(), shift.contiguous()]
    workspace = scale.new_empty(cuda.sep_conv_norm_workspace(shape))
    kernel = getattr(cuda, f"sep_conv_norm_{CUDA_TYPES[x.dtype]}")
    with torch.cuda.device(x.device):
        kernel(
            *(t.data_ptr() for t in given),
            epsilon,
            shape,
            *(t.data_ptr() for t in (raw, y, mean, variance, workspace)),
            torch.cuda.current_stream().cuda_stream,
        )
    return found


def _by_tap(depthwise: Tensor) -> Tensor:
    return depthwise[:, 0].permute(1, 2, 0).contiguous()


def _gradients(
    x: Tensor, depthwise: Tensor, pointwise: Tensor, scale: Tensor
) -> tuple[Tensor, ...]:
    """Room for those of x, of both kernels, of scale and shift."""
    of_x = torch.empty_like(x, memory_format=torch.channels_last)
    return of_x, *(w.new_empty(w.shape) for w in (depthwise, pointwise, scale, scale))


def _backward_fake(
    grad: Tensor,
    x: Tensor,
    raw: Tensor,
    mean: Tensor,
    variance: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    scale: Tensor,
    stride: int,
    dilation: int,
    epsilon: float,
) -> tuple[Tensor, ...]:
    return _gradients(x, depthwise, pointwise, scale)


def _backward(
    grad: Tensor,
    x: Tensor,
    raw: Tensor,
    mean: Tensor,
    variance: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    scale: Tensor,
    stride: int,
    dilation: int,
    epsilon: float,
) -> tuple[Tensor, ...]:
    require(grad.shape == raw.shape, f"grad: expected {list(raw.shape)}, got {list(grad.shape)}")
    found = _gradients(x, depthwise, pointwise, scale)
    if not grad.numel():
        return tuple(t.zero_() for t in found)
    read = [channels_last(t) for t in (grad, x, raw)] + [mean.contiguous(), variance.contiguous()]
    weights = [w.contiguous() for w in (depthwise, pointwise, scale, scale)]
    _core.separable_backward(
        x.shape[0],
        _shape(x, depthwise, pointwise, stride, dilation),
        [w.data_ptr() for w in weights],
        epsilon,
        [t.data_ptr() for t in read],
        [t.data_ptr() for t in found],
    )
    return found


def _backward_cuda(
    grad: Tensor,
    x: Tensor,
    raw: Tensor,
    mean: Tensor,
    variance: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    scale: Tensor,
    stride: int,
    dilation: int,
    epsilon: float,
) -> tuple[Tensor, ...]:
    assert cuda is not None
    for name, of_y in ("grad", grad), ("raw", raw):
        require(of_y.dtype == x.dtype, f"{name}: expected {x.dtype}, got {of_y.dtype}")
    require(grad.shape == raw.shape, f"grad: expected {list(raw.shape)}, got {list(grad.shape)}")
    found = _gradients(x, depthwise, pointwise, scale)
    if not grad.numel():
        return tuple(t.zero_() for t in found)
    shape = cuda_shape(x, raw, depthwise, stride, dilation)
    given = [channels_last(t) for t in (grad, x, raw)]
    given += [mean.contiguous(), variance.contiguous(), _by_tap(depthwise)]
    given += [pointwise.contiguous(), scale.contiguous()]
    name = CUDA_TYPES[x.dtype]
    floats = getattr(cuda, f"sep_conv_norm_backward_workspace_{name}")(shape)
    workspace = scale.new_empty(floats)
    with torch.cuda.device(x.device):
        getattr(cuda, f"sep_conv_norm_backward_{name}")(
            *(t.data_ptr() for t in given),
            epsilon,
            shape,
            *(t.data_ptr() for t in (*found, workspace)),
            torch.cuda.current_stream().cuda_stream,
        )
    return found


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, depthwise, pointwise, scale, _, *ctx.settings = inputs
    _, raw, mean, variance = output
    ctx.mark_non_differentiable(raw, mean, variance)
    ctx.save_for_backward(x, raw, mean, variance, depthwise, pointwise, scale)


def _differentiate(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    found = torch.ops.nascore.sep_conv_norm_backward(grad, *ctx.saved_tensors, *ctx.settings)
    return *found, None, None, None


library.impl("sep_conv_norm", _norm, "CPU")
library.impl("sep_conv_norm_backward", _backward, "CPU")
if cuda is not None:
    library.impl("sep_conv_norm", _norm_cuda, "CUDA")
    library.impl("sep_conv_norm_backward", _backward_cuda, "CUDA")
torch.library.register_fake("nascore::sep_conv_norm", _norm_fake, lib=library)
torch.library.register_fake("nascore::sep_conv_norm_backward", _backward_fake, lib=library)
torch.library.register_autograd(
    "nascore::sep_conv_norm", _differentiate, setup_context=_save, lib=library
)
without_gradient("sep_conv_norm_backward", "sep_conv_norm has no second derivative")
