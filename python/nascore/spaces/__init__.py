"""The spaces that are searched, the architectures found in them, and the networks around these."""

from __future__ import annotations

from nascore.spaces.architecture import Architecture
from nascore.spaces.block import BlockSpace
from nascore.spaces.choices import ChoicesSpace
from nascore.spaces.skeleton import Skeleton

__all__ = ["Architecture", "BlockSpace", "ChoicesSpace", "Skeleton"]
