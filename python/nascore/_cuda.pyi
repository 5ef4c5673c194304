"""
The CUDA kernels of nascore. An error of CUDA is a RuntimeError with its text.
"""

from __future__ import annotations

import collections.abc

__all__: list[str] = [
    "ConvShape",
    "cell_bf16",
    "cell_f16",
    "cell_f32",
    "cell_shared_bf16",
    "cell_shared_f16",
    "cell_shared_f32",
    "cell_workspace_bf16",
    "cell_workspace_f16",
    "cell_workspace_f32",
    "conv_bf16",
    "conv_f16",
    "conv_f32",
    "conv_shared",
    "device_count",
    "draw_bernoulli",
    "draw_categorical",
    "draw_k",
    "masked_sum_backward_bf16",
    "masked_sum_backward_f16",
    "masked_sum_backward_f32",
    "masked_sum_bf16",
    "masked_sum_f16",
    "masked_sum_f32",
    "masked_sum_workspace_bf16",
    "masked_sum_workspace_f16",
    "masked_sum_workspace_f32",
    "sep_conv_bf16",
    "sep_conv_f16",
    "sep_conv_f32",
    "sep_conv_norm_backward_bf16",
    "sep_conv_norm_backward_f16",
    "sep_conv_norm_backward_f32",
    "sep_conv_norm_backward_shared",
    "sep_conv_norm_backward_workspace_bf16",
    "sep_conv_norm_backward_workspace_f16",
    "sep_conv_norm_backward_workspace_f32",
    "sep_conv_norm_bf16",
    "sep_conv_norm_f16",
    "sep_conv_norm_f32",
    "sep_conv_norm_workspace",
    "sep_conv_shared",
]

class ConvShape:
    """
    Of x [samples, height, width, in_channels], whose pixels are in_stride elements
    apart, and y alike.
    """
    def __init__(
        self,
        *,
        samples: int,
        in_channels: int,
        in_stride: int,
        height: int,
        width: int,
        out_channels: int,
        out_stride: int,
        out_height: int,
        out_width: int,
        kernel_h: int,
        kernel_w: int,
        stride: int = 1,
        dilation: int = 1,
        pad_top: int = 0,
        pad_left: int = 0,
        relu: bool = False,
        relu_after: bool = False,
        accumulate: bool = False,
    ) -> None: ...

def cell_bf16(
    program: int,
    on_device: int,
    instructions: int,
    weights: int,
    weight_floats: int,
    samples: int,
    inputs: collections.abc.Sequence[int],
    input_sizes: collections.abc.Sequence[int],
    outputs: collections.abc.Sequence[int],
    output_sizes: collections.abc.Sequence[int],
    workspace: int,
    workspace_size: int,
    cuda_stream: int,
) -> None:
    """
    Runs a program with float32 weights on images [samples, H, W, C], at most 16 each way.

    `program` is of the host, `on_device` a copy of it; sizes are elements of one sample.
    ValueError where an instruction leaves them or is a batch norm.
    """

def cell_f16(
    program: int,
    on_device: int,
    instructions: int,
    weights: int,
    weight_floats: int,
    samples: int,
    inputs: collections.abc.Sequence[int],
    input_sizes: collections.abc.Sequence[int],
    outputs: collections.abc.Sequence[int],
    output_sizes: collections.abc.Sequence[int],
    workspace: int,
    workspace_size: int,
    cuda_stream: int,
) -> None:
    """
    Runs a program with float32 weights on images [samples, H, W, C], at most 16 each way.

    `program` is of the host, `on_device` a copy of it; sizes are elements of one sample.
    ValueError where an instruction leaves them or is a batch norm.
    """

def cell_f32(
    program: int,
    on_device: int,
    instructions: int,
    weights: int,
    weight_floats: int,
    samples: int,
    inputs: collections.abc.Sequence[int],
    input_sizes: collections.abc.Sequence[int],
    outputs: collections.abc.Sequence[int],
    output_sizes: collections.abc.Sequence[int],
    workspace: int,
    workspace_size: int,
    cuda_stream: int,
) -> None:
    """
    Runs a program with float32 weights on images [samples, H, W, C], at most 16 each way.

    `program` is of the host, `on_device` a copy of it; sizes are elements of one sample.
    ValueError where an instruction leaves them or is a batch norm.
    """

