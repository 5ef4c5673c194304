"""The masked sum, y = sum over j of m_j x_j (MaskConnect: Ahmed & Torresani, ECCV 2018).

Every mask has a gradient, <gradient of y, x_j>, also where it is 0 and x_j was not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nascore import _core
from nascore.ops._library import CUDA_TYPES, cuda, library, without_gradient

library.define("masked_sum(Tensor[] inputs, Tensor mask) -> Tensor")
library.define("masked_sum_backward(Tensor grad, Tensor[] inputs, Tensor mask) -> Tensor[]")
library.define("masked_dots(Tensor grad, Tensor[] inputs) -> Tensor")
_KERNELS = {
    torch.float32: (_core.masked_sum_f32, _core.masked_sum_backward_f32),
    torch.float64: (_core.masked_sum_f64, _core.masked_sum_backward_f64),
}


def masked_sum(inputs: Sequence[Tensor], mask: Tensor) -> Tensor:
    """y of n `inputs` of one shape [N, ...] and a `mask` [n], or [N, n] for each sample its own.

    What has a mask of 0 is not read. float32 and float64 on the CPU, float32, float16 and bfloat16,
    summed in float32, on CUDA. Raises ValueError where shapes, types or devices differ.
    """
    _check(inputs, mask)
    y: Tensor = torch.ops.nascore.masked_sum(list(inputs), mask)
    return y


def masked_sum_ref(inputs: Sequence[Tensor], mask: Tensor) -> Tensor:
    """The same in plain torch, which reads everything."""
    _check(inputs, mask)
    stacked = torch.stack(tuple(inputs))  # [n, N, ...]
    masks = mask.expand(inputs[0].shape[0], -1) if mask.dim() == 1 else mask
    return (stacked * masks.T.reshape(*masks.T.shape, *[1] * (stacked.dim() - 2))).sum(0)


def masked_dots(grad: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    """<grad, x_j> [n] of n `inputs` [N, ...]: every mask's gradient where no other is wanted.

    In float32 at least. Raises ValueError where shapes, types or devices differ.
    """
    _check([*inputs, grad])
    dots: Tensor = torch.ops.nascore.masked_dots(grad, list(inputs))
    return dots


def masked_dots_ref(grad: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    """The same in plain torch, which reads `grad` once for each."""
    exact = torch.promote_types(grad.dtype, torch.float32)
    return torch.stack([(grad.to(exact) * x.to(exact)).sum() for x in inputs])


def _check(inputs: Sequence[Tensor], mask: Tensor | None = None) -> None:
    if not inputs or inputs[0].dim() < 1:
        raise ValueError("inputs: give at least one tensor [N, ...]")
    first = inputs[0]
    for j, x in enumerate(inputs):
        if (x.shape, x.dtype, x.device) != (first.shape, first.dtype, first.device):
            raise ValueError(f"inputs: number {j} is {_told(x)}, the first is {_told(first)}")
    if mask is None:
        return
    if mask.shape not in ((len(inputs),), (first.shape[0], len(inputs))):
        wanted = f"[{len(inputs)}] or [{first.shape[0]}, {len(inputs)}]"
        raise ValueError(f"mask: {len(inputs)} inputs want {wanted}, not {list(mask.shape)}")
    if (mask.dtype, mask.device) != (first.dtype, first.device):
        raise ValueError(f"mask: it is {_told(mask)}, the inputs are {_told(first)}")


def _told(x: Tensor) -> str:
    return f"{x.dtype} {list(x.shape)} on {x.device}"


def _format(x: Tensor) -> torch.memory_format:
    channels_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


def _as_first(inputs: Sequence[Tensor]) -> list[Tensor]:
    layout = _format(inputs[0])
    return [x.contiguous(memory_format=layout) for x in inputs]


def _rows(mask: Tensor, x: Tensor) -> tuple[int, int]:
    samples = 1 if mask.dim() == 1 else x.shape[0]
    return samples, x.numel() // max(samples, 1)


def _kernels(x: Tensor) -> tuple[Any, Any]:
    if x.dtype not in _KERNELS:
        raise ValueError(f"inputs: the CPU's kernel is for float32 and float64, not {x.dtype}")
    return _KERNELS[x.dtype]


def _forward(inputs: list[Tensor], mask: Tensor) -> Tensor:
    _check(inputs, mask)
    kernel, _ = _kernels(inputs[0])
    given, masks = _as_first(inputs), mask.contiguous()
    y = torch.empty_like(given[0])
    kernel([x.data_ptr() for x in given], masks.data_ptr(), *_rows(mask, y), y.data_ptr())
    return y


def _backward(grad: Tensor, inputs: list[Tensor], mask: Tensor) -> list[Tensor]:
    _check([*inputs, grad])
    _check(inputs, mask)
    _, kernel = _kernels(grad)
    given, masks = _as_first(inputs), mask.contiguous()
    arrived = grad.contiguous(memory_format=_format(given[0]))
    found = [*(torch.empty_like(x) for x in given), torch.empty_like(masks)]
    *of_inputs, of_mask = (x.data_ptr() for x in found)
    read = [x.data_ptr() for x in given]
    rows = _rows(mask, arrived)
    kernel(arrived.data_ptr(), read, masks.data_ptr(), *rows, of_inputs, of_mask)
    return found


def _dots(grad: Tensor, inputs: list[Tensor]) -> Tensor:
    _check([*inputs, grad])
    _, kernel = _kernels(grad)
    given = _as_first(inputs)
    arrived = grad.contiguous(memory_format=_format(given[0]))
    found = grad.new_empty(len(inputs))
    read, nothing = [x.data_ptr() for x in given], [0] * len(inputs)
    kernel(arrived.data_ptr(), read, 0, 1, arrived.numel(), nothing, found.data_ptr())
    return found


def _cuda_kernel(name: str, x: Tensor) -> Any:
    if x.dtype not in CUDA_TYPES:
        wanted = "float32, float16 and bfloat16"
        raise ValueError(f"inputs: the CUDA kernel is for {wanted}, not {x.dtype}")
    return getattr(cuda, f"{name}_{CUDA_TYPES[x.dtype]}")


def _forward_cuda(inputs: list[Tensor], mask: Tensor) -> Tensor:
    _check(inputs, mask)
    kernel = _cuda_kernel("masked_sum", inputs[0])
    given, masks = _as_first(inputs), mask.contiguous()
    y = torch.empty_like(given[0])
    with torch.cuda.device(y.device):
        stream = torch.cuda.current_stream().cuda_stream
        read = [x.data_ptr() for x in given]
        kernel(read, masks.data_ptr(), *_rows(mask, y), y.data_ptr(), stream)
    return y


def _backward_cuda(grad: Tensor, inputs: list[Tensor], mask: Tensor) -> list[Tensor]:
    _check(inputs, mask)
    masks = mask.contiguous()
    layout = _format(inputs[0])
    of_inputs = [torch.empty_like(x, memory_format=layout) for x in inputs]
    dots = _launch_backward(grad, inputs, masks, of_inputs)
    return [*of_inputs, dots.reshape(mask.shape).to(mask.dtype)]


def _dots_cuda(grad: Tensor, inputs: list[Tensor]) -> Tensor:
    return _launch_backward(grad, inputs, None, [])[0]


def _launch_backward(
    grad: Tensor, inputs: list[Tensor], mask: Tensor | None, of_inputs: list[Tensor]
) -> Tensor:
    """Fills `of_inputs`, where there are any; the masks' gradients [samples, n], float32."""
    _check([*inputs, grad])
    kernel = _cuda_kernel("masked_sum_backward", grad)
    given = _as_first(inputs)
    arrived = grad.contiguous(memory_format=_format(given[0]))
    samples, size = (1, grad.numel()) if mask is None else _rows(mask, grad)
    floats = _cuda_kernel("masked_sum_workspace", grad)(len(given), samples, size)
    workspace = torch.empty(floats, dtype=torch.float32, device=grad.device)
    dots = workspace.new_empty(samples, len(given))
    read = [x.data_ptr() for x in given]
    written = [x.data_ptr() for x in of_inputs] or [0] * len(read)
    with torch.cuda.device(grad.device):
        stream = torch.cuda.current_stream().cuda_stream
        kernel(
            *(arrived.data_ptr(), read, 0 if mask is None else mask.data_ptr(), samples, size),
            *(written, dots.data_ptr(), workspace.data_ptr(), stream),
        )
    return dots


