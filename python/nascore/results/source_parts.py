"""A network's rows as the steps of a source file, cut into parts that become classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nascore import _core
from nascore.networks.build import Network
from nascore.networks.modules import Row

IMAGE = 0  # its row
_NAMES = {code: name for name, (code, *_) in _core.OPS.items()}
_IDLE = ("identity", "drop_path")  # what does nothing outside of training


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


def steps_and_parts(network: Network, card: Mapping[str, Any]) -> list[Node]:
    """What the network does for its logits, step by step, cut into parts where it has narrows."""
    rows = [Row(*map(int, (*row, network.net.signal))) for row in network.net.rows]
    same = {IMAGE: IMAGE}
    steps = []
    for made, module, inputs, _ in network.plan:
        op, read = _NAMES[rows[made].op], tuple(same[j] for j in inputs)
        same[made] = read[0] if op in _IDLE else made
        if op not in _IDLE:
            given = tuple(rows[j] for j in read)
            steps.append(Step(made, module, op, rows[made], read, given))
    if len(network.exit_rows) > 1:
        return [*steps]  # exits leave from within cells
    found = card["architecture"]
    cells = (found[0] if isinstance(found, list) else found)["space"] == "cell"
    parts: list[Part] = []
    mine: list[Step] = []
    live = live_after(steps)
    for step, after in zip(steps, live, strict=True):
        mine.append(step)
        # A cell ends where but its result and the one before it are still read.
        older = after - {step.row, *(own.row for own in mine)}
        joint = cells and step.op in ("add", "concat") and step.row in after
        joint = joint and len(after) == 2 and len(older) == 1
        if after <= {step.row} or joint:
            parts.append(_part(mine))
            mine = []
    if sum(len(part.steps) > 1 for part in parts) < 2:
        return [*steps]
    nodes: list[Node] = []
    for part in parts:
        nodes += [part] if len(part.steps) > 1 else part.steps
    return nodes


def _part(steps: Sequence[Step]) -> Part:
    own = {step.row for step in steps}
    read = {j: row for step in steps for j, row in zip(step.inputs, step.given, strict=True)}
    outside = tuple(sorted(read.keys() - own))
    return Part(tuple(steps), outside, tuple(read[j] for j in outside))


def live_after(nodes: Sequence[Node]) -> list[set[int]]:
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
            sides(step) if step.op in ("pad", "upsample") else (),
        )
        for step in part.steps
    )


def sides(step: Step) -> tuple[int, ...]:
    given = step.given[0]
    return (step.spec.height, step.spec.width, given.height, given.width)


def _reads(part: Part) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(_outside(part, j) for j in step.inputs) for step in part.steps)


def _outside(part: Part, row: int) -> int:
    return part.inputs.index(row) if row in part.inputs else -1


Shape = tuple[tuple[Any, ...], tuple[tuple[int, ...], ...]]


def classes_of(parts: Sequence[Part]) -> list[tuple[str, list[Part]]]:
    """The parts that make one class each, and its name."""
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
    named = []
    for name, alike in zip(names, found.values(), strict=True):
        numbers[name] += 1
        unique = names.count(name) == 1
        named.append((name if unique else f"{name}{numbers[name]}", alike))
    return named


def _kind(part: Part) -> str:
    if part.steps[-1].op not in ("add", "concat") or len(part.inputs) == 1:
        return "Block"
    return "NormalCell" if part.steps[-1].spec.width == part.given[-1].width else "ReductionCell"
