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
}
_NAMES = {code: name for name, (code, *_) in _core.OPS.items()}
_BOX = (1.3, 0.5)  # width and height of a box; rows are 1 apart
_APART = 1.5  # columns

Point = tuple[float, float]


def draw(architecture: Architecture, path: str | Path) -> None:
    """Draw a block's graph, without what does nothing in it, to a PNG, SVG or PDF file.

    Raises ValueError for an architecture without a graph, ImportError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("drawings need matplotlib: pip install 'nascore[report]'") from error
    graph = architecture.graph
    if graph is None:
        raise ValueError(f"an architecture of the {architecture.space} space has no graph to draw")
    edges = [(int(a), int(b)) for a, b in graph.edges]
    routes = _layout(graph.order(), edges)
    points = [point for route in routes.values() for point in route]
    left, right = min(x for x, _ in points) - 1, max(x for x, _ in points) + 1
    bottom = max(y for _, y in points)
    figure = Figure(figsize=(right - left, 0.75 * (bottom + 1)), layout="constrained")
    axes = figure.add_subplot(xlim=(left, right), ylim=(bottom + 0.5, -0.5))
    axes.axis("off")
    for (a, b), route in routes.items():
        if a != b:
            _line(axes, route, edges.count((a, b)))
    for node, (op, kernel, *_) in enumerate(graph.nodes):
        name = _NAMES[int(op)]
        size = f" {kernel}x{kernel}" if kernel else ""
        _box(axes, routes[node, node][0], name.replace("_", " ") + size, _COLOURS[name])
    figure.savefig(path, dpi=150)


def _layout(order: list[int], edges: list[tuple[int, int]]) -> dict[tuple[int, int], list[Point]]:
    """The way of every edge (a, b) as points, and the place of every node a under (a, a).

    A node's row is the longest way to it from the input. An edge that passes rows gets a column
    of its own in each, so that it runs between the boxes. Columns follow those that feed them.
    """
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
    route = [(route[0][0], route[0][1] + half), *route[1:-1], (route[-1][0], route[-1][1] - half)]
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
