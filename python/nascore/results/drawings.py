"""An architecture as a picture: data flows down, colours are operations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nascore import _core
from nascore.results.pictures import Picture
from nascore.spaces import Architecture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_BOXES = 60  # of a net that is drawn

_COLOURS = {
    "input": "#e8e8e8",
    "output": "#e8e8e8",
    "conv": "#9ecae1",
    "max_pool": "#fdae6b",
    "avg_pool": "#fdd0a2",
    "add": "#a1d99b",
    "concat": "#c7e9c0",
    "identity": "#f7f7f7",
    "sep_conv": "#9ecae1",
    "conv_pair": "#c6dbef",
    "layer_norm": "#dadaeb",
    "instance_norm": "#dadaeb",
    "stem": "#9ecae1",
    "linear": "#dadaeb",
    "global_pool": "#fdd0a2",
    "upsample": "#fdd0a2",
    "factorized_reduce": "#c6dbef",
}
# Of a net: what is left out, and the endings that only say how a row is padded or what follows it.
_SILENT = ("relu", "dropout", "flatten", "drop_path", "batch_norm", "layer_norm", "identity", "pad")
_FAMILY = re.compile(r"(_relu|_valid|_bias|_plain)+$")
_INPUTS = ("$h_i$", "$h_{i-1}$")  # of a cell, by their kernels
_TITLES = ("Normal cell", "Reduction cell")
_NAMES = {code: name for name, (code, *_) in _core.OPS.items()}
_BOX = (1.3, 0.5)  # width and height of a box; rows are 1 apart
_APART = 1.5  # columns

Point = tuple[float, float]
Routes = dict[tuple[int, int], list[Point]]


@dataclass(frozen=True)
class _Sketch:
    """What is drawn: labelled, coloured boxes, and which feeds which, in an order of running."""

    texts: Sequence[str]
    colours: Sequence[str]
    edges: Sequence[tuple[int, int]]
    sequence: Sequence[int]

    def order(self) -> Sequence[int]:
        return self.sequence


def draw(architecture: Architecture, path: str | Path) -> None:
    """Draw a block, or cells, without what does nothing there, to a PNG, SVG or PDF file.

    Of anytime networks all is drawn: /2 is half of the image's sides, and "exits" are the nodes
    that have a classifier.

    Raises ValueError for an architecture without a graph, ImportError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("drawings need matplotlib: pip install 'nascore[report]'") from error
    drawn = picture(architecture, "", "")
    figure = Figure(figsize=drawn.size, layout="constrained")
    drawn.draw(figure)
    figure.savefig(path, dpi=150)


def picture(
    architecture: Architecture, name: str, title: str, net: _core.Net | None = None
) -> Picture:
    """The drawing of a block, of cells, or else of the whole `net`.

    Of a net, what only acts on single numbers is left out. Raises ValueError without a graph and
    a net, and for a net of more than MAX_BOXES boxes.
    """
    graphs = architecture.graphs
    if not graphs and net is None:
        raise ValueError(f"an architecture of the {architecture.space} space has no graph to draw")
    if graphs:
        exits = architecture.space == "anytime"
        sketches = [_of_graph(graph, "exits" if exits else "concat") for graph in graphs]
        caption = "Data flows down; colours are operations."
    else:
        assert net is not None
        sketches = [_of_net(net)]
        caption = (
            "Data flows down; colours are operations, a comma's number the channels. "
            "Activations, normalisation, dropout and flattening are not drawn."
        )
        if len(sketches[0].texts) > MAX_BOXES:
            boxes = len(sketches[0].texts)
            raise ValueError(
                f"a network of {boxes} boxes is too large to draw: {MAX_BOXES} at most"
            )
    routes = [_layout(sketch) for sketch in sketches]
    extents = [_extent(ways) for ways in routes]
    left, right = min(low for low, *_ in extents), max(high for _, high, _ in extents)
    heights = [bottom + 1 for *_, bottom in extents]
    titled = len(graphs) > 1

    def onto(figure: Figure) -> None:
        panels = figure.subplots(len(sketches), squeeze=False, height_ratios=heights)[:, 0]
        for i, (sketch, axes) in enumerate(zip(sketches, panels, strict=True)):
            axes.set(xlim=(left, right), ylim=(heights[i] - 0.5, -0.5))
            axes.axis("off")
            if titled:
                axes.set_title(_TITLES[i] if architecture.space == "cell" else f"Cell {i + 1}")
            _draw(axes, sketch, routes[i])

    size = (right - left, 0.75 * sum(heights) + 0.4 * titled * len(graphs))
    return Picture(name, title, caption, onto, size)


def layers(net: _core.Net) -> list[tuple[str, int, int, int]]:
    """What each row of a network is: its label, its channels, height and width."""
    return [(_row_text(row), int(row[6]), int(row[7]), int(row[8])) for row in net.rows]


def _of_graph(graph: _core.Graph, concat: str) -> _Sketch:
    nodes = graph.nodes.tolist()
    is_cell = sum(_NAMES[op] == "input" for op, *_ in nodes) > 1
    texts = []
    for op, *fields in nodes:
        name = _NAMES[op]
        text = _INPUTS[fields[0]] if name == "input" and is_cell else _text(name, *fields)
        texts.append(concat if name == "concat" else text)
    colours = [_COLOURS[_NAMES[op]] for op, *_ in nodes]
    return _Sketch(texts, colours, [(int(a), int(b)) for a, b in graph.edges], graph.order())