def cell_shared_bf16(program: int, instructions: int, most: int) -> int:
    """
    Bytes of shared memory of a block for a valid program, where a device allows it `most`.
    """

def cell_shared_f16(program: int, instructions: int, most: int) -> int:
    """
    Bytes of shared memory of a block for a valid program, where a device allows it `most`.
    """

def cell_shared_f32(program: int, instructions: int, most: int) -> int:
    """
    Bytes of shared memory of a block for a valid program, where a device allows it `most`.
    """

def cell_workspace_bf16(
    program: int,
    instructions: int,
    weight_floats: int,
    samples: int,
    input_sizes: collections.abc.Sequence[int],
    output_sizes: collections.abc.Sequence[int],
) -> int:
    """
    How many elements `cell` wants as its workspace on the current device; arguments as there.
    """

def cell_workspace_f16(
    program: int,
    instructions: int,
    weight_floats: int,
    samples: int,
    input_sizes: collections.abc.Sequence[int],
    output_sizes: collections.abc.Sequence[int],
) -> int:
    """
    How many elements `cell` wants as its workspace on the current device; arguments as there.
    """

def cell_workspace_f32(
    program: int,
    instructions: int,
    weight_floats: int,
    samples: int,
    input_sizes: collections.abc.Sequence[int],
    output_sizes: collections.abc.Sequence[int],
) -> int:
    """
    How many elements `cell` wants as its workspace on the current device; arguments as there.
    """

def conv_bf16(x: int, weights: int, bias: int, shape: ConvShape, y: int, cuda_stream: int) -> None:
    """
    y (+)= bias + convolution of x; float32 weights [kernel_h, kernel_w, in_channels,
    out_channels], bias [out_channels] or 0.
    """

def conv_f16(x: int, weights: int, bias: int, shape: ConvShape, y: int, cuda_stream: int) -> None:
    """
    y (+)= bias + convolution of x; float32 weights [kernel_h, kernel_w, in_channels,
    out_channels], bias [out_channels] or 0.
    """

def conv_f32(x: int, weights: int, bias: int, shape: ConvShape, y: int, cuda_stream: int) -> None:
    """
    y (+)= bias + convolution of x; float32 weights [kernel_h, kernel_w, in_channels,
    out_channels], bias [out_channels] or 0.
    """

def conv_shared(shape: ConvShape) -> int:
    """
    Bytes of shared memory that a block of conv takes.
    """

def device_count() -> int:
    """
    How many CUDA devices this process sees; 0 without a driver.
    """

def draw_bernoulli(
    weights: int,
    rows: int,
    n: int,
    seed: int,
    stream: int,
    counter: int,
    mask: int,
    invalid: int,
    cuda_stream: int,
) -> None:
    """
    mask [rows, n] bool, each with its own probability; `invalid` as of draw_k.
    """

def draw_categorical(
    weights: int,
    legal: int,
    rows: int,
    n: int,
    seed: int,
    stream: int,
    counter: int,
    drawn: int,
    invalid: int,
    cuda_stream: int,
) -> None:
    """
    drawn [rows] int32 = a legal index of each row; `invalid` as of draw_k, and where nothing
    of a row is legal.
    """

def draw_k(
    weights: int,
    rows: int,
    n: int,
    k: int,
    seed: int,
    stream: int,
    counter: int,
    drawn: int,
    invalid: int,
    cuda_stream: int,
) -> None:
    """
    drawn [rows, k] int32 = the indices that the CPU draws by the same weights [rows, n] uint32.
    `invalid` [1] int32 becomes 1 where a weight is too large.
    """

