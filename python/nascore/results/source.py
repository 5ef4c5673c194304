"""Trained networks as one readable file of plain PyTorch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from nascore import _core
from nascore.networks.build import Network
from nascore.networks.modules import Row
from nascore.results.source_text import (
    ENSEMBLE,
    HEAD,
    LIBRARY,
    TAIL,
    call,
    concat,
    listing,
    quoted,
    total,
    tuple_of,
)

_NAMES = {code: name for name, (code, *_) in _core.OPS.items()}
_IDLE = ("identity", "drop_path")  # what does nothing outside of training
_IMAGE = 0
# Of operations with weights: the class, and the stem of the attribute's name.
_MODULES = {
    "conv": ("ReluConvNorm", "conv"),
    "stem": ("ConvNorm", "stem"),
    "conv_relu": ("ConvRelu", "conv"),
    "conv_valid": ("ConvNormRelu", "conv"),
    "sep_conv": ("ReluSeparableNorm", "sep"),
    "factorized_reduce": ("ReluHalveNorm", "halve"),
    "conv_bias": ("nn.Conv2d", "conv"),
    "conv_plain": ("nn.Conv2d", "conv"),
    "conv_bias_valid": ("nn.Conv2d", "conv"),
    "conv_plain_valid": ("nn.Conv2d", "conv"),
    "batch_norm": ("nn.BatchNorm2d", "norm"),
    "layer_norm": ("nn.GroupNorm", "norm"),
    "instance_norm": ("nn.GroupNorm", "norm"),
    "linear": ("nn.Linear", "linear"),
    "dropout": ("nn.Dropout", "dropout"),
}
_STEMS = {"add": "total", "concat": "joined", "upsample": "larger", "pad": "padded"}


class Step(NamedTuple):
    """One operation: the rows that it is, makes and reads, and how the network calls its module."""

    row: int
    module: str
    op: str
    spec: Row
    inputs: tuple[int, ...]
    given: tuple[Row, ...]


class Part(NamedTuple):
    """Steps that become a module of their own, and the rows from outside that they read."""

    steps: tuple[Step, ...]
    inputs: tuple[int, ...]
    given: tuple[Row, ...]

    @property
    def row(self) -> int:
        return self.steps[-1].row


Node = Step | Part
Slot = tuple[int, str]  # a number of a part's step, or of what it reads (-1, -2) from outside


def write_source(
    networks: Sequence[Network], card: Mapping[str, Any], note: str
) -> tuple[str, dict[str, Tensor]]:
    """A Python file that needs torch alone, and the weights of its `Network`, by their names there.

    Of several networks it is the ensemble. Repeated blocks or cells become one class, in which
    what differs between them is an argument. `note` is the file's docstring.
    """
    nodes = [_nodes(network, card) for network in networks]
    shapes = _shapes([node for own in nodes for node in own if isinstance(node, Part)])
    blocks = {shape: _Block(name, parts) for shape, (name, parts) in shapes.items()}
    writer = _File(blocks)
    state: dict[str, Tensor] = {}
    classes = []
    for i, (network, own) in enumerate(zip(networks, nodes, strict=True)):
        alone = len(networks) == 1
        text, modules = writer.network("Network" if alone else f"Member{i + 1}", network, own)
        classes.append(text)
        start = "" if alone else f"members.{i}."
        for name, value in network.state_dict().items():
            module, _, rest = name.partition(".")
            if module in modules:  # the others are of auxiliary heads
                state[f"{start}{modules[module]}.{rest}"] = value.detach().cpu().contiguous()
    if len(networks) > 1:
        members = [f"Member{i + 1}()" for i in range(len(networks))]
        made = "\n".join(listing("self.members = nn.ModuleList([", members, "])", 8))
        classes.append(ENSEMBLE.format(members=made))
    texts = [block.text for block in blocks.values()]
    used = "\n".join([*texts, *classes])
    texts = [*(LIBRARY[name] for name in LIBRARY if f"{name}(" in used), *texts, *classes]
    constants = [
        *tuple_of("MEAN", map(repr, card["mean"])),
        *tuple_of("STD", map(repr, card["std"])),
        *tuple_of("CLASSES", map(quoted, card["class_names"])),
    ]
    body = "\n\n\n".join(text.strip("\n") for text in texts)
    functional = "import torch.nn.functional as F\n" if "F." in body else ""
    imports = "import math\n" if len(networks) > 1 else ""
    head = HEAD.format(
        note=note, imports=imports, functional=functional, constants="\n".join(constants)
    )
    return f"{head}\n\n{body}\n\n\n{TAIL}", state


def _nodes(network: Network, card: Mapping[str, Any]) -> list[Node]:
    """What the network does for its logits, step by step, cut into parts where it has narrows."""
    rows = [Row(*map(int, row)) for row in network.net.rows]
    same = {_IMAGE: _IMAGE}
    steps = []
    for made, module, inputs, _ in network.plan:
        op, read = _NAMES[rows[made].op], tuple(same[j] for j in inputs)
        same[made] = read[0] if op in _IDLE else made
        if op not in _IDLE:
            given = tuple(rows[j] for j in read)
            steps.append(Step(made, module, op, rows[made], read, given))
    if len(network.exit_rows) > 1:
        return [*steps]  # exits leave from within cells
    cells = not isinstance(card["architecture"], list) and card["architecture"]["space"] == "cell"
    parts: list[Part] = []
    mine: list[Step] = []
    live = _live(steps)
    for step, after in zip(steps, live, strict=True):
        mine.append(step)
        joint = cells and step.op in ("add", "concat") and step.row in after and len(after) == 2
        if after <= {step.row} or joint:
            made = {each.row for each in mine}
            read = {j: r for s in mine for j, r in zip(s.inputs, s.given, strict=True)}
            outside = tuple(sorted(j for j in read if j not in made))
            parts.append(Part(tuple(mine), outside, tuple(read[j] for j in outside)))
            mine = []
    if sum(len(part.steps) > 1 for part in parts) < 2:
        return [*steps]
    nodes: list[Node] = []
    for part in parts:
        nodes += [part] if len(part.steps) > 1 else part.steps
    return nodes


def _live(nodes: Sequence[Node]) -> list[set[int]]:
    """After each node, the rows that later ones read."""
    live: list[set[int]] = []
    needed: set[int] = set()
    for node in reversed(nodes):
        live.append(set(needed))
        needed = (needed - {node.row}) | set(node.inputs)
    return live[::-1]


def _shape(part: Part) -> tuple[Any, ...]:
    """What parts of one class have in common, but for which of two outside rows they read."""
    place = {step.row: i for i, step in enumerate(part.steps)}
    return tuple(
        (
            *(step.op, step.spec.kernel, step.spec.kernel_width, step.spec.dilation),
            tuple(place.get(j, -1) for j in step.inputs),
            _sides(step) if step.op in ("pad", "upsample") else (),
        )
        for step in part.steps
    )


def _sides(step: Step) -> tuple[int, ...]:
    given = step.given[0]
    return (step.spec.height, step.spec.width, given.height, given.width)


def _reads(part: Part) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(_outside(part, j) for j in step.inputs) for step in part.steps)


def _outside(part: Part, row: int) -> int:
    return part.inputs.index(row) if row in part.inputs else -1


Shape = tuple[tuple[Any, ...], tuple[tuple[int, ...], ...]]


def _shapes(parts: Sequence[Part]) -> dict[Shape, tuple[str, list[Part]]]:
    """The parts by what their class is, each class with its name."""
    found: dict[Shape, list[Part]] = {}
    for part in parts:
        found.setdefault((_shape(part), _reads(part)), []).append(part)
    for (shape, reads), alike in list(found.items()):
        # The first cell reads one row twice where the others read two.
        wider = [key for key in found if key[0] == shape and key[1] != reads]
        if len(alike[0].inputs) == 1 and len(wider) == 1:
            found[wider[0]] += found.pop((shape, reads))
    names = [_kind(alike[0]) for alike in found.values()]
    numbers: Counter[str] = Counter()
    named = {}
    for name, (key, alike) in zip(names, found.items(), strict=True):
        numbers[name] += 1
        unique = names.count(name) == 1
        named[key] = (name if unique else f"{name}{numbers[name]}", alike)
    return named


def _kind(part: Part) -> str:
    if part.steps[-1].op not in ("add", "concat") or len(part.inputs) == 1:
        return "Block"
    return "NormalCell" if part.steps[-1].spec.height == part.given[-1].height else "ReductionCell"


class _Block:
    """The class of parts that are alike; `arguments` of each by the part's row."""

    def __init__(self, name: str, parts: Sequence[Part]) -> None:
        self.name = name
        self.model = max(parts, key=lambda part: len(part.inputs))  # reads all there is
        self.wide = len(self.model.inputs)
        values = [self._slots(part) for part in parts]
        self.symbols: dict[Slot, str] = {}
        given: dict[tuple[int, ...], str] = {}
        self.parameters: list[str] = []
        for slot in values[0]:
            column = tuple(each[slot] for each in values)
            if len(set(column)) == 1:
                continue
            if column not in given:
                given[column] = self._name(slot)
                self.parameters.append(given[column])
            self.symbols[slot] = given[column]
        order = {name: column for column, name in given.items()}
        self.arguments = {
            id(part): [f"{name}={order[name][i]}" for name in self.parameters]
            for i, part in enumerate(parts)
        }
        names = ["x"] if self.wide == 1 else ["older", "x"]
        self.body = _Body(self.model.steps, dict(zip(self.model.inputs, names, strict=True)), self)
        typed = [f"{name}: int" for name in self.parameters]
        self.text = "\n".join(
            [
                f"class {name}(nn.Module):",
                *call("def __init__", ["self", *typed], 4, " -> None:"),
                "        super().__init__()",
                *self.body.init,
                "",
                *call("def forward", ["self", *(f"{n}: Tensor" for n in names)], 4, " -> Tensor:"),
                *self.body.forward,
            ]
        )

    def _slots(self, part: Part) -> dict[Slot, int]:
        given = [part.given[0]] * (self.wide - len(part.given)) + [*part.given]
        slots = {(-1 - i, "in_channels"): row.channels for i, row in enumerate(given)}
        for i, step in enumerate(part.steps):
            if step.op in _MODULES:
                slots[i, "channels"] = step.spec.channels
                slots[i, "groups"] = step.spec.groups
            slots[i, "stride"] = step.spec.stride
        return slots

    def _name(self, slot: Slot) -> str:
        i, kind = slot
        if kind == "in_channels" and self.wide == 2 and i == -1:
            kind = "older_channels"
        taken = sum(name.rstrip("0123456789") == kind for name in self.parameters)
        return f"{kind}{taken + 1}" if taken else kind