def _of_net(net: _core.Net) -> _Sketch:
    place: dict[int, int] = {}  # of a row, or of what it only changes number by number
    texts: list[str] = []
    colours: list[str] = []
    edges: list[tuple[int, int]] = []
    for i, (row, inputs) in enumerate(zip(net.rows, net.inputs, strict=True)):
        name = _NAMES[int(row[0])]
        if name in _SILENT and len(inputs) == 1:
            place[i] = place[inputs[0]]
            continue
        place[i] = len(texts)
        edges += [(place[j], place[i]) for j in inputs]
        texts.append(_row_text(row))
        colours.append(_COLOURS.get(_FAMILY.sub("", name), _COLOURS["identity"]))
    return _Sketch(texts, colours, edges, range(len(texts)))


def _row_text(row: Any) -> str:
    op, kernel, wide, stride, dilation, _, channels, *_ = map(int, row)
    name = _FAMILY.sub("", _NAMES[op])
    if name in ("dropout", "flatten", "drop_path", "pad"):
        return name.replace("_", " ")
    if name in ("linear", "input"):
        return f"{name}, {channels}"
    text = _text(name, kernel, stride, dilation)
    if wide != kernel and name != "conv_pair":
        text = text.replace(f"{kernel}x{kernel}", f"{kernel}x{wide}")
    return f"{text}, {channels}" if "conv" in name or name == "stem" else text


def _draw(axes: Axes, sketch: _Sketch, routes: Routes) -> None:
    for (a, b), route in routes.items():
        if a != b:
            _line(axes, route, list(sketch.edges).count((a, b)))
    for node, (text, colour) in enumerate(zip(sketch.texts, sketch.colours, strict=True)):
        _box(axes, routes[node, node][0], text, colour)


def _text(name: str, kernel: int, stride: int, dilation: int) -> str:
    """Such as "sep conv 5x5 /2": the operation, its kernel, its stride where that is not 1."""
    if name == "conv_pair":
        text = f"conv 1x{kernel} {kernel}x1"
    else:
        text = ("dil " if dilation > 1 else "") + name.replace("_", " ")
        text += f" {kernel}x{kernel}" if kernel else ""
    return text + (f" /{stride}" if stride > 1 else "")


def _extent(routes: Routes) -> tuple[float, float, float]:
    """The least and the largest x, with a margin, and the largest y."""
    points = [point for route in routes.values() for point in route]
    xs = [x for x, _ in points]
    return min(xs) - 1, max(xs) + 1, max(y for _, y in points)


def _layout(graph: _core.Graph | _Sketch) -> Routes:
    """The way of every edge (a, b) as points, and the place of every node a under (a, a).

    A node's row is the longest way to it from the input. An edge that passes rows gets a column
    of its own in each, so that it runs between the boxes. Columns follow those that feed them.
    """
    order, edges = graph.order(), [(int(a), int(b)) for a, b in graph.edges]
    row: dict[int, int] = {}
    for node in order:
        row[node] = 1 + max((row[a] for a, b in edges if b == node), default=-1)
    ways = [(n, n) for n in order] + sorted(set(edges))
    column: dict[tuple[int, int, int], float] = {}  # of a way in a row
    for r in range(max(row.values()) + 1):
        feeds: dict[tuple[int, int, int], list[float]] = {}
        for a, b in ways:
            if a == b and row[a] == r:
                came = [
                    (e, n, r - 1) if row[e] < r - 1 else (e, e, r - 1) for e, n in edges if n == a
                ]
                feeds[a, a, r] = [column[c] for c in came]
            elif row[a] < r < row[b]:
                feeds[a, b, r] = [column[(a, b, r - 1) if row[a] < r - 1 else (a, a, r - 1)]]
        ranked = sorted(feeds, key=lambda way: (sum(feeds[way]) / max(len(feeds[way]), 1), way))
        for i, way in enumerate(ranked):
            column[way] = _APART * (i - (len(ranked) - 1) / 2)
    place = {n: (column[n, n, row[n]], float(row[n])) for n in order}
    return {
        (a, b): [
            place[a],
            *((column[a, b, r], float(r)) for r in range(row[a] + 1, row[b])),
            place[b],
        ]
        for a, b in ways
    }


def _line(axes: Axes, route: list[Point], times: int) -> None:
    """A smooth line down the `route`, its arrow at the last box; a double edge is drawn thick."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    half = _BOX[1] / 2
    # Straight down beside the boxes that it passes.
    passed = [(x, y + side) for x, y in route[1:-1] for side in (-half, half)]
    route = [(route[0][0], route[0][1] + half), *passed, (route[-1][0], route[-1][1] - half)]
    vertices, codes = [route[0]], [Curve.MOVETO]
    for (x0, y0), (x1, y1) in pairwise(route):
        middle = (y0 + y1) / 2
        vertices += [(x0, middle), (x1, middle), (x1, y1)]
        codes += [Curve.CURVE4] * 3
    axes.add_patch(
        FancyArrowPatch(
            path=Curve(vertices, codes),
            arrowstyle="-|>",
            mutation_scale=10,
            color="#555555",
            linewidth=1.2 * times,
        )
    )


def _box(axes: Axes, centre: Point, text: str, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (centre[0] - _BOX[0] / 2, centre[1] - _BOX[1] / 2)
    axes.add_patch(
        FancyBboxPatch(
            corner, *_BOX, boxstyle="round,pad=0,rounding_size=0.1", fc=colour, ec="#555555"
        )
    )
    axes.text(*centre, text, ha="center", va="center", fontsize=9, color="#1a1a1a")
