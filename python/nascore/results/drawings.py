"""An architecture as a picture: data flows down, colours are operations."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from nascore import _core
from nascore.spaces import Architecture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
}
_INPUTS = ("$h_i$", "$h_{i-1}$")  # of a cell, by their kernels
_TITLES = ("Normal cell", "Reduction cell")
_NAMES = {code: name for name, (code, *_) in _core.OPS.items()}
_BOX = (1.3, 0.5)  # width and height of a box; rows are 1 apart
_APART = 1.5  # columns

Point = tuple[float, float]
Routes = dict[tuple[int, int], list[Point]]


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
    graphs = architecture.graphs
    if not graphs:
        raise ValueError(f"an architecture of the {architecture.space} space has no graph to draw")
    routes = [_layout(graph) for graph in graphs]
    extents = [_extent(ways) for ways in routes]
    left, right = min(low for low, *_ in extents), max(high for _, high, _ in extents)
    heights = [bottom + 1 for *_, bottom in extents]
    titled = len(graphs) > 1
    size = (right - left, 0.75 * sum(heights) + 0.4 * titled * len(graphs))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(graphs), squeeze=False, height_ratios=heights)[:, 0]
    for i, (graph, axes) in enumerate(zip(graphs, panels, strict=True)):
        axes.set(xlim=(left, right), ylim=(heights[i] - 0.5, -0.5))
        axes.axis("off")
        if titled:
            axes.set_title(_TITLES[i] if architecture.space == "cell" else f"Cell {i + 1}")
        _draw(axes, graph, routes[i], "exits" if architecture.space == "anytime" else "concat")
    figure.savefig(path, dpi=150)


def _draw(axes: Axes, graph: _core.Graph, routes: Routes, concat: str) -> None:
    edges = graph.edges.tolist()
    for (a, b), route in routes.items():
        if a != b:
            _line(axes, route, edges.count([a, b]))
    is_cell = sum(_NAMES[op] == "input" for op, *_ in graph.nodes.tolist()) > 1
    for node, fields in enumerate(graph.nodes.tolist()):
        name = _NAMES[fields[0]]
        text = _INPUTS[fields[1]] if name == "input" and is_cell else _text(name, *fields[1:])
        text = concat if name == "concat" else text
        _box(axes, routes[node, node][0], text, _COLOURS[name])


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


def _layout(graph: _core.Graph) -> Routes:
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
    axes.text(*centre, text, ha="center", va="center", fontsize=9)
