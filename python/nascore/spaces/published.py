"""Architectures that were published, as codes of the spaces."""

from __future__ import annotations

from nascore.spaces.architecture import Architecture
from nascore.spaces.block import BlockSpace

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
