"""A block's code in an order that does not depend on how its layers were numbered."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nascore import _core
from nascore.spaces import Architecture

_INPUT, _OUTPUT = _core.OPS["input"][0], _core.OPS["output"][0]
_IDENTITY = _core.OPS["identity"][0]


def canonical_rows(block: Architecture) -> npt.NDArray[np.int64]:
    """The rows `[L, 4]` (type, kernel, pred1, pred2) of a block's cleaned graph, numbered anew.

    Isomorphic blocks have the same rows: among the layers whose predecessors have their numbers,
    the next is the one of the least (type, kernel, predecessors), of equals that with the least
    surroundings, by colour refinement in both directions. An output of a layer that others read is
    an identity row, as in a code.
    """
    graph = block.graph
    if graph is None:
        raise ValueError(f"an architecture of space {block.space!r} is no block")
    nodes = graph.nodes.tolist()
    reads: list[list[int]] = [[] for _ in nodes]
    readers: list[list[int]] = [[] for _ in nodes]
    for source, target in graph.edges.tolist():
        reads[target].append(source)
        readers[source].append(target)
    colour = [hash(tuple(node)) for node in nodes]
    for _ in nodes:
        colour = [
            hash(
                (c, *sorted(colour[u] for u in reads[v]), 0, *sorted(colour[u] for u in readers[v]))
            )
            for v, c in enumerate(colour)
        ]
    number = {v: 0 for v, node in enumerate(nodes) if node[0] == _INPUT}
    waiting = {v for v, node in enumerate(nodes) if node[0] not in (_INPUT, _OUTPUT)}
    rows: list[tuple[int, ...]] = []
    while waiting:
        ready = [v for v in waiting if all(u in number for u in reads[v])]
        row, _, least = min(
            (_row(nodes[v], [number[u] for u in reads[v]]), colour[v], v) for v in ready
        )
        rows.append(row)
        number[least] = len(rows)
        waiting.remove(least)
    [end] = [v for v, node in enumerate(nodes) if node[0] == _OUTPUT]
    passed = [u for u in reads[end] if len(readers[u]) > 1 or nodes[u][0] == _INPUT]
    rows += [(_IDENTITY, 0, u, 0) for u in sorted(number[u] for u in passed)]
    return np.array(rows, np.int64).reshape(-1, 4)


def _row(node: list[int], preds: list[int]) -> tuple[int, ...]:
    return node[0], node[1], *sorted(preds), *(0,) * (2 - len(preds))
