"""A trained network as a program that runs on the core's kernels, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nascore import _core
from nascore.networks.build import Network
from nascore.networks.modules import FactorizedReduce, SepConv
from nascore.ops.cell import Runner, cell

_CONVOLUTION, _SEPARABLE, _COPY = map(_core.KERNELS.index, ("conv", "sep_conv", "copy"))


class Fused(nn.Module):
    """The same function as `network` in evaluation, with its weights as they were.

    Batch norms without running statistics go by each batch, which only a CPU does. On CUDA also of
    images of 16 bits, after `.half()`, `.bfloat16()` or `.to(dtype)`; weights stay float32.
    """

    weights: Tensor
    on_device: Tensor
    like: Tensor

    def __init__(
        self,
        network: Network,
        inputs: Sequence[int] = (0,),
        outputs: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        wanted = network.exit_rows if outputs is None else tuple(outputs)
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        by_batch = {norm.running_mean is None for norm in norms}
        if len(by_batch) > 1:
            raise ValueError("some batch norms have running statistics, others have none")
        program = network.net.program(list(inputs), list(wanted), by_batch == {True})
        names = {call.row: call.name for call in network.plan}
        instructions = program.instructions
        packed = torch.zeros(program.weights, dtype=torch.float32, device="cpu")
        for number, row, channel in program.slots:
            kernel, *_, at = instructions[number]
            module = network.get_submodule(names[row])
            with torch.no_grad():
                _pack(int(kernel), module, channel, packed.numpy()[at:])
        self.given = program.inputs
        self.shapes = [size for shape in program.outputs for size in shape]
        self.program = torch.from_numpy(instructions)  # stays on the CPU, which reads it too
        self.runner = Runner(self.program, program.inputs, program.outputs)
        self.register_buffer("on_device", self.program, persistent=False)
        self.register_buffer("weights", packed)
        self.register_buffer("like", packed[:0].clone(), persistent=False)  # has the images' type

    def _apply(self, fn: Any, recurse: bool = True) -> Fused:
        """What moves or converts a module: it changes the type of images, not of weights."""
        weights = self.weights
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch leaves it open
        if self.weights.dtype is not torch.float32:
            self.weights = weights.to(self.weights.device)
        return self

    def exits(self, *images: Tensor) -> list[Tensor]:
        """Of each output, [n, C] where it is one pixel, as logits are, [n, C, H, W] of others.

        Raises ValueError for images of other shapes than the network's, or of another type than the
        module's.
        """
        weights: Any = self._buffers["weights"]  # a module's attributes are slow to find
        # Torch's dispatcher takes longer than a small cell does; what traces has to see it.
        is_traced: Any = torch.jit.is_tracing  # type: ignore[attr-defined]  # it is public
        dtype = self._buffers["like"].dtype  # type: ignore[union-attr]
        if dtype is torch.float32 and not (
            weights.is_cuda or torch.compiler.is_compiling() or is_traced()
        ):
            return self.runner(images, weights)
        for x, wanted in zip(images, self.given, strict=True):
            if tuple(x.shape[1:]) != wanted:
                raise ValueError(f"images: expected [n, C, H, W] of {wanted}, got {list(x.shape)}")
            if x.dtype is not dtype:
                raise ValueError(f"images: expected {dtype}, the module's type, got {x.dtype}")
        found = cell(images, self.program, weights, self.shapes, self.on_device)
        return [y.flatten(1) if y.shape[2] == y.shape[3] == 1 else y for y in found]

    def forward(self, *images: Tensor) -> Tensor:
        """The last output of normalised images [n, C, H, W]."""
        return self.exits(*images)[-1]


def fuse(module: nn.Module) -> Fused:
    """`module` for inference: every row of it on the core's kernels, in one call.

    On a CPU in float32, or after `.to("cuda")` in one launch there, then after `.half()` or
    `.bfloat16()` on images of 16 bits too. Raises ValueError where it is no network of nascore.
    """
    if type(module) is not Network:  # one that draws its edges is another function each time
        raise ValueError(
            f"{type(module).__name__} is no network of nascore; fuse what build, load_model or "
            "pruned() gave"
        )
    return Fused(module)


def _pack(kernel: int, module: nn.Module, channel: int, packed: Any) -> None:
    norm: Any = getattr(module, "norm", module)
    if kernel not in (_CONVOLUTION, _SEPARABLE):
        scale, shift = (norm.weight, norm.bias) if kernel != _COPY else _folded(norm)
        _core.pack_channels(_numbers(scale), _numbers(shift), packed)
        return
    if isinstance(module, SepConv):
        depthwise = _numbers(module.depthwise.weight)
        _core.pack_depthwise(depthwise, packed)
        packed = packed[_core.padded(len(depthwise)) * depthwise[0].size :]
        conv: Any = module.pointwise
    elif isinstance(module, FactorizedReduce):
        conv = module.odd if channel else module.even
    else:
        conv = getattr(module, "conv", module)
    weights = _dense(conv)
    out = len(weights)
    if isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None:
        scale, shift = (each[channel : channel + out] for each in _folded(norm))
    else:
        scale, shift = weights.new_ones(out), weights.new_zeros(out)
    if conv.bias is not None:
        shift = shift + scale * conv.bias
    _core.pack_convolution(_numbers(weights), _numbers(scale), _numbers(shift), packed)


def _folded(norm: Any) -> tuple[Tensor, Tensor]:
    """Scale and shift of a batch norm by its running statistics."""
    scale = norm.weight.float() / (norm.running_var.float() + norm.eps).sqrt()
    return scale, norm.bias.float() - norm.running_mean.float() * scale


def _dense(conv: nn.Conv2d | nn.Linear) -> Tensor:
    """Weights [out, in, height, width], zeros between the groups of a grouped convolution."""
    if isinstance(conv, nn.Linear):
        return conv.weight[:, :, None, None]
    if conv.groups == 1:
        return conv.weight
    parts = conv.weight.chunk(conv.groups)
    dense = conv.weight.new_zeros(conv.out_channels, conv.in_channels, *conv.kernel_size)
    for i, part in enumerate(parts):
        out, given = part.shape[:2]
        dense[i * out : (i + 1) * out, i * given : (i + 1) * given] = part
    return dense


def _numbers(values: Tensor) -> Any:
    return np.ascontiguousarray(values.detach().cpu().float().numpy())