def _forward_fake(inputs: list[Tensor], mask: Tensor) -> Tensor:
    _check(inputs, mask)
    return torch.empty_like(inputs[0], memory_format=_format(inputs[0]))


def _backward_fake(grad: Tensor, inputs: list[Tensor], mask: Tensor) -> list[Tensor]:
    layout = _format(inputs[0])
    return [
        *(torch.empty_like(x, memory_format=layout) for x in inputs),
        torch.empty_like(mask, memory_format=torch.contiguous_format),
    ]


def _dots_fake(grad: Tensor, inputs: list[Tensor]) -> Tensor:
    return grad.new_empty(len(inputs), dtype=torch.promote_types(grad.dtype, torch.float32))


def _save(ctx: Any, inputs: tuple[list[Tensor], Tensor], output: Tensor) -> None:
    given, mask = inputs
    ctx.save_for_backward(*given, mask)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[list[Tensor], Tensor]:
    *given, mask = ctx.saved_tensors
    *of_inputs, of_mask = torch.ops.nascore.masked_sum_backward(grad, given, mask)
    return of_inputs, of_mask


# On devices without a kernel of ours. MaskConnect wants no more than these two.
library.impl("masked_sum", masked_sum_ref, "CompositeExplicitAutograd")
library.impl("masked_dots", masked_dots_ref, "CompositeExplicitAutograd")
library.impl("masked_sum", _forward, "CPU")
library.impl("masked_sum_backward", _backward, "CPU")
library.impl("masked_dots", _dots, "CPU")
if cuda is not None:
    library.impl("masked_sum", _forward_cuda, "CUDA")
    library.impl("masked_sum_backward", _backward_cuda, "CUDA")
    library.impl("masked_dots", _dots_cuda, "CUDA")
torch.library.register_fake("nascore::masked_sum", _forward_fake, lib=library)
torch.library.register_fake("nascore::masked_sum_backward", _backward_fake, lib=library)
torch.library.register_fake("nascore::masked_dots", _dots_fake, lib=library)
torch.library.register_autograd(
    "nascore::masked_sum", _differentiate, setup_context=_save, lib=library
)
without_gradient("masked_sum_backward", "masked_sum has no second derivative")
without_gradient("masked_dots", "masked_dots has no derivative")