class _File:
    """The classes of whole networks, over those of their parts."""

    def __init__(self, blocks: Mapping[Shape, _Block]) -> None:
        self.blocks = blocks

    def block(self, part: Part) -> _Block:
        return next(block for block in self.blocks.values() if id(part) in block.arguments)

    def network(
        self, name: str, network: Network, nodes: Sequence[Node]
    ) -> tuple[str, dict[str, str]]:
        """The class, and the names there of the modules in `network`."""
        exits = tuple(network.exit_rows) if len(network.exit_rows) > 1 else ()
        body = _Body(nodes, {_IMAGE: "images"}, self, exits)
        lines = [
            f"class {name}(nn.Module):",
            f'    """{_summary(network, exits)}"""',
            "",
            "    def __init__(self) -> None:",
            "        super().__init__()",
            *body.init,
            "",
        ]
        if exits:
            lines += [
                "    def forward(self, images: Tensor) -> Tensor:",
                '        """Logits [n, classes] of the last exit."""',
                "        return self.exits(images)[-1]",
                "",
                "    def exits(self, images: Tensor) -> list[Tensor]:",
                '        """The logits of every exit, the cheapest first."""',
                *body.forward,
            ]
        else:
            lines += [
                "    def forward(self, images: Tensor) -> Tensor:",
                '        """Logits [n, classes] of normalised images [n, C, H, W]."""',
                *body.forward,
            ]
        return "\n".join(lines), body.modules


