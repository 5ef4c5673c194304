"""Hashing cells and checking block codes, from arrays to arrays."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

import networkx as nx
import numpy as np
import numpy.typing as npt
import pytest

from nascore import _core

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from graph_kit import networkx_of, random_code, used_matrices
from side_by_side import Compare, Route

Cells = tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]  # [n, V] and [n, V, V]


@pytest.fixture(scope="module")
def cells() -> Cells:
    """Random cells as in NAS-Bench-101: 7 nodes, all in use, at most 9 edges, 3 operations."""
    rng = np.random.default_rng(0)
    matrices = used_matrices(size=7, max_edges=9)
    adjacency = matrices[rng.integers(len(matrices), size=200_000)]
    return rng.integers(1, 4, adjacency.shape[:2], np.int16), adjacency


def as_networkx(labels: npt.NDArray[np.int16], matrix: npt.NDArray[np.uint8]) -> nx.MultiDiGraph:
    named = ["input", *map(str, labels[1:-1].tolist()), "output"]
    return networkx_of(named, np.argwhere(matrix).tolist())


def weisfeiler_lehman(graphs: Iterable[nx.MultiDiGraph]) -> list[str]:
    """networkx's hash of the graphs with parallel edges merged, which is all that it takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about hashes of older versions
        return [
            nx.weisfeiler_lehman_graph_hash(nx.DiGraph(graph), node_attr="label")
            for graph in graphs
        ]


def test_hash_of_cells(compare: Compare, cells: Cells) -> None:
    """Networkx's Weisfeiler-Lehman hash does not tell all cells apart."""
    labels, adjacency = cells
    few = 300

    def theirs() -> list[str]:
        pairs = zip(labels[:few], adjacency[:few], strict=True)
        return weisfeiler_lehman(as_networkx(*cell) for cell in pairs)

    def agree(ours: npt.NDArray[np.uint64], theirs: list[str]) -> None:
        graphs = [as_networkx(*cell) for cell in zip(labels[:few], adjacency[:few], strict=True)]
        for i in range(few):
            for j in range(max(0, i - 20), i):
                same = nx.is_isomorphic(
                    graphs[i], graphs[j], node_match=lambda a, b: a["label"] == b["label"]
                )
                assert (ours[i] == ours[j]).all() == same
                assert theirs[i] == theirs[j] or not same

    compare(
        "cells of seven nodes validated and hashed",
        "cells",
        {
            "nascore": Route(lambda: _core.graph_hash(labels, adjacency), len(labels)),
            "networkx, not exact": Route(theirs, few),
        },
        agree,
    )


@pytest.fixture(scope="module")
def codes() -> npt.NDArray[np.int16]:
    """Random valid blocks of 1 to 23 layers, 12 on average, `[n, 23, 5]`."""
    rng = np.random.default_rng(1)
    codes = np.zeros((20_000, 23, 5), np.int16)
    for code in codes:
        layers = rng.integers(1, 24)
        code[:layers] = random_code(rng, layers)
    return codes


def plain_valid(rows: list[list[int]]) -> bool:
    """The rules of a block code, in plain Python."""
    kernels = {1: (1, 3, 5), 2: (1, 3), 3: (1, 3), 4: (0,), 5: (0,), 6: (0,)}
    for position, (index, kind, kernel, pred1, pred2) in enumerate(rows, start=1):
        if not any((index, kind, kernel, pred1, pred2)):
            return not any(map(any, rows[position:]))
        if index != position or kernel not in kernels[kind] or not 0 <= pred1 < index:
            return False
        if (kind < 5 and pred2) or (kind >= 5 and not (0 <= pred2 < index and pred1 != pred2)):
            return False
    return True


def test_validation_of_codes(compare: Compare, codes: npt.NDArray[np.int16]) -> None:
    rng = np.random.default_rng(2)
    broken = codes[:1000].copy()
    broken[np.arange(1000), rng.integers(0, 23, 1000), rng.integers(2, 5, 1000)] += 1
    assert 0 < (_core.nsc_validate(broken) == 0).sum() < 1000
    codes = np.concatenate([broken, codes])

    def agree(ours: npt.NDArray[np.int32], theirs: list[bool]) -> None:
        assert (ours[: len(theirs)] == 0).tolist() == theirs

    compare(
        "codes of 1 to 23 layers validated",
        "codes",
        {
            "nascore": Route(lambda: _core.nsc_validate(codes), len(codes)),
            "plain Python": Route(lambda: [plain_valid(c) for c in codes[:2000].tolist()], 2000),
        },
        agree,
    )


def test_hash_of_codes(compare: Compare, codes: npt.NDArray[np.int16]) -> None:
    """Ours cleans them first; networkx starts from the cleaned graphs."""
    few = 50
    graphs = [_core.Graph.from_nsc(code).clean() for code in codes[:few]]

    def agree(ours: npt.NDArray[np.uint64], theirs: list[str]) -> None:
        expected = [graph.hash() for graph in graphs]
        assert [f"{high:016x}{low:016x}" for high, low in ours[:few].tolist()] == expected
        for i in range(few):
            assert all(theirs[i] == theirs[j] for j in range(i) if expected[i] == expected[j])

    def theirs() -> list[str]:
        return weisfeiler_lehman(
            networkx_of(map(str, graph.nodes.tolist()), graph.edges.tolist()) for graph in graphs
        )

    compare(
        "codes of 1 to 23 layers cleaned and hashed",
        "codes",
        {
            "nascore": Route(lambda: _core.nsc_hash(codes), len(codes)),
            "networkx, not exact": Route(theirs, few),
        },
        agree,
    )
