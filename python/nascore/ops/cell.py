"""A whole block, cell or network in one call: its program runs on the core's kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from nascore import _core
from nascore.ops._library import (
    CUDA_TYPES,
    channels_last,
    cuda,
    library,
    require,
    without_gradient,
)

_COLUMNS = len(_core.PROGRAM_COLUMNS)

library.define(
    "cell(Tensor[] inputs, Tensor program, Tensor weights, int[] shapes, Tensor? on_device=None)"
    " -> Tensor[]"
)


def cell(
    inputs: Sequence[Tensor],
    program: Tensor,
    weights: Tensor,
    shapes: Sequence[int],
    on_device: Tensor | None = None,
) -> list[Tensor]:
    """What a `program` [I, 26] with its `weights` [W] computes of images [n, C, H, W] each.

    `program` has the instructions of a `_core.Program`, `shapes` the channels, height and width of
    each of its outputs. It lies on the CPU, for a launch is sized by it; on CUDA its copy
    `on_device` is what runs, made in each call where it is not given. Images are float32, on CUDA
    also float16 or bfloat16, all of one type, which the outputs have too; weights are float32, and
    so are sums. For inference: there is no gradient. Raises ValueError where the program does not
    fit the inputs or the weights, and on CUDA where it has a batch norm by the batch.
    """
    found: list[Tensor] = torch.ops.nascore.cell(
        list(inputs), program, weights, list(shapes), on_device
    )
    return found


def _run_on_cpu(
    inputs: Sequence[Tensor],
    program: Tensor,
    weights: Tensor,
    shapes: Sequence[int],
    on_device: Tensor | None = None,
) -> list[Tensor]:
    found = _empty(inputs, program, weights, shapes)
    for tensor in (*inputs, program, weights):
        if not tensor.is_cpu:
            raise ValueError(f"a program runs on the CPU, got a tensor on {tensor.device}")
    launch(inputs, program.contiguous(), weights.contiguous(), found)
    return found


class Runner:
    """`cell` on a CPU for a program that runs often: what cannot change is worked out once.

    It calls the core without torch's dispatcher. `inputs` and `outputs` are channels, height and
    width of each. An output of one pixel is [n, C], any other [n, C, H, W].
    """

    def __init__(
        self,
        program: Tensor,
        inputs: Sequence[tuple[int, int, int]],
        outputs: Sequence[tuple[int, int, int]],
    ) -> None:
        self.program, self.count = program.contiguous(), program.shape[0]
        self.inputs = list(inputs)
        self.input_floats = [math.prod(shape) for shape in inputs]
        self.output_floats = [math.prod(shape) for shape in outputs]
        self.outputs = [
            ((c, h, w), (c * h * w, 1, w * c, c)) if h > 1 or w > 1 else ((c,), (c, 1))
            for c, h, w in outputs
        ]

    def __call__(self, images: Sequence[Tensor], weights: Tensor) -> list[Tensor]:
        """Raises ValueError for images or weights of other shapes, types or devices."""
        samples = images[0].shape[0] if images and images[0].dim() else 0
        given, read, found, written = [], [], [], []
        for x, wanted in zip(images, self.inputs, strict=True):
            if x.shape != (samples, *wanted):
                shapes = f"[n, C, H, W] of {wanted}, {samples} of each"
                raise ValueError(f"images: expected {shapes}, got {list(x.shape)}")
            _require_float_on_cpu("images", x)
            x = x.contiguous(memory_format=torch.channels_last)
            given.append(x)  # alive until the program has run
            read.append(x.data_ptr())
        _require_float_on_cpu("weights", weights)
        weights = weights.contiguous()
        for shape, strides in self.outputs:
            y = torch.empty_strided((samples, *shape), strides, dtype=torch.float32, device="cpu")
            found.append(y)
            written.append(y.data_ptr())
        if samples > 0:
            _core.run_program(
                self.program.data_ptr(),
                self.count,
                weights.data_ptr(),
                weights.numel(),
                samples,
                read,
                self.input_floats,
                written,
                self.output_floats,
            )
        return found


def _require_float_on_cpu(name: str, tensor: Tensor) -> None:
    if not tensor.is_cpu:
        raise ValueError(f"{name}: a program runs on the CPU, got a tensor on {tensor.device}")
    if tensor.dtype is not torch.float32:
        raise ValueError(f"{name}: expected torch.float32, got {tensor.dtype}")


def launch(
    inputs: Sequence[Tensor], program: Tensor, weights: Tensor, outputs: Sequence[Tensor]
) -> None:
    """Runs a contiguous program on the CPU, which writes `outputs`, channels last, or adds."""
    samples = inputs[0].shape[0]
    if samples == 0:
        return
    given = [channels_last(x) for x in inputs]
    _core.run_program(
        program.data_ptr(),
        program.shape[0],
        weights.data_ptr(),
        weights.numel(),
        samples,
        [x.data_ptr() for x in given],
        [x.numel() // samples for x in given],
        [y.data_ptr() for y in outputs],
        [y.numel() // samples for y in outputs],
    )


def _run_on_device(
    inputs: Sequence[Tensor],
    program: Tensor,
    weights: Tensor,
    shapes: Sequence[int],
    on_device: Tensor | None = None,
) -> list[Tensor]:
    assert cuda is not None
    found = _empty(inputs, program, weights, shapes)
    samples, device = inputs[0].shape[0], inputs[0].device
    require(program.device.type == "cpu", f"program: expected on the CPU, got on {program.device}")
    copied = program.to(device) if on_device is None else on_device
    fits = copied.shape == program.shape and copied.dtype == torch.int32
    require(fits, "on_device: expected a copy of the program")
    there = ("weights", weights), ("on_device", copied), *(("inputs", x) for x in inputs)
    for name, tensor in there:
        require(tensor.device == device, f"{name}: expected on {device}, got on {tensor.device}")
    if samples == 0:
        return found
    program, copied, weights = (t.contiguous() for t in (program, copied, weights))
    given = [channels_last(x) for x in inputs]
    sizes = [[x.numel() // samples for x in images] for images in (given, found)]
    kind = CUDA_TYPES[given[0].dtype]
    with torch.cuda.device(device):
        room = getattr(cuda, f"cell_workspace_{kind}")(
            program.data_ptr(), program.shape[0], weights.numel(), samples, *sizes
        )
        workspace = torch.empty(room, dtype=given[0].dtype, device=device)
        getattr(cuda, f"cell_{kind}")(
            program.data_ptr(),
            copied.data_ptr(),
            program.shape[0],
            weights.data_ptr(),
            weights.numel(),
            samples,
            [x.data_ptr() for x in given],
            sizes[0],
            [y.data_ptr() for y in found],
            sizes[1],
            workspace.data_ptr(),
            room,
            torch.cuda.current_stream().cuda_stream,
        )
    return found


def _empty(
    inputs: Sequence[Tensor],
    program: Tensor,
    weights: Tensor,
    shapes: Sequence[int],
    on_device: Tensor | None = None,
) -> list[Tensor]:
    if not inputs:
        raise ValueError("inputs: give at least one")
    first = inputs[0]
    samples, layout, dtype = first.shape[0], torch.channels_last, first.dtype
    if dtype is not torch.float32 and dtype in CUDA_TYPES and first.device.type == "cpu":
        raise ValueError(f"inputs[0]: on a CPU a program runs in torch.float32, not in {dtype}")
    for i, x in enumerate(inputs):
        if x.dtype not in CUDA_TYPES or x.dim() != 4:
            types = [torch.float32] if first.device.type == "cpu" else CUDA_TYPES
            raise _unfit(f"inputs[{i}]", x, " or ".join(map(str, types)), 4)
        if x.dtype is not dtype:
            raise ValueError(f"inputs[{i}]: {x.dtype}, where inputs[0] has {dtype}")
        if x.shape[0] != samples:
            raise ValueError(f"inputs[{i}]: {x.shape[0]} images, where inputs[0] has {samples}")
    if program.dtype is not torch.int32 or program.dim() != 2:
        raise _unfit("program", program, torch.int32, 2)
    if weights.dtype is not torch.float32 or weights.dim() != 1:
        raise _unfit("weights", weights, torch.float32, 1)
    if program.shape[1] != _COLUMNS:
        wanted = f"[I, {_COLUMNS}]"
        raise ValueError(f"program: expected {wanted}, got {list(program.shape)}")
    if not shapes or len(shapes) % 3:
        raise ValueError(f"shapes: three numbers for each output, got {len(shapes)}")
    return [
        torch.empty(
            (samples, *shapes[i : i + 3]), dtype=dtype, device=first.device, memory_format=layout
        )
        for i in range(0, len(shapes), 3)
    ]


def _unfit(name: str, tensor: Tensor, wanted: object, dims: int) -> ValueError:
    got = f"{tensor.dtype} of {tensor.dim()}"
    return ValueError(f"{name}: expected {wanted} of {dims} dimensions, got {got}")


library.impl("cell", _run_on_cpu, "CPU")
if cuda is not None:
    library.impl("cell", _run_on_device, "CUDA")
torch.library.register_fake("nascore::cell", _empty, lib=library)
without_gradient("cell", "cell is for inference: it has no derivative")
