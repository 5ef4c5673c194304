"""Cells as in NAS-Bench-101, hashed and compared, beside nasbench_pytorch and rustworkx."""

from __future__ import annotations

import sys
from pathlib import Path

import networkx as nx
import numpy as np
import numpy.typing as npt
import pytest
import rustworkx as rx
from nasbench_pytorch.model import ModelSpec
from nasbench_pytorch.model.graph_util import hash_module

from nascore import _core
from side_by_side import Compare, Route

sys.path.append(str(Path(__file__).parents[2] / "tests"))
from graph_kit import used_matrices

OPS = ["conv1x1-bn-relu", "conv3x3-bn-relu", "maxpool3x3"]
FEW = 300
Cells = tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]  # [n, 7] and [n, 7, 7]


@pytest.fixture(scope="module")
def cells() -> Cells:
    """Of every two neighbours the second is the first with two steps swapped, where it may be."""
    rng = np.random.default_rng(0)
    matrices = used_matrices(size=7, max_edges=9)
    adjacency = matrices[rng.integers(len(matrices), size=100_000)]
    labels = rng.integers(1, 4, adjacency.shape[:2], np.int16)
    for i in range(0, len(labels), 2):
        order = np.arange(7)
        at = rng.integers(1, 5)
        if not adjacency[i, at, at + 1]:
            order[[at, at + 1]] = at + 1, at
        labels[i + 1], adjacency[i + 1] = labels[i, order], adjacency[i][order][:, order]
    return labels, adjacency


def named(labels: npt.NDArray[np.int16]) -> list[str]:
    return ["input", *(OPS[i - 1] for i in labels[1:-1]), "output"]


def equal(hashes: list[object]) -> list[bool]:
    return [hashes[i] == hashes[j] for i in range(len(hashes)) for j in range(i)]


def hash_by_nasbench(matrix: npt.NDArray[np.uint8], ops: list[str]) -> str:
    """What `ModelSpec.hash_spec` does, which gives NumPy a tensor that it no longer takes."""
    spec = ModelSpec(matrix, ops)
    return hash_module(spec.matrix.numpy(), [-1, *map(OPS.index, spec.ops[1:-1]), -2])


def test_hash(compare: Compare, cells: Cells) -> None:
    labels, adjacency = cells
    few = [(matrix, named(row)) for row, matrix in zip(labels[:FEW], adjacency[:FEW], strict=True)]

    def agree(ours: npt.NDArray[np.uint64], theirs: list[str]) -> None:
        assert equal(list(map(tuple, ours[:FEW].tolist()))) == equal(theirs)

    compare(
        "cells of seven nodes validated and hashed",
        "cells",
        {
            "nascore": Route(lambda: _core.graph_hash(labels, adjacency), len(labels)),
            "nasbench_pytorch": Route(lambda: [hash_by_nasbench(*cell) for cell in few], FEW),
        },
        agree,
    )


def test_isomorphism(compare: Compare, cells: Cells) -> None:
    """Theirs start from graphs that are built already."""
    labels, adjacency = cells
    rust, python = [], []
    for row, matrix in zip(labels[:FEW], adjacency[:FEW], strict=True):
        edges = np.argwhere(matrix).tolist()
        graph = rx.PyDiGraph()
        graph.add_nodes_from(named(row))
        graph.add_edges_from_no_data([tuple(edge) for edge in edges])
        rust.append(graph)
        other = nx.DiGraph(edges)
        nx.set_node_attributes(other, dict(enumerate(named(row))), "label")
        python.append(other)

    def ours() -> list[bool]:
        hashes = _core.graph_hash(labels, adjacency)
        return (hashes[::2] == hashes[1::2]).all(1)

    def by_rust() -> list[bool]:
        return [
            rx.is_isomorphic(*pair, str.__eq__) for pair in zip(rust[::2], rust[1::2], strict=True)
        ]

    def by_python() -> list[bool]:
        match = nx.algorithms.isomorphism.categorical_node_match("label", "")
        return [
            nx.is_isomorphic(*pair, match) for pair in zip(python[::2], python[1::2], strict=True)
        ]

    def agree(ours: npt.NDArray[np.bool_], *theirs: list[bool]) -> None:
        for found in theirs:
            assert ours[: FEW // 2].tolist() == found

    compare(
        "pairs of cells of seven nodes compared",
        "pairs",
        {
            "nascore": Route(ours, len(labels) // 2),
            "rustworkx": Route(by_rust, FEW // 2),
            "networkx": Route(by_python, FEW // 2),
        },
        agree,
    )
