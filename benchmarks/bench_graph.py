"""Rates of hashing cells and of checking block codes, on one thread, from arrays to arrays.

Each benchmark first checks its results against its peer's, then times both in turn.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
import pytest

from nascore import _core

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from graph_kit import networkx_of, random_code, used_matrices

Cells = tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]  # [n, V] and [n, V, V]


def compare(
    benchmark: Any,
    ours: Callable[[], Any],
    items: int,
    peer: Callable[[], Any],
    peer_items: int,
    unit: str,
    peer_name: str,
) -> None:
    """Times ours and the peer's in turn; prints the medians as rates, and their ratio."""
    peer_seconds = []

    def peer_round() -> None:
        start = time.perf_counter()
        peer()
        peer_seconds.append(time.perf_counter() - start)

    benchmark.pedantic(ours, setup=peer_round, rounds=11)
    rate = items / benchmark.stats.stats.median
    peer_rate = peer_items / statistics.median(peer_seconds)
    benchmark.extra_info.update({f"{unit}_per_s": rate, f"{peer_name} {unit}_per_s": peer_rate})
    print(f"\n{unit}: {rate:,.0f}/s; {peer_name} {peer_rate:,.0f}/s; ratio {rate / peer_rate:,.0f}")


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


def weisfeiler_lehman(graphs: Iterable[nx.MultiDiGraph]) -> None:
    """networkx's hash of the graphs with parallel edges merged, which is all that it takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about hashes of older versions
        for graph in graphs:
            nx.weisfeiler_lehman_graph_hash(nx.DiGraph(graph), node_attr="label")


def test_hash_of_cells(benchmark: Any, cells: Cells) -> None:
    """The peer is networkx's Weisfeiler-Lehman hash, which does not tell all cells apart."""
    labels, adjacency = cells
    few = 300
    hashes = _core.graph_hash(labels[:few], adjacency[:few])
    graphs = [as_networkx(*cell) for cell in zip(labels[:few], adjacency[:few], strict=True)]
    for i in range(few):
        for j in range(max(0, i - 20), i):
            same = nx.is_isomorphic(
                graphs[i], graphs[j], node_match=lambda a, b: a["label"] == b["label"]
            )
            assert (hashes[i] == hashes[j]).all() == same

    def peer() -> None:
        weisfeiler_lehman(
            as_networkx(*cell) for cell in zip(labels[:few], adjacency[:few], strict=True)
        )

    name = "seven-node cells validated and hashed"
    ours = lambda: _core.graph_hash(labels, adjacency)  # noqa: E731
    compare(benchmark, ours, len(labels), peer, few, name, "networkx (WL, not exact)")


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


def test_validation_of_codes(benchmark: Any, codes: npt.NDArray[np.int16]) -> None:
    rng = np.random.default_rng(2)
    broken = codes[:1000].copy()
    broken[np.arange(1000), rng.integers(0, 23, 1000), rng.integers(2, 5, 1000)] += 1
    for some in (codes[:1000], broken):
        expected = [plain_valid(rows) for rows in some.tolist()]
        assert (_core.nsc_validate(some) == 0).tolist() == expected
    assert not (_core.nsc_validate(broken) == 0).all()

    def peer() -> None:
        for rows in codes[:200].tolist():
            plain_valid(rows)

    name = "codes of 1 to 23 layers validated"
    ours = lambda: _core.nsc_validate(codes)  # noqa: E731
    compare(benchmark, ours, len(codes), peer, 200, name, "plain Python")


def test_hash_of_codes(benchmark: Any, codes: npt.NDArray[np.int16]) -> None:
    """Codes to graphs, cleaned and hashed; the peer starts from the cleaned graphs."""
    few = 50
    graphs = [_core.Graph.from_nsc(code).clean() for code in codes[:few]]
    expected = [graph.hash() for graph in graphs]
    hashes = _core.nsc_hash(codes[:few]).tolist()
    assert [f"{high:016x}{low:016x}" for high, low in hashes] == expected

    def peer() -> None:
        weisfeiler_lehman(
            networkx_of(map(str, graph.nodes.tolist()), graph.edges.tolist()) for graph in graphs
        )

    name = "codes of 1 to 23 layers hashed"
    ours = lambda: _core.nsc_hash(codes)  # noqa: E731
    compare(benchmark, ours, len(codes), peer, few, name, "networkx (WL, not exact)")
