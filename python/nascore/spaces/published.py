"""Architectures that were published, as codes of the spaces."""

from __future__ import annotations

import numpy as np

from nascore import _core
from nascore.spaces.architecture import Architecture
from nascore.spaces.block import BlockSpace
from nascore.spaces.cell_code import cell_code
from nascore.spaces.net_rows import NetRows

_NORMAL = "sep5(0)+sep3(1) sep5(1)+sep3(1) avg3(0)+id(1) avg3(1)+avg3(1) sep3(0)+id(0)"
_REDUCTION = "sep5(0)+sep7(1) max3(0)+sep7(1) avg3(0)+sep5(1) id(3)+avg3(2) sep3(2)+max3(0)"

# NASNet-A as in the paper's figure: a cell gives the states that no block reads, 5 and 3 of them.
NASNET_A_PAPER = Architecture.of("cell", cell_code(f"{_NORMAL} / {_REDUCTION}"))

# As in the released code, which gave the published sizes: the Normal cell gives its input 1 too,
# the Reduction cell its state 3, though a block reads each.
NASNET_A = Architecture.of("cell", cell_code(f"{_NORMAL} [1,2,3,4,5,6] / {_REDUCTION} [3,4,5,6]"))

_BLOCKS = BlockSpace(4)

# The blocks that IRLAS may take for its expert. Their topology alone: a code has neither grouped
# convolutions, nor the widths inside a bottleneck.
EXPERTS: dict[str, Architecture] = {
    # Xie et al., CVPR 2017, figure 1: a 3x3 convolution between 1x1 ones, and the identity.
    "resnext": _BLOCKS.architecture("[(1,1,1,0,0),(2,1,3,1,0),(3,1,1,2,0),(4,5,0,0,3)]"),
    # He et al., CVPR 2016, figure 2: two 3x3 convolutions and the identity.
    "resnet": _BLOCKS.architecture("[(1,1,3,0,0),(2,1,3,1,0),(3,5,0,0,2)]"),
    # Huang et al., CVPR 2017, DenseNet-B: a bottleneck whose output joins its input.
    "densenet": _BLOCKS.architecture("[(1,1,1,0,0),(2,1,3,1,0),(3,6,0,0,2)]"),
}


def irlas_mobile(shape: tuple[int, int, int] = (3, 224, 224), classes: int = 1000) -> _core.Net:
    """The network that IRLAS released for ImageNet on phones (Guo et al., CVPR 2019).

    Seven of its blocks of separable convolutions, by 1, 1, 4 and 1 at 32, 128, 256 and 512
    channels; half the size before each group. Raises ValueError for a shape that is none.
    """
    net = NetRows(shape)
    x = net.add("relu", net.add("stem", 0, kernel=3, stride=2, channels=32))
    for blocks, width in ((1, 32), (1, 128), (4, 256), (1, 512)):
        if net.channels(x) != width:
            x = _conv(net, x, 1, width)
        x = _conv(net, x, 3, width, stride=2)
        for _ in range(blocks):
            x = _irlas_block(net, x, width)
    x = net.add("linear", net.add("global_pool", x), channels=classes)
    return _core.Net.from_rows(np.array(net.rows), net.inputs)


def _irlas_block(net: NetRows, x: int, width: int) -> int:
    """1x1, 3x3 and 5x5 on the input; the 3x3 joins the input, then 1x1; all but it concatenated."""
    first = net.add("sep_conv", x, kernel=1, channels=width)
    if net.channels(x) == width:
        back = net.add("sep_conv", x, kernel=3, channels=width)
        last = net.add("sep_conv", x, kernel=5, channels=width)
    else:
        middle = net.add("sep_conv", _conv(net, x, 1, width), kernel=3, channels=width)
        back = net.add("stem", middle, kernel=1, channels=net.channels(x))
        last = net.add("sep_conv", _conv(net, x, 1, width), kernel=5, channels=width)
    joined = net.add("sep_conv", net.add("add", x, back), kernel=1, channels=width)
    return net.add("concat", first, last, joined)


def _conv(net: NetRows, x: int, kernel: int, width: int, stride: int = 1) -> int:
    """ReLU, convolution, batch norm; unlike a PCC, the released one has a bias too."""
    x = net.add("conv_bias", net.add("relu", x), kernel=kernel, stride=stride, channels=width)
    return net.add("batch_norm", x)
