"""Cells of NAS-Bench-101 from a table of adjacencies and operations."""

from __future__ import annotations

import csv
from pathlib import Path

import networkx as nx
import numpy as np

from nascore.spaces import Architecture, EdgeDagSpace

_OPERATIONS = {
    "conv1x1-bn-relu": (1, 1, 1),
    "conv3x3-bn-relu": (1, 3, 1),
    "maxpool3x3": (2, 3, 1),
    "output": (6, 0, 1),
}


def cell(adjacency: str, operations: str) -> Architecture:
    """The cell of "0110..." row by row and "input;...;output", without its dead nodes."""
    names = operations.split(";")
    n = len(names)
    graph = nx.DiGraph((i // n, i % n) for i, edge in enumerate(adjacency) if edge == "1")
    alive = (nx.descendants(graph, 0) & nx.ancestors(graph, n - 1)) | {0, n - 1}
    number = {v: i for i, v in enumerate(sorted(alive))}
    reads = {v: sorted(number[u] for u in graph.predecessors(v) if u in alive) for v in alive}
    code = [(*_OPERATIONS[names[v]], *reads[v]) for v in sorted(alive) if v]
    return EdgeDagSpace().architecture(code)


def read_cells(path: Path) -> tuple[list[Architecture], dict[str, np.ndarray]]:
    """The cells of a table, and its columns `params`, `flops` and `val_accuracy`."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    cells = [cell(row["adjacency_7x7_rowmajor"], row["node_ops"]) for row in rows]
    columns = ("params", "flops", "val_accuracy")
    return cells, {name: np.array([float(row[name]) for row in rows]) for name in columns}
