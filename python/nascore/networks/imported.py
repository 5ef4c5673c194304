"""A user's torch module as a network of rows, with its weights."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import fx, nn

from nascore import _core
from nascore.networks.build import Network, build_net
from nascore.networks.modules import FactorizedReduce, Pad
from nascore.spaces import Architecture, WholeNet
from nascore.spaces.whole_net import whole_net

_EPS = 1e-5  # of the norms that rows become
_KINDS = (
    "convolution, batch norm, group norm of one group or of single channels, ReLU, linear, max, "
    "average and global average pooling, dropout, flatten, sum and concatenation"
)


def imported(module: nn.Module, shape: tuple[int, int, int]) -> tuple[Architecture, Network]:
    """The rows of `module` for images of `shape` (C, H, W), and a network of them that is equal.

    The network has copies of the module's weights, is on the CPU, and computes what the module does
    in evaluation. Raises ValueError where torch.fx cannot trace it, and for a layer of a kind that
    rows do not know, by its name.
    """
    module = copy.deepcopy(module).cpu().eval()
    try:
        graph = fx.GraphModule(module, _Tracer().trace(module)).graph
    except Exception as error:  # whatever the module's own code raises when it meets a proxy
        raise ValueError(f"torch.fx cannot trace {type(module).__name__}: {error}") from error
    graph.eliminate_dead_code()
    found = _Import(module, shape)
    for node in graph.nodes:
        found.read(node)
    architecture = whole_net(found.rows, found.inputs)
    classes = architecture.code[-1][6]
    try:
        net = WholeNet().expand(architecture, shape, classes)
    except ValueError as error:
        raise ValueError(f"{found.named(str(error))}, for images of {shape}") from error
    network = build_net(net)
    for name, source in zip(network.signatures, found.sources[1:], strict=True):
        if source is not None:
            network.get_submodule(name).load_state_dict(source.state_dict())
    network.eval()
    _require_equal(module, network, shape)
    return whole_net(net.rows.tolist(), net.inputs), network


@torch.no_grad()
def _require_equal(module: nn.Module, network: Network, shape: Sequence[int]) -> None:
    """What depends on the data, or on anything but the image, is not in a trace."""
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    wanted, given = module(images), network(images)
    if wanted.shape != given.shape or not torch.allclose(wanted, given, rtol=1e-3, atol=1e-4):
        raise ValueError(
            f"{type(module).__name__} computes something else than its trace by torch.fx: what "
            "depends on more than the image cannot be imported"
        )


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (FactorizedReduce, Pad)) or super().is_leaf_module(
            m, module_qualified_name
        )


def _pair(value: Any) -> tuple[int, int]:
    first, second = value if isinstance(value, (tuple, list)) else (value, value)
    return int(first), int(second)


class _Import:
    """The rows so far, by the nodes of a trace that gave them."""

    def __init__(self, module: nn.Module, shape: tuple[int, int, int]) -> None:
        self.module = module
        self.rows: list[list[int]] = []
        self.inputs: list[list[int]] = []
        self.sources: list[nn.Module | None] = []  # whose weights a row has
        self.names: list[str] = []
        self.flat: list[bool] = []
        self.row_of: dict[fx.Node, int] = {}
        self.sizes: dict[fx.Node, int] = {}  # x.size(0) and such, by the dimension
        self.used: set[str] = set()
        self.shape = shape

    def named(self, message: str) -> str:
        """A message about "row N, op," with the layer's own name."""
        number = message.removeprefix("row ").partition(",")[0]
        if message.startswith("row ") and number.isdecimal():
            return f"layer {self.names[int(number)]!r}: {message}"
        return message

    def read(self, node: fx.Node) -> None:
        self.node = node
        self.arguments: tuple[Any, ...] = node.args
        self.options: dict[str, Any] = node.kwargs
        if node.op == "placeholder":
            if self.rows:
                raise ValueError(f"the module has another input, {node.name!r}; one image it is")
            self._add("input", channels=self.shape[0], size=self.shape[1:])
        elif node.op == "output":
            if not isinstance(node.args[0], fx.Node) or node.args[0] not in self.row_of:
                raise ValueError(f"the module gives {node.args[0]}; it should give logits alone")
            last = self.row_of[node.args[0]]
            if not self.flat[last]:
                raise ValueError("the module gives an image; it should give logits [n, classes]")
            for column in (self.rows, self.inputs, self.sources, self.names):
                del column[last + 1 :]
        elif node.op == "call_module":
            self._module(self.module.get_submodule(str(node.target)))
        elif node.op in ("call_function", "call_method"):
            self._function(node.target)
        else:
            raise self._unknown("a tensor of the module itself")

    def _unknown(self, what: str) -> ValueError:
        name = self.node.target if self.node.op == "call_module" else self.node.name
        return ValueError(f"layer {name!r} is {what}; known are {_KINDS}")

    def _from(self, argument: Any = None) -> int:
        argument = self.arguments[0] if argument is None else argument
        if not isinstance(argument, fx.Node) or argument not in self.row_of:
            raise self._unknown(f"a function of {argument}")
        return self.row_of[argument]

    def _same(self) -> None:
        self.row_of[self.node] = self._from()

    def _add(
        self,
        op: str,
        inputs: Sequence[int] | None = None,
        *,
        kernel: tuple[int, int] = (0, 0),
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        channels: int = 1,
        size: tuple[int, int] = (1, 1),
        source: nn.Module | None = None,
    ) -> None:
        reads = [self._from()] if inputs is None and self.rows else list(inputs or ())
        code = _core.OPS[op][0]
        self.rows.append([code, *kernel, stride, dilation, groups, channels, *size])
        self.inputs.append(reads)
        self.sources.append(source)
        name = self.node.target if self.node.op == "call_module" else self.node.name
        self.names.append(str(name))
        self.flat.append(
            op in ("global_pool", "flatten", "linear") or any(self.flat[j] for j in reads)
        )
        self.row_of[self.node] = len(self.rows) - 1

    def _module(self, m: nn.Module) -> None:
        if any(True for _ in m.parameters()):
            if str(self.node.target) in self.used:
                raise self._unknown("called twice, so its weights are shared")
            self.used.add(str(self.node.target))
        if isinstance(m, nn.Conv2d):
            self._convolution(m)
        elif isinstance(m, nn.Linear):
            if m.bias is None:
                raise self._unknown("Linear without a bias")
            if not self.flat[self._from()]:
                raise self._unknown("Linear on an image; flatten it before")
            self._add("linear", channels=m.out_features, source=m)
        elif isinstance(m, nn.BatchNorm2d):
            self._norm("batch_norm", m)
        elif isinstance(m, nn.GroupNorm) and m.num_groups in (1, m.num_channels):
            self._norm("layer_norm" if m.num_groups == 1 else "instance_norm", m)
        elif isinstance(m, nn.Dropout):
            self._dropout(m.p)
        elif isinstance(m, (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)):
            self._pool(m)
        elif isinstance(m, FactorizedReduce):
            channels = m.norm.num_features
            self._add("factorized_reduce", kernel=(1, 1), stride=2, channels=channels, source=m)
        elif isinstance(m, nn.ReLU):
            self._add("relu")
        elif isinstance(m, nn.Identity):
            self._same()
        elif isinstance(m, nn.Flatten) and m.start_dim == 1 and m.end_dim == -1:
            self._flatten()
        else:
            raise self._unknown(repr(m))

    def _function(self, target: Any) -> None:
        known: dict[Any, Callable[[], None]] = {
            **dict.fromkeys(
                (F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_"), self._relu
            ),
            **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), self._sum),
            **dict.fromkeys((torch.cat, torch.concat), self._cat),
            **dict.fromkeys((torch.flatten, "flatten"), self._flatten_function),
            **dict.fromkeys(("view", "reshape", torch.reshape), self._view),
            **dict.fromkeys((torch.mean, "mean"), self._mean),
            F.max_pool2d: lambda: self._pool(nn.MaxPool2d(*self.arguments[1:], **self.options)),
            F.avg_pool2d: lambda: self._pool(nn.AvgPool2d(*self.arguments[1:], **self.options)),
            F.adaptive_avg_pool2d: lambda: self._pool(
                nn.AdaptiveAvgPool2d(*self.arguments[1:], **self.options)
            ),
            F.dropout: lambda: self._dropout(self.options.get("p", 0.5)),
            "contiguous": self._same,
            "size": self._size,
            getattr: self._size,
            operator.getitem: self._size,
        }
        if target not in known:
            raise self._unknown(f"{getattr(target, '__name__', target)}()")
        known[target]()

    def _relu(self) -> None:
        self._add("relu")

    def _convolution(self, m: nn.Conv2d) -> None:
        kernel, padding = _pair(m.kernel_size), m.padding
        stride, dilation = _pair(m.stride), _pair(m.dilation)
        half = tuple(d * (k // 2) if k % 2 else 0 for k, d in zip(kernel, dilation, strict=True))
        if padding == "same" and all(k % 2 for k in kernel):
            padding = half
        elif padding == "valid":
            padding = (0, 0)
        if stride[0] != stride[1] or dilation[0] != dilation[1] or m.padding_mode != "zeros":
            raise self._unknown(f"{m!r}, with two strides or dilations, or padded by no zeros")
        if padding not in (half, (0, 0)):
            raise self._unknown(f"{m!r}, neither unpadded nor padded by half of an odd kernel")
        self._add(
            ("conv_plain" if m.bias is None else "conv_bias")
            + ("" if padding == half else "_valid"),
            kernel=kernel,
            stride=stride[0],
            dilation=dilation[0],
            groups=m.groups,
            channels=m.out_channels,
            source=m,
        )

    def _norm(self, op: str, m: nn.BatchNorm2d | nn.GroupNorm) -> None:
        if not m.affine or (isinstance(m, nn.BatchNorm2d) and m.running_var is None):
            raise self._unknown(f"{m!r}, without weights or running statistics")
        if m.eps != _EPS:
            if not isinstance(m, nn.BatchNorm2d):
                raise self._unknown(f"{m!r}, with another eps than {_EPS}")
            assert m.running_var is not None
            m.running_var += m.eps - _EPS  # the same outputs
            m.eps = _EPS
        self._add(op, source=m)

    def _dropout(self, p: float) -> None:
        chance = Fraction(p).limit_denominator(1000)
        kernel = (chance.numerator, chance.numerator)
        self._add("dropout", kernel=kernel, stride=chance.denominator)

    def _pool(self, m: nn.Module) -> None:
        if isinstance(m, nn.AdaptiveAvgPool2d):
            if _pair(m.output_size) != (1, 1):
                raise self._unknown(f"{m!r}; to one pixel it would be known")
            self._add("global_pool")
            return
        assert isinstance(m, (nn.MaxPool2d, nn.AvgPool2d))
        kernel, padding, stride = _pair(m.kernel_size), _pair(m.padding), _pair(m.stride)
        half = tuple(k // 2 if k % 2 else 0 for k in kernel)
        is_max = isinstance(m, nn.MaxPool2d)
        plain = stride[0] == stride[1] and not m.ceil_mode
        if isinstance(m, nn.MaxPool2d):
            plain = plain and _pair(m.dilation) == (1, 1) and not m.return_indices
        else:
            plain = plain and m.divisor_override is None
            plain = plain and (padding == (0, 0) or not m.count_include_pad)
        square = kernel[0] == kernel[1] or not is_max
        if not plain or not (padding == half or (padding == (0, 0) and square)):
            raise self._unknown(f"{m!r}, whose padding or other argument is not known")
        op = ("max_pool" if is_max else "avg_pool") + ("" if padding == half else "_valid")
        self._add(op, kernel=kernel, stride=stride[0])

    def _sum(self) -> None:
        if self.options or len(self.arguments) != 2:
            raise self._unknown("a sum with a factor")
        self._add("add", [self._from(argument) for argument in self.arguments])

    def _cat(self) -> None:
        tensors, *rest = self.arguments
        if [*rest, *self.options.values()] not in ([1], [-3]) or len(tensors) < 2:
            raise self._unknown("a concatenation that is not along the channels")
        self._add("concat", [self._from(tensor) for tensor in tensors])

    def _flatten_function(self) -> None:
        if [*self.arguments[1:], *self.options.values()] not in ([1], [1, -1]):
            raise self._unknown("a flattening of the batch")
        self._flatten()

    def _flatten(self) -> None:
        if self.flat[self._from()]:
            self._same()
        else:
            self._add("flatten")

    def _view(self) -> None:
        sizes = self.arguments[1:]
        if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
            sizes = tuple(sizes[0])
        batch = len(sizes) == 2 and self.sizes.get(sizes[0]) == 0
        if not batch or sizes[1] != -1:
            raise self._unknown(f"a view as {sizes}; view(x.size(0), -1) is known")
        self._flatten()

    def _size(self) -> None:
        """x.size(0), x.shape[0] and what leads there: the number of images."""
        first, *rest = self.arguments
        if self.node.target is getattr and rest == ["shape"]:
            self.sizes[self.node] = -1  # all of them
        elif self.node.target == "size":
            self.sizes[self.node] = rest[0] if rest else self.options.get("dim", -1)
        elif self.sizes.get(first) == -1 and isinstance(rest[0], int):
            self.sizes[self.node] = rest[0]
        else:
            raise self._unknown(f"{self.node.format_node()}")

    def _mean(self) -> None:
        given = [*self.arguments[1:], *self.options.values()]
        if not given or list(given[0]) not in ([2, 3], [-2, -1]) or True in given[1:]:
            raise self._unknown("a mean that is not over height and width alone")
        self._add("global_pool")