def _summary(network: Network, exits: Sequence[int]) -> str:
    size = f"{network.net.params:,} parameters, {network.net.macs:,} multiply-adds"
    return f"{size}, {len(exits)} exits." if exits else f"{size}."


class _Body:
    """What stands in `__init__` and `forward` for some nodes, and what the modules are called."""

    def __init__(
        self,
        nodes: Sequence[Node],
        names: Mapping[int, str],
        owner: _Block | _File,
        exits: Sequence[int] = (),
    ) -> None:
        self.nodes, self.owner, self.exits = nodes, owner, exits
        self.init: list[str] = []
        self.forward: list[str] = []
        self.modules: dict[str, str] = {}
        self._text = dict(names)
        self._waiting: dict[int, str] = {}
        self._channels: dict[int, Counter[str]] = {}
        self._stems = Counter(map(self._stem, nodes))
        self._taken: Counter[str] = Counter()
        self._readers = Counter(j for node in nodes for j in node.inputs)
        for i, row in enumerate(names):
            self._channels[row] = self._channel((-1 - i, "in_channels"), nodes, row)
        live = _live(nodes)
        for i, node in enumerate(nodes):
            self._add(i, node, "x" if live[i] == {node.row} else None)
        if exits:
            every = ", ".join(self._text[row] for row in exits)
            self.forward.append(f"        return [{every}]")

    def _channel(self, slot: Slot, nodes: Sequence[Node], row: int) -> Counter[str]:
        rows = (r for n in nodes for j, r in zip(n.inputs, n.given, strict=True) if j == row)
        return self._symbol(slot, next(rows).channels)

    def _symbol(self, slot: Slot, value: int) -> Counter[str]:
        name = self.owner.symbols.get(slot) if isinstance(self.owner, _Block) else None
        return Counter({name: 1}) if name else Counter({"": value})

    def _stem(self, node: Node) -> str:
        if isinstance(node, Part):
            assert isinstance(self.owner, _File)
            return "cell" if "Cell" in self.owner.block(node).name else "block"
        if node.row in self.exits:
            return "exit"
        if node is self.nodes[-1] and node.op == "linear" and isinstance(self.owner, _File):
            return "classifier"
        return _MODULES[node.op][1] if node.op in _MODULES else _STEMS.get(node.op, "pooled")

    def _add(self, i: int, node: Node, name: str | None) -> None:
        own = self._new_name(node)
        if isinstance(node, Part):
            self._add_part(node, own)
            kind, inline = "call", False
        else:
            kind, inline = self._add_step(i, node, own), isinstance(self.owner, _Block)
        expression = self._expression(kind, node, own)
        last = i == len(self.nodes) - 1 and not self.exits
        prefix = "return " if last else f"{name or own} = "
        if len(prefix) + len(expression) > 80:
            for j in sorted({*node.inputs} & self._waiting.keys()):
                self.forward.append(f"        {self._name_of(j)} = {self._waiting.pop(j)}")
            expression = self._expression(kind, node, own)
        alone = self._readers[node.row] == 1 and kind not in ("add", "concat")
        if alone and (inline or kind not in ("call", *_MODULES)) and len(expression) < 60:
            self._waiting[node.row], self._text[node.row] = expression, name or own
            return
        if kind in ("add", "concat"):
            operands = [self._operand(j) for j in node.inputs]
            layout = total if kind == "add" else concat
            self.forward += layout(prefix, operands, 8)
        else:
            self.forward.append(f"        {prefix}{expression}")
        self._text[node.row] = name or own

    def _name_of(self, row: int) -> str:
        return self._text[row]

    def _operand(self, row: int) -> str:
        return self._waiting.get(row, self._text[row])

    def _new_name(self, node: Node) -> str:
        stem = self._stem(node)
        self._taken[stem] += 1
        return stem if self._stems[stem] == 1 else f"{stem}{self._taken[stem]}"

    def _add_part(self, part: Part, own: str) -> None:
        assert isinstance(self.owner, _File)
        block = self.owner.block(part)
        self.init += call(f"self.{own} = {block.name}", block.arguments[id(part)], 8)
        for here, step in zip(block.model.steps, part.steps, strict=True):
            if here.module in block.body.modules:
                self.modules[step.module] = f"{own}.{block.body.modules[here.module]}"
        self._channels[part.row] = Counter({"": part.steps[-1].spec.channels})

    def _add_step(self, i: int, step: Step, own: str) -> str:
        spec = step.spec
        given = self._channels[step.inputs[0]]
        if step.op not in _MODULES:
            counts = sum((self._channels[j] for j in step.inputs), Counter[str]())
            factor = spec.channels // step.given[0].channels if step.op == "flatten" else 1
            scaled = Counter({name: n * factor for name, n in given.items()})
            self._channels[step.row] = counts if step.op == "concat" else scaled
            return step.op
        channels = self._symbol((i, "channels"), spec.channels)
        self._channels[step.row] = channels
        arguments = self._arguments(i, step, _sum(given), _sum(channels))
        self.init += call(f"self.{own} = {_MODULES[step.op][0]}", arguments, 8)
        self.modules[step.module] = own
        return step.op

    def _arguments(self, i: int, step: Step, given: str, channels: str) -> list[str]:
        spec, op = step.spec, step.op
        if op == "linear":
            return [given, channels]
        if op == "dropout":
            return [repr(spec.kernel / spec.stride)]
        if op in ("batch_norm", "factorized_reduce"):
            return [given, channels] if op == "factorized_reduce" else [channels]
        if op in ("layer_norm", "instance_norm"):
            return ["1" if op == "layer_norm" else channels, channels]
        arguments = [given, channels, _pair((spec.kernel, spec.kernel_width))]
        stride = _sum(self._symbol((i, "stride"), spec.stride))
        groups = _sum(self._symbol((i, "groups"), spec.groups))
        padding = "0" if op.endswith("_valid") else _pair(_padding(spec))
        dilation = str(1 if op == "conv_valid" else spec.dilation)
        ungrouped = op in ("conv_valid", "sep_conv")
        options = {"stride": (stride, "1"), "padding": (padding, "0"), "dilation": (dilation, "1")}
        if not ungrouped:
            options["groups"] = (groups, "1")
        arguments += [f"{key}={value}" for key, (value, usual) in options.items() if value != usual]
        return [*arguments, "bias=False"] if op.startswith("conv_plain") else arguments

    def _expression(self, kind: str, node: Node, own: str) -> str:
        inputs = [self._operand(j) for j in node.inputs]
        if isinstance(node, Part):
            assert isinstance(self.owner, _File)
            missing = self.owner.block(node).wide - len(inputs)
            return f"self.{own}({', '.join(inputs[:1] * missing + inputs)})"
        if kind in _MODULES:
            return f"self.{own}({inputs[0]})"
        return self._function(node, inputs)

    def _function(self, step: Step, inputs: Sequence[str]) -> str:
        spec, x = step.spec, inputs[0]
        if step.op == "add":
            return " + ".join(inputs)
        if step.op == "concat":
            return f"torch.cat([{', '.join(inputs)}], 1)"
        if step.op == "relu":
            return f"F.relu({x})"
        if step.op == "global_pool":
            return f"{x}.mean((2, 3))"
        if step.op == "flatten":
            return f"{x}.flatten(1)"
        if step.op == "pad":
            tall, wide, height, width = _sides(step)
            rest, below = wide - width, tall - height
            sides = (rest // 2, rest - rest // 2, below // 2, below - below // 2)
            return f"F.pad({x}, {sides})"
        if step.op == "upsample":
            return f"F.interpolate({x}, ({spec.height}, {spec.width}))"
        function = "F.max_pool2d" if step.op.startswith("max") else "F.avg_pool2d"
        square = step.op == "max_pool_valid"
        kernel = _pair((spec.kernel, spec.kernel if square else spec.kernel_width))
        place = self.nodes.index(step)
        stride = _sum(self._symbol((place, "stride"), spec.stride))
        arguments = [x, kernel, f"stride={stride}"]
        if not step.op.endswith("_valid"):
            padding = _pair(_padding(spec))
            arguments += [f"padding={padding}"] if padding != "0" else []
            arguments += ["count_include_pad=False"] if step.op == "avg_pool" else []
        return f"{function}({', '.join(arguments)})"


def _padding(spec: Row) -> tuple[int, int]:
    """Odd kernels keep the size at stride 1, even ones are not padded."""
    height, width = (
        spec.dilation * (side // 2) if side % 2 else 0 for side in (spec.kernel, spec.kernel_width)
    )
    return height, width


def _pair(sides: tuple[int, int]) -> str:
    return str(sides[0] if sides[0] == sides[1] else sides)


def _sum(terms: Mapping[str, int]) -> str:
    """Symbols with their factors, and a number under ""."""
    parts = [name if n == 1 else f"{n} * {name}" for name, n in terms.items() if name]
    if terms.get(""):
        parts.append(str(terms[""]))
    return " + ".join(parts)