def masked_sum_backward_bf16(
    grad: int,
    inputs: collections.abc.Sequence[int],
    mask: int,
    samples: int,
    size: int,
    of_inputs: collections.abc.Sequence[int],
    of_mask: int,
    workspace: int,
    cuda_stream: int,
) -> None:
    """
    The gradients of the masked sum, of the mask in float32; an address of 0 where one of an
    input is not wanted, and for the mask where none is.
    """

def masked_sum_backward_f16(
    grad: int,
    inputs: collections.abc.Sequence[int],
    mask: int,
    samples: int,
    size: int,
    of_inputs: collections.abc.Sequence[int],
    of_mask: int,
    workspace: int,
    cuda_stream: int,
) -> None:
    """
    The gradients of the masked sum, of the mask in float32; an address of 0 where one of an
    input is not wanted, and for the mask where none is.
    """

def masked_sum_backward_f32(
    grad: int,
    inputs: collections.abc.Sequence[int],
    mask: int,
    samples: int,
    size: int,
    of_inputs: collections.abc.Sequence[int],
    of_mask: int,
    workspace: int,
    cuda_stream: int,
) -> None:
    """
    The gradients of the masked sum, of the mask in float32; an address of 0 where one of an
    input is not wanted, and for the mask where none is.
    """

def masked_sum_bf16(
    inputs: collections.abc.Sequence[int],
    mask: int,
    samples: int,
    size: int,
    out: int,
    cuda_stream: int,
) -> None:
    """
    out [samples, size] = the sum of mask [samples, n] times n inputs, at these addresses.
    """

def masked_sum_f16(
    inputs: collections.abc.Sequence[int],
    mask: int,
    samples: int,
    size: int,
    out: int,
    cuda_stream: int,
) -> None:
    """
    out [samples, size] = the sum of mask [samples, n] times n inputs, at these addresses.
    """

def masked_sum_f32(
    inputs: collections.abc.Sequence[int],
    mask: int,
    samples: int,
    size: int,
    out: int,
    cuda_stream: int,
) -> None:
    """
    out [samples, size] = the sum of mask [samples, n] times n inputs, at these addresses.
    """

def masked_sum_workspace_bf16(inputs: int, samples: int, size: int) -> int:
    """
    How many floats the backward pass wants as its workspace.
    """

def masked_sum_workspace_f16(inputs: int, samples: int, size: int) -> int:
    """
    How many floats the backward pass wants as its workspace.
    """

def masked_sum_workspace_f32(inputs: int, samples: int, size: int) -> int:
    """
    How many floats the backward pass wants as its workspace.
    """

def sep_conv_bf16(
    x: int, depthwise: int, pointwise: int, bias: int, shape: ConvShape, y: int, cuda_stream: int
) -> None:
    """
    y (+)= bias + pointwise of depthwise of x; float32 weights [kernel_h, kernel_w, in_channels]
    and [in_channels, out_channels], bias [out_channels] or 0.
    """

def sep_conv_f16(
    x: int, depthwise: int, pointwise: int, bias: int, shape: ConvShape, y: int, cuda_stream: int
) -> None:
    """
    y (+)= bias + pointwise of depthwise of x; float32 weights [kernel_h, kernel_w, in_channels]
    and [in_channels, out_channels], bias [out_channels] or 0.
    """

def sep_conv_f32(
    x: int, depthwise: int, pointwise: int, bias: int, shape: ConvShape, y: int, cuda_stream: int
) -> None:
    """
    y (+)= bias + pointwise of depthwise of x; float32 weights [kernel_h, kernel_w, in_channels]
    and [in_channels, out_channels], bias [out_channels] or 0.
    """

def sep_conv_norm_backward_bf16(
    grad: int,
    x: int,
    raw: int,
    mean: int,
    variance: int,
    depthwise: int,
    pointwise: int,
    scale: int,
    epsilon: float,
    shape: ConvShape,
    of_x: int,
    of_depthwise: int,
    of_pointwise: int,
    of_scale: int,
    of_shift: int,
    workspace: int,
    cuda_stream: int,
) -> None:
    """
    The gradients by grad, that of y: of x, and in float32 of depthwise [in_channels, kernel_h,
    kernel_w], pointwise [out_channels, in_channels], which is given alike, scale and shift.
    """

