"""What stands in `__init__` and `forward` of the classes of a source file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from nascore.networks.modules import Row
from nascore.results.source_parts import Node, Part, Step, live_after, sides
from nascore.results.source_text import call, concat, total

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


Slot = tuple[int, str]  # a number of a part's step, or of what it reads (-1, -2) from outside


class Body:
    """What stands in `__init__` and `forward` for some nodes, and what the modules are called."""

    def __init__(
        self,
        nodes: Sequence[Node],
        names: Mapping[int, str],
        symbols: Mapping[Slot, str],
        blocks: Mapping[Part, Block] | None = None,
        exits: Sequence[int] = (),
    ) -> None:
        self.nodes, self.exits = nodes, exits
        self.symbols, self.blocks = symbols, blocks
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
        live = live_after(nodes)
        for i, node in enumerate(nodes):
            self._add(i, node, "x" if live[i] == {node.row} else None)
        if exits:
            every = ", ".join(self._text[row] for row in exits)
            self.forward.append(f"        return [{every}]")

    def _channel(self, slot: Slot, nodes: Sequence[Node], row: int) -> Counter[str]:
        rows = (r for n in nodes for j, r in zip(n.inputs, n.given, strict=True) if j == row)
        return self._symbol(slot, next(rows).channels)

    def _symbol(self, slot: Slot, value: int) -> Counter[str]:
        name = self.symbols.get(slot)
        return Counter({name: 1}) if name else Counter({"": value})

    def _stem(self, node: Node) -> str:
        if isinstance(node, Part):
            return "cell" if "Cell" in self._block(node).name else "block"
        if node.row in self.exits:
            return "exit"
        if node is self.nodes[-1] and node.op == "linear" and self.blocks is not None:
            return "classifier"
        return _MODULES[node.op][1] if node.op in _MODULES else _STEMS.get(node.op, "pooled")

    def _add(self, i: int, node: Node, name: str | None) -> None:
        own = self._new_name(node)
        if isinstance(node, Part):
            self._add_part(node, own)
            kind, inline = "call", False
        else:
            kind, inline = self._add_step(i, node, own), self.blocks is None
        expression = self._expression(kind, node, own)
        last = i == len(self.nodes) - 1 and not self.exits
        prefix = "return " if last else f"{name or own} = "
        if len(prefix) + len(expression) > 80:
            for j in sorted({*node.inputs} & self._waiting.keys()):
                self.forward.append(f"        {self._text[j]} = {self._waiting.pop(j)}")
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

    def _block(self, part: Part) -> Block:
        assert self.blocks is not None  # a part has none within it
        return self.blocks[part]

    def _operand(self, row: int) -> str:
        return self._waiting.get(row, self._text[row])

    def _new_name(self, node: Node) -> str:
        stem = self._stem(node)
        self._taken[stem] += 1
        return stem if self._stems[stem] == 1 else f"{stem}{self._taken[stem]}"

    def _add_part(self, part: Part, own: str) -> None:
        block = self._block(part)
        self.init += call(f"self.{own} = {block.name}", block.arguments[part], 8)
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
        arguments = [given, channels, _sides(spec, (spec.kernel, spec.kernel_width))]
        stride = _sum(self._symbol((i, "stride"), spec.stride))
        groups = _sum(self._symbol((i, "groups"), spec.groups))
        padding = "0" if op.endswith("_valid") else _padding(spec)
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
            missing = self._block(node).wide - len(inputs)
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
            return f"{x}.mean({2 if spec.signal else (2, 3)})"
        if step.op == "flatten":
            return f"{x}.flatten(1)"
        if step.op == "pad":
            tall, wide, height, width = sides(step)
            rest, below = wide - width, tall - height
            zeros = (rest // 2, rest - rest // 2, below // 2, below - below // 2)
            return f"F.pad({x}, {zeros[:2] if spec.signal else zeros})"
        if step.op == "upsample":
            size = (spec.width,) if spec.signal else (spec.height, spec.width)
            return f"F.interpolate({x}, {size})"
        function = "F.max_pool2d" if step.op.startswith("max") else "F.avg_pool2d"
        square = step.op == "max_pool_valid"
        width = spec.kernel if square and not spec.signal else spec.kernel_width
        kernel = _sides(spec, (spec.kernel, width))
        place = self.nodes.index(step)
        stride = _sum(self._symbol((place, "stride"), spec.stride))
        arguments = [x, kernel, f"stride={stride}"]
        if not step.op.endswith("_valid"):
            padding = _padding(spec)
            arguments += [f"padding={padding}"] if padding != "0" else []
            arguments += ["count_include_pad=False"] if step.op == "avg_pool" else []
        return f"{function}({', '.join(arguments)})"


def _padding(spec: Row) -> str:
    """Odd kernels keep the size at stride 1, even ones are not padded."""
    height, width = (
        spec.dilation * (side // 2) if side % 2 else 0 for side in (spec.kernel, spec.kernel_width)
    )
    return _sides(spec, (height, width))


def _sides(spec: Row, sides: tuple[int, int]) -> str:
    height, width = sides
    return str(width if spec.signal or height == width else sides)


def _sum(terms: Mapping[str, int]) -> str:
    """Symbols with their factors, and a number under ""."""
    parts = [name if n == 1 else f"{n} * {name}" for name, n in terms.items() if name]
    if terms.get(""):
        parts.append(str(terms[""]))
    return " + ".join(parts)


class Block:
    """The class of parts that are alike; `arguments` has what each is made with."""

    def __init__(self, name: str, parts: Sequence[Part]) -> None:
        self.name = name
        self.model = max(parts, key=lambda part: len(part.inputs))  # reads all there is
        self.wide = len(self.model.inputs)
        values = [self._slots(part) for part in parts]
        equal: dict[tuple[bool, tuple[int, ...]], list[Slot]] = {}
        for slot in values[0]:
            column = tuple(each[slot] for each in values)
            if len(set(column)) > 1:  # else the number stands in the class
                equal.setdefault((slot[1] == "stride", column), []).append(slot)
        self.symbols: dict[Slot, str] = {}
        columns: dict[str, tuple[int, ...]] = {}
        for (_, column), slots in equal.items():
            symbol = self._symbol(slots, columns)
            columns[symbol] = column
            self.symbols |= dict.fromkeys(slots, symbol)
        self.arguments = {
            part: [f"{symbol}={column[i]}" for symbol, column in columns.items()]
            for i, part in enumerate(parts)
        }
        names = ["x"] if self.wide == 1 else ["older", "x"]
        self.body = Body(
            self.model.steps, dict(zip(self.model.inputs, names, strict=True)), self.symbols
        )
        typed = [f"{symbol}: int" for symbol in columns]
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

    def _symbol(self, slots: Sequence[Slot], taken: Iterable[str]) -> str:
        """A new name for numbers that are always equal."""
        kinds = [kind for _, kind in slots]
        kind = "channels" if "channels" in kinds else kinds[-1]
        if self.wide == 2 and slots == [(-1, "in_channels")]:
            kind = "older_channels"
        alike = sum(name.rstrip("0123456789") == kind for name in taken)
        return f"{kind}{alike + 1}" if alike else kind
