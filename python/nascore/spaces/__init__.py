"""The spaces that are searched, the architectures found in them, and the networks around these."""

from __future__ import annotations

from nascore.spaces.anytime import AnytimeSpace
from nascore.spaces.anytime_net import AnytimeNet
from nascore.spaces.architecture import Architecture
from nascore.spaces.block import BlockSpace
from nascore.spaces.cell import CellSpace
from nascore.spaces.cell_stack import CellStack
from nascore.spaces.chain import Chain
from nascore.spaces.choices import ChoicesSpace
from nascore.spaces.connection import ConnectionSpace
from nascore.spaces.dag import EdgeDagSpace, SumDagSpace
from nascore.spaces.layer import LayerSpace
from nascore.spaces.published import NASNET_A, NASNET_A_PAPER
from nascore.spaces.residual_net import ResidualNet
from nascore.spaces.skeleton import Skeleton
from nascore.spaces.skip import SkipSpace
from nascore.spaces.skip_net import SkipNet
from nascore.spaces.whole_net import WholeNet

AnySkeleton = Skeleton | Chain | CellStack | SkipNet | ResidualNet | WholeNet | AnytimeNet

# What turns the architectures of a space into networks.
SKELETONS: dict[str, type[AnySkeleton]] = {
    "anytime": AnytimeNet,
    "block": Skeleton,
    "cell": CellStack,
    "connection": ResidualNet,
    "dag": Skeleton,
    "layer": Chain,
    "net": WholeNet,
    "skip": SkipNet,
}

__all__ = [
    "NASNET_A",
    "NASNET_A_PAPER",
    "SKELETONS",
    "AnySkeleton",
    "AnytimeNet",
    "AnytimeSpace",
    "Architecture",
    "BlockSpace",
    "CellSpace",
    "CellStack",
    "Chain",
    "ChoicesSpace",
    "ConnectionSpace",
    "EdgeDagSpace",
    "LayerSpace",
    "ResidualNet",
    "Skeleton",
    "SkipNet",
    "SkipSpace",
    "SumDagSpace",
    "WholeNet",
]
