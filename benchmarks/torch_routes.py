"""A trained network as torch itself runs it fast: the rivals of `nascore.fuse`."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nascore.networks import Network
from nascore.networks.modules import Conv, SepConv, Stem

Run = Callable[..., Tensor]


class Part(nn.Module):
    """The rows of `network` between its rows `inputs` and `output`."""

    def __init__(self, network: Network, inputs: Sequence[int], output: int) -> None:
        super().__init__()
        self.network, self.given, self.output = network, tuple(inputs), output
        needed, plan = {output}, []
        for call in reversed(network.plan):
            if call.row in needed and call.row not in inputs:
                needed.update(call.inputs)
                plan.append(call)
        self.plan = plan[::-1]

    def forward(self, *images: Tensor) -> Tensor:
        results = dict(zip(self.given, images, strict=True))
        for call in self.plan:
            module = self.network.get_submodule(call.name)
            results[call.row] = module(*(results[j] for j in call.inputs))
        return results[self.output]


def folded(module: Part) -> nn.Module:
    """A copy, channels last, without batch norms: they are in the convolutions before them."""
    module = copy.deepcopy(module)
    network = module.network
    for call in module.plan:
        row = network.get_submodule(call.name)
        if isinstance(row, SepConv):
            last = fuse_conv_bn_eval(row.pointwise, row.norm)
            setattr(network, call.name, nn.Sequential(nn.ReLU(), row.depthwise, last))
        elif isinstance(row, (Conv, Stem)):
            first = [nn.ReLU()] if isinstance(row, Conv) else []
            setattr(
                network, call.name, nn.Sequential(*first, fuse_conv_bn_eval(row.conv, row.norm))
            )
    return module.to(memory_format=torch.channels_last)


def onednn(module: Part, *images: Tensor) -> Run:
    """Traced and frozen, so that torch fuses what follows a convolution."""
    given = [x.contiguous(memory_format=torch.channels_last) for x in images]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own making
        torch.jit.enable_onednn_fusion(True)
        try:
            found = torch.jit.freeze(torch.jit.trace(folded(module), given))
            for _ in range(2):  # profiles; the third run is the first fast one
                found(*given)
        finally:
            torch.jit.enable_onednn_fusion(False)
    return found


def inductor(module: Part, *images: Tensor) -> Run:
    """Compiled for images of this shape."""
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own making
        found = torch.compile(folded(module), dynamic=False)
        found(*(x.contiguous(memory_format=torch.channels_last) for x in images))
    return found