def sep_conv_norm_backward_f16(
    grad: int,
    x: int,
    raw: int,
    mean: int,
    variance: int,
    depthwise: int,
    pointwise: int,
    scale: int,
    epsilon: float,
    shape: ConvShape,
    of_x: int,
    of_depthwise: int,
    of_pointwise: int,
    of_scale: int,
    of_shift: int,
    workspace: int,
    cuda_stream: int,
) -> None:
    """
    The gradients by grad, that of y: of x, and in float32 of depthwise [in_channels, kernel_h,
    kernel_w], pointwise [out_channels, in_channels], which is given alike, scale and shift.
    """

def sep_conv_norm_backward_f32(
    grad: int,
    x: int,
    raw: int,
    mean: int,
    variance: int,
    depthwise: int,
    pointwise: int,
    scale: int,
    epsilon: float,
    shape: ConvShape,
    of_x: int,
    of_depthwise: int,
    of_pointwise: int,
    of_scale: int,
    of_shift: int,
    workspace: int,
    cuda_stream: int,
) -> None:
    """
    The gradients by grad, that of y: of x, and in float32 of depthwise [in_channels, kernel_h,
    kernel_w], pointwise [out_channels, in_channels], which is given alike, scale and shift.
    """

def sep_conv_norm_backward_shared(shape: ConvShape) -> tuple[int, int, int]:
    """
    Bytes of shared memory that blocks of the backward pass take, by its three kernels: through
    norm and pointwise convolution, to the pointwise and to the depthwise weights.
    """

def sep_conv_norm_backward_workspace_bf16(shape: ConvShape) -> int:
    """
    How many floats the backward pass wants as its workspace.
    """

def sep_conv_norm_backward_workspace_f16(shape: ConvShape) -> int:
    """
    How many floats the backward pass wants as its workspace.
    """

def sep_conv_norm_backward_workspace_f32(shape: ConvShape) -> int:
    """
    How many floats the backward pass wants as its workspace.
    """

def sep_conv_norm_bf16(
    x: int,
    depthwise: int,
    pointwise: int,
    scale: int,
    shift: int,
    epsilon: float,
    shape: ConvShape,
    raw: int,
    y: int,
    mean: int,
    variance: int,
    workspace: int,
    cuda_stream: int,
) -> None:
    """
    raw = pointwise of depthwise of x, y its norm by the batch's float32 mean and biased
    variance [out_channels]; weights as of sep_conv, scale and shift [out_channels].
    """

def sep_conv_norm_f16(
    x: int,
    depthwise: int,
    pointwise: int,
    scale: int,
    shift: int,
    epsilon: float,
    shape: ConvShape,
    raw: int,
    y: int,
    mean: int,
    variance: int,
    workspace: int,
    cuda_stream: int,
) -> None:
    """
    raw = pointwise of depthwise of x, y its norm by the batch's float32 mean and biased
    variance [out_channels]; weights as of sep_conv, scale and shift [out_channels].
    """

def sep_conv_norm_f32(
    x: int,
    depthwise: int,
    pointwise: int,
    scale: int,
    shift: int,
    epsilon: float,
    shape: ConvShape,
    raw: int,
    y: int,
    mean: int,
    variance: int,
    workspace: int,
    cuda_stream: int,
) -> None:
    """
    raw = pointwise of depthwise of x, y its norm by the batch's float32 mean and biased
    variance [out_channels]; weights as of sep_conv, scale and shift [out_channels].
    """

def sep_conv_norm_workspace(shape: ConvShape) -> int:
    """
    How many floats sep_conv_norm wants as its workspace.
    """

def sep_conv_shared(shape: ConvShape) -> int:
    """
    Bytes of shared memory that a block of sep_conv takes; a launch fails where the device
    allows less to one block.
    """
