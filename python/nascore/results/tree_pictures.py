"""A search tree, of which the most visited nodes are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from nascore.results.agent_pictures import ACCENT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Integers = npt.NDArray[np.int64]


class Nodes(NamedTuple):
    """Nodes of a tree, parents before their children; the root is the first, its own parent."""

    number: Integers  # in the whole tree, [n]
    parent: Integers  # the place in these arrays, [n]
    depth: Integers  # [n]
    action: Integers  # [n]
    visits: Integers  # [n]
    value: npt.NDArray[np.float64]  # the mean, [n]


def most_visited(
    action: Integers,
    children: Integers,
    first: Integers,
    visits: Integers,
    total: npt.NDArray[np.float64],
    most: int = 60,
    keep: Sequence[int] = (),
) -> Nodes:
    """Up to `most` nodes of a tree whose node i has the children `first[i]` and on.

    No node is without its parent. Those on the way `keep` of actions from the root come first.
    """
    frontier = [(0, 0, 0, True)]  # number, place of the parent, depth, on the way
    found: list[tuple[int, int, int]] = []
    while frontier and len(found) < most:
        chosen = max(frontier, key=lambda node: (node[3], visits[node[0]], -node[2], -node[0]))
        frontier.remove(chosen)
        number, parent, depth, on_way = chosen
        found.append((number, parent, depth))
        for child in range(first[number], first[number] + children[number]):
            if visits[child]:
                leads = on_way and depth < len(keep) and action[child] == keep[depth]
                frontier.append((child, len(found) - 1, depth + 1, bool(leads)))
    numbers, parents, depths = np.array(found, np.int64).T
    value = total[numbers] / np.maximum(visits[numbers], 1)
    return Nodes(numbers, parents, depths, action[numbers], visits[numbers], value)


def places(nodes: Nodes) -> npt.NDArray[np.float64]:
    """Where each node is drawn, across, `[n]`: leaves side by side, parents above their middle."""
    below: list[list[int]] = [[] for _ in nodes.number]
    for i, parent in enumerate(nodes.parent[1:].tolist(), 1):
        below[parent].append(i)
    across = np.zeros(len(below))
    leaves = 0

    def place(i: int) -> None:
        nonlocal leaves
        for child in sorted(below[i], key=lambda j: nodes.action[j]):
            place(child)
        if below[i]:
            across[i] = across[below[i]].mean()
        else:
            across[i], leaves = leaves, leaves + 1

    place(0)
    return across


def draw_tree(
    figure: Figure, nodes: Nodes, way: Sequence[int], names: Mapping[int, str], label: str
) -> None:
    """Nodes by visits (size) and mean value (colour), the `way` to the best marked and named.

    `way` and `names` are of places in the arrays; `label` says what a value is.
    """
    axes = figure.subplots()
    across, down = places(nodes), nodes.depth
    marked = set(way)
    for i, parent in enumerate(nodes.parent.tolist()):
        if i:
            on = i in marked
            axes.plot(
                across[[parent, i]],
                down[[parent, i]],
                color=ACCENT if on else "#909090",
                linewidth=2.5 if on else 0.7,
                zorder=1,
            )
    share = nodes.visits / max(1, nodes.visits.max())
    dots = axes.scatter(
        across,
        down,
        s=15 + 285 * np.sqrt(share),
        c=nodes.value,
        cmap="viridis",
        edgecolors=[ACCENT if i in marked else "#909090" for i in range(len(across))],
        linewidths=[2.0 if i in marked else 0.5 for i in range(len(across))],
        zorder=2,
    )
    for i, name in names.items():
        axes.annotate(
            name,
            (across[i], down[i]),
            xytext=(9, -2),
            textcoords="offset points",
            fontsize=8,
            va="top",
            fontweight="bold",
        )
    axes.invert_yaxis()
    axes.margins(0.06, 0.12)
    axes.set_yticks(range(int(down.max()) + 1))
    axes.set_xticks([])
    axes.set_ylabel("decisions made")
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    figure.colorbar(dots, ax=axes, label=label)
