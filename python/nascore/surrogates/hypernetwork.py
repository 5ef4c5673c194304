"""Graph hypernetworks: the weights of a network, generated from its graph.

GHN (Zhang, Ren and Urtasun, ICLR 2019) and, as switches, what GHN-2 (Knyazev et al., NeurIPS 2021)
changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from nascore import _core
from nascore.names import unknown
from nascore.networks import Network
from nascore.surrogates.decoders import Decoder, fan_in_scale
from nascore.surrogates.message_passing import MessagePassing
from nascore.surrogates.net_graphs import KINDS, SHAPES, Schedule, pack

# What a weight is to the module of its row: one embedding each.
_ROLES = (
    *("weight", "bias", "conv.weight", "conv.bias", "norm.weight", "norm.bias"),
    *("depthwise.weight", "pointwise.weight", "even.weight", "odd.weight"),
)


@dataclass(frozen=True)
class Design:
    """A graph hypernetwork; the defaults are GHN's (section 5.1.1), `ghn2()` has the successor's.

    ValueError names a field that is out of range.
    """

    width: int = 32  # D, of the embeddings
    one_hot: bool = False  # nodes start from their operation's one-hot numbers, else embeddings
    message_width: int = 32  # hidden units of a message
    passes: int = 5  # T
    schedule: Schedule = "forward-backward"
    stacked: bool = True  # a graph for each repeated block
    passing: bool = True  # stacked: the mean of one block's nodes is a message to the next
    decoder: Literal["mlp", "conv"] = "mlp"
    hidden: int = 64  # of the decoder; "conv" has its own
    channels: int = 64  # choice: of the largest weight that is generated; more are copies
    kernel: int = 5  # choice: its sides; dilated kernels count without their holes
    longest: int = 0  # path that a virtual edge stands for; 0: no virtual edges
    fan_in: bool = False  # weights are scaled by their fan-in
    shapes: bool = False  # the sizes of its weights are a part of a node's embedding
    layer_norm: bool = False  # of embeddings, before they are decoded

    @classmethod
    def ghn2(cls) -> Design:
        return cls(
            message_width=16,
            passes=1,
            stacked=False,
            decoder="conv",
            kernel=11,
            longest=50,
            fan_in=True,
            shapes=True,
            layer_norm=True,
        )

    def __post_init__(self) -> None:
        for name, known in (
            ("schedule", ("forward-backward", "synchronous")),
            ("decoder", ("mlp", "conv")),
        ):
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        for name in ("width", "message_width", "passes", "hidden", "channels", "kernel"):
            if getattr(self, name) < 1:
                raise ValueError(f"design: {name}={getattr(self, name)} must be at least 1")
        if self.longest < 0:
            raise ValueError(f"design: longest={self.longest} must be 0 or more")
        if self.one_hot and self.width < sum(KINDS):
            raise ValueError(
                f"design: width={self.width} must be {sum(KINDS)} or more with one_hot"
            )
        if self.shapes and self.width % 4:
            raise ValueError(f"design: width={self.width} must be a multiple of 4 with shapes")


class _Weight(NamedTuple):
    """A parameter that a network wants: of which module, in which shape, made from which node."""

    network: int
    module: nn.Module
    name: str  # in the module
    node: int
    role: int
    shape: tuple[int, ...]


class HyperNetwork(nn.Module):
    """Generates the weights of any networks, its own ones drawn from `seed`, on the CPU.

    A network's nodes are its rows: a node starts from its operation's embedding, sends and gets
    messages, and is then decoded to the weights of its row. Where a row has several weights, as
    separable convolutions and those with batch norm have, each adds an embedding of what it is to
    the row, a choice.
    """

    def __init__(self, design: Design, seed: int = 0) -> None:
        super().__init__()
        self.design = design
        d = design.width
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.kinds = nn.Embedding(sum(KINDS), d)  # one-hot numbers, times a matrix
            if design.one_hot:  # which is then the identity
                self.kinds.weight = nn.Parameter(torch.eye(sum(KINDS), d), requires_grad=False)
            self.shapes = nn.ModuleList(
                nn.Embedding(n, d // 4) for n in (SHAPES if design.shapes else ())
            )
            self.roles = nn.Embedding(len(_ROLES), d)
            self.gnn = MessagePassing(d, design.message_width, design.passes, design.longest > 0)
            self.norm = nn.LayerNorm(d) if design.layer_norm else nn.Identity()
            self.decoder = Decoder(design.decoder, d, design.hidden, design.channels, design.kernel)
        offsets = torch.tensor([sum(KINDS[:i]) for i in range(len(KINDS))])
        self.register_buffer("offsets", offsets, persistent=False)
        self.offsets: Tensor

    def embed(self, nets: Sequence[_core.Net]) -> tuple[Tensor, tuple[tuple[int, ...], ...]]:
        """Embeddings `[n, D]` after all messages, and per network the number of each row's."""
        design = self.design
        graphs = pack(
            nets,
            design.schedule,
            stacked=design.stacked,
            passing=design.passing,
            longest=design.longest,
            device=self.offsets.device,
        )
        start = self.kinds(graphs.kinds + self.offsets).sum(1)
        if design.shapes:
            sizes = zip(self.shapes, graphs.shapes.T, strict=True)
            start = start + torch.cat([table(numbers) for table, numbers in sizes], 1)
        return self.gnn(start, graphs), graphs.node_of

    def forward(self, nets: Sequence[_core.Net]) -> list[Network]:
        """The networks, whose weights are plain tensors, functions of this module's parameters.

        They have no parameters of their own, and their batch norms know the batch alone: no
        running statistics are generated. Networks of any size and number of classes go together.
        """
        embeddings, node_of = self.embed(nets)
        with torch.device("meta"):
            networks = [Network(net) for net in nets]
        groups: dict[tuple[int, ...], list[_Weight]] = {}
        for i, network in enumerate(networks):
            for weight in _weights(i, network, node_of[i]):
                groups.setdefault(weight.shape, []).append(weight)
        embeddings = self.norm(embeddings)
        for shape, group in groups.items():
            nodes = torch.tensor([weight.node for weight in group], device=embeddings.device)
            roles = torch.tensor([weight.role for weight in group], device=embeddings.device)
            values = self._decode(embeddings[nodes] + self.roles(roles), shape, roles)
            for weight, value in zip(group, values.unbind(), strict=True):
                del weight.module._parameters[weight.name]
                setattr(weight.module, weight.name, value.clone())  # shared with no other
        for network in networks:
            use_batch_statistics(network)
        return networks

    def _decode(self, embeddings: Tensor, shape: tuple[int, ...], roles: Tensor) -> Tensor:
        """Weights `[n, *shape]` of what embeddings `[n, D]` of row and role stand for."""
        if len(shape) > 1:
            four = (*shape, 1, 1)[:4]
            values = self.decoder.kernels(embeddings, four).reshape(-1, *shape)
            return values * fan_in_scale(shape) if self.design.fan_in else values
        values = self.decoder.vectors(embeddings, shape[0])
        is_bias = torch.tensor([r.endswith("bias") for r in _ROLES], device=roles.device)[roles]
        if self.design.fan_in:  # GHN-2's ranges for scales and for biases
            return torch.where(is_bias[:, None], (0.2 * values).tanh(), 2 * (values / 2).sigmoid())
        return torch.where(is_bias[:, None], values, 1 + values)  # choice: scales begin near 1


def _weights(i: int, network: Network, node_of: Sequence[int]) -> list[_Weight]:
    found = []
    for call in network.training_plan:
        row = network.get_submodule(call.name)
        for path, parameter in row.named_parameters():
            module, _, name = path.rpartition(".")
            found.append(
                _Weight(
                    i,
                    row.get_submodule(module),
                    name,
                    node_of[call.row],
                    _ROLES.index(path),
                    tuple(parameter.shape),
                )
            )
    return found


def use_batch_statistics(network: nn.Module) -> None:
    """Lets every batch norm of `network` go by the batch alone, in training and out of it."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None
