"""The spaces that are searched, the architectures found in them, and the networks around these."""

from __future__ import annotations

from nascore.spaces.architecture import Architecture
from nascore.spaces.block import BlockSpace
from nascore.spaces.chain import Chain
from nascore.spaces.choices import ChoicesSpace
from nascore.spaces.layer import LayerSpace
from nascore.spaces.skeleton import Skeleton
from nascore.spaces.skip import SkipSpace
from nascore.spaces.skip_net import SkipNet

# What turns the architectures of a space into networks.
SKELETONS: dict[str, type[Skeleton] | type[Chain] | type[SkipNet]] = {
    "block": Skeleton,
    "layer": Chain,
    "skip": SkipNet,
}

__all__ = [
    "SKELETONS",
    "Architecture",
    "BlockSpace",
    "Chain",
    "ChoicesSpace",
    "LayerSpace",
    "Skeleton",
    "SkipNet",
    "SkipSpace",
]
