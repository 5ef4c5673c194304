"""Gated message passing over packed graphs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nascore.surrogates.net_graphs import Edges, NetGraphs, Part


class MessagePassing(nn.Module):
    """A GRU cell that every node shares, told the sum of its neighbours' messages in each step.

    Messages are two-layer perceptrons of a node's embedding (Zhang et al., 2019, eq. 3-4), those
    of virtual edges by a perceptron of their own and divided by the length of the path (Knyazev et
    al., 2021, eq. 4).
    """

    def __init__(self, width: int, hidden: int, passes: int, virtual: bool) -> None:
        super().__init__()
        self.passes = passes
        self.message = _perceptron(width, hidden)
        self.virtual = _perceptron(width, hidden) if virtual else None
        self.update = nn.GRUCell(width, width)

    def forward(self, embeddings: Tensor, graphs: NetGraphs) -> Tensor:
        """The embeddings `[n, D]` of all nodes after all passes."""
        done: list[Tensor] = []
        means = embeddings.new_zeros(graphs.blocks, embeddings.shape[1])
        own = torch.split(embeddings, [part.size for part in graphs.parts])
        for part, start in zip(graphs.parts, own, strict=True):
            done.append(self._part(part, start, means))
            means = means + _means(done[-1], part, graphs.blocks)
        return torch.cat(done)

    def _part(self, part: Part, h: Tensor, means: Tensor) -> Tensor:
        told = self.message(means)
        for _ in range(self.passes):
            for step in part.sweep:
                message = h.new_zeros(len(step.nodes), h.shape[1])
                if len(step.direct.sources):
                    message = _add(message, step.direct, self.message(h[step.direct.sources]))
                if self.virtual is not None and len(step.virtual.sources):
                    far = self.virtual(h[step.virtual.sources]) / step.virtual.lengths
                    message = _add(message, step.virtual, far)
                if len(step.seams.sources):
                    message = _add(message, step.seams, told[step.seams.sources])
                h = h.index_copy(0, step.nodes, self.update(message, h[step.nodes]))
        return h


def _perceptron(width: int, hidden: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))


def _add(message: Tensor, edges: Edges, values: Tensor) -> Tensor:
    return message.index_add(0, edges.targets, values)


def _means(h: Tensor, part: Part, blocks: int) -> Tensor:
    """Each block's mean embedding `[blocks, D]`; 0 for those of other parts."""
    total = h.new_zeros(blocks, h.shape[1]).index_add(0, part.owner, h)
    count = torch.bincount(part.owner, minlength=blocks).clamp(min=1)
    return total / count[:, None]
