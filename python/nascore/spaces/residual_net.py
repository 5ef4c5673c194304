"""Residual networks in which it is open what a module reads: ResNet's blocks, ResNeXt's branches.

Ahmed & Torresani, ECCV 2018. ResNet: a module is a block, x_j the sum of the earlier modules that
it reads, y_j = x_j + F_j(x_j). ResNeXt: a module is a branch, which reads branches of the block
before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from nascore import _core
from nascore.names import unknown
from nascore.spaces.architecture import Architecture
from nascore.spaces.signals import expanded
from nascore.spaces.wiring import Module, Reads, wire


@dataclass(frozen=True)
class ResidualNet:
    """A stem, a group of `blocks` blocks per width, each group's first block at stride 2 but the
    first's, and a classifier. ValueError names a field that is out of range.

    Convolutions are pre-activated, as all of this package. Choices, where the paper was not
    readable: sums are not divided by the fan-in. Without `across` a group's first block reads all
    that the group before gives, the last block's output; with it, it has masks too. A ResNeXt
    block's shortcut carries what the branches of the block read, all of it, so that a network
    whose branches read everything is ResNeXt, and what no branch reads is gone. What the
    classifier reads is never masked.
    """

    kind: Literal["resnet", "resnext"] = "resnext"
    blocks: int = 3
    widths: tuple[int, ...] = (256, 512, 1024)
    stem_width: int = 64
    branches: int = 8  # C of ResNeXt
    bottleneck: int = 8  # width of a ResNeXt branch in the first group; grows with the widths
    across: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # a list, where it comes from JSON
        if self.kind not in ("resnet", "resnext"):
            raise unknown("kind", self.kind, ("resnet", "resnext"))
        for name, holds, rule in (
            ("blocks", 1 <= self.blocks <= 128, "1 to 128"),
            ("widths", 1 <= len(self.widths) <= 16, "1 to 16 numbers"),
            ("widths", min(self.widths, default=1) >= 1, "at least 1 each"),
            ("stem_width", self.stem_width >= 1, "at least 1"),
            ("branches", 1 <= self.branches <= 1024, "1 to 1024"),
            ("bottleneck", self.bottleneck >= 1, "at least 1"),
        ):
            if not holds:
                raise ValueError(f"{name}={getattr(self, name)} must be {rule}")

    @classmethod
    def small(cls) -> ResidualNet:
        """For images of 8x8 to 28x28."""
        return cls(blocks=2, widths=(16, 32), stem_width=16, branches=4, bottleneck=4)

    @cached_property  # which every step of a training asks for
    def modules(self) -> tuple[Module, ...]:
        """All modules, in the order in which they run."""
        found: list[Module] = []
        per_block = self.branches if self.kind == "resnext" else 1
        nodes = 0
        for block in range(self.blocks * len(self.widths)):
            group, place = divmod(block, self.blocks)
            masked = place > 0 or (self.across and group > 0)
            reach = (place or self.blocks) if self.kind == "resnet" and masked else 1  # blocks back
            first = max(block - reach, 0)
            candidates = tuple(range(first * per_block, block * per_block))
            for _ in range(per_block):
                found.append(Module(block, candidates, nodes if masked else None))
                nodes += masked
        return tuple(found)

    @property
    def candidates(self) -> tuple[int, ...]:
        """How many modules each node has to choose from."""
        return tuple(len(m.candidates) for m in self.modules if m.node is not None)

    @property
    def simplest(self) -> Architecture:
        """Where each node reads the last of its candidates alone: of ResNet, the plain one."""
        return Architecture.of("connection", tuple((n - 1,) for n in self.candidates))

    @property
    def full(self) -> Architecture:
        """Where each node reads all: of ResNeXt, the plain one."""
        return Architecture.of("connection", tuple(tuple(range(n)) for n in self.candidates))

    def resized(self, blocks: int | None = None, width: int | None = None) -> ResidualNet:
        """All widths scaled so that the first group has `width`; ValueError for another depth."""
        if blocks not in (None, self.blocks):
            raise ValueError("a connectivity is of its very blocks: give a width alone")
        scale = 1.0 if width is None else width / self.widths[0]
        return replace(
            self,
            stem_width=round(self.stem_width * scale),
            widths=tuple(round(w * scale) for w in self.widths),
            bottleneck=max(1, round(self.bottleneck * scale)),
        )

    def reads(self, architecture: Architecture) -> Reads:
        """What each node reads; ValueError where the architecture is not of such a network."""
        if architecture.space != "connection":
            raise ValueError(f"an architecture of space {architecture.space!r} has no connectivity")
        code, candidates = architecture.code, self.candidates
        if len(code) != len(candidates):
            raise ValueError(f"a connectivity of {len(code)} nodes; this has {len(candidates)}")
        for node, (row, n) in enumerate(zip(code, candidates, strict=True)):
            if not row or list(row) != sorted(set(row)) or row[0] < 0 or row[-1] >= n:
                raise ValueError(f"node {node} reads {row}: give 0 to {n - 1}, in rising order")
        return code

    def narrow(self, group: int) -> int | None:
        """The width inside of a branch of ResNeXt; None for ResNet."""
        if self.kind == "resnet":
            return None
        return max(1, round(self.bottleneck * self.widths[group] / self.widths[0]))

    def alive(self, reads: Reads) -> frozenset[int]:
        """The modules that lead to the classifier; the others are dead."""
        modules = self.modules
        last = modules[-1].block
        needed = {i for i, module in enumerate(modules) if module.block == last}
        for i in reversed(range(len(modules))):
            if i in needed:
                own, node = modules[i].candidates, modules[i].node
                needed.update(own if node is None else (own[k] for k in reads[node]))
        return frozenset(needed)

    def expand(self, architecture: Architecture, shape: tuple[int, ...], classes: int) -> _core.Net:
        """The network for images of `shape` (C, H, W), or signals (C, L), without its dead modules.

        ValueError where the connectivity is not of this network, or it is too wide.
        """
        reads = self.reads(architecture)
        return expanded(shape, lambda s: wire(self, s, classes, reads).net)
