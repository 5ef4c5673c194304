"""The canonical hash is exact: networkx's verdicts, a published count, and time."""

from __future__ import annotations

import itertools
import time

import networkx as nx
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph_kit import (
    Code,
    code_of,
    isomorphic,
    mutated,
    near_symmetric,
    networkx_of,
    random_code,
    relabelled,
    strongly_regular,
    used_matrices,
)
from nascore import _core

seeds = st.integers(0, 2**32 - 1)


def as_networkx(graph: _core.Graph) -> nx.MultiDiGraph:
    return networkx_of(map(tuple, graph.nodes.tolist()), graph.edges.tolist())


def cleaned(code: Code) -> _core.Graph:
    return _core.Graph.from_nsc(code).clean()


def test_hash_agrees_with_networkx_on_small_random_blocks() -> None:
    """Plain VF2 on labels alone: nothing of ours prepares its verdict."""
    rng = np.random.default_rng(0)
    verdicts = []
    for _ in range(6_000):
        code = random_code(rng, int(rng.integers(3, 9)))
        graph = cleaned(code)
        for other in (relabelled(code, rng), relabelled(mutated(code, rng), rng)):
            same = nx.is_isomorphic(
                as_networkx(graph),
                as_networkx(cleaned(other)),
                node_match=lambda a, b: a["label"] == b["label"],
            )
            assert (graph.hash() == cleaned(other).hash()) == same, _core.nsc_print(code)
            verdicts.append(same)
    assert 7_000 < sum(verdicts) < 11_000  # both verdicts are well represented


def test_hash_agrees_with_networkx_on_large_random_blocks() -> None:
    rng = np.random.default_rng(1)
    for _ in range(1_500):
        code = random_code(rng, int(rng.integers(9, 24)))
        assert_same_verdict(code, relabelled(code, rng))
        assert_same_verdict(code, relabelled(mutated(code, rng), rng))


@pytest.mark.parametrize("group", near_symmetric())
def test_hash_agrees_with_networkx_on_near_symmetric_blocks(group: str) -> None:
    rng = np.random.default_rng(2)
    codes = near_symmetric()[group]
    for one, other in itertools.combinations_with_replacement(codes, 2):
        assert_same_verdict(one, relabelled(other, rng))
    for code in codes:
        for _ in range(20):
            assert_same_verdict(mutated(code, rng), relabelled(mutated(code, rng), rng))


def assert_same_verdict(one: Code, other: Code) -> None:
    graphs = [cleaned(one), cleaned(other)]
    same = isomorphic(*map(as_networkx, graphs))
    assert (graphs[0].hash() == graphs[1].hash()) == same, (
        _core.nsc_print(one),
        _core.nsc_print(other),
    )


def test_graph_hash_agrees_with_networkx_on_multigraphs() -> None:
    """Up to three edges between two nodes, nodes in any order between input and output."""
    rng = np.random.default_rng(3)
    n, size = 3_000, 6
    labels = np.zeros((n, 3, size), np.int16)
    adjacency = np.zeros((n, 3, size, size), np.uint8)
    for item in range(n):
        edges = np.triu(rng.integers(0, 4, (size, size)) * (rng.random((size, size)) < 0.5), 1)
        inner = rng.integers(-1, 2, size)
        changed = edges.copy()
        row, column = sorted(rng.choice(size, 2, replace=False))
        changed[row, column] = rng.integers(0, 4)
        for version, matrix in enumerate((edges, edges, changed)):
            order = np.r_[0, 1 + rng.permutation(size - 2), size - 1]
            labels[item, version] = inner[order]
            adjacency[item, version] = matrix[np.ix_(order, order)]
    hashes = _core.graph_hash(
        labels.reshape(-1, size), np.ascontiguousarray(adjacency.reshape(-1, size, size))
    ).reshape(n, 3, 2)
    for item in range(n):
        graphs = []
        for version in range(3):
            named = [("in", 0), *(("inner", x) for x in labels[item, version, 1:-1]), ("out", 0)]
            matrix = adjacency[item, version]
            edges = [
                pair
                for pair in itertools.product(range(size), repeat=2)
                for _ in range(matrix[pair])
            ]
            graphs.append(networkx_of(named, edges))
        for other in (1, 2):
            same = nx.is_isomorphic(
                graphs[0], graphs[other], node_match=lambda a, b: a["label"] == b["label"]
            )
            assert same or other == 2
            assert (hashes[item, 0] == hashes[item, other]).all() == same


def test_strongly_regular_graphs_are_told_apart() -> None:
    """The hardest of their size: in them refinement alone sees nothing at all."""
    rng = np.random.default_rng(5)
    found = {}
    for name, graph in strongly_regular().items():
        neighbours = nx.to_numpy_array(graph, dtype=np.uint8)
        n = len(neighbours)
        # Two nodes for a vertex, joined twice; the first reads the input, the second is read.
        matrix = np.zeros((2 * n + 2, 2 * n + 2), np.uint8)
        matrix[0, 1 : n + 1] = matrix[n + 1 : -1, -1] = 1
        matrix[1 : n + 1, n + 1 : -1] = neighbours + 2 * np.eye(n, dtype=np.uint8)
        orders = [np.r_[0, 1 + rng.permutation(2 * n), 2 * n + 1] for _ in range(30)]
        adjacency = np.stack([matrix[np.ix_(order, order)] for order in orders])
        hashes = _core.graph_hash(np.zeros((30, 2 * n + 2), np.int16), adjacency)
        assert (hashes == hashes[0]).all(), name
        found[name] = tuple(hashes[0].tolist())
    assert len(set(found.values())) == 6


@pytest.mark.parametrize(
    ("size", "distinct"), [(2, 1), (3, 6), (4, 84), (5, 2_441), (6, 62_010), (7, 359_082)]
)
def test_nas_bench_101_has_423624_cells(size: int, distinct: int) -> None:
    """Ying et al. (2019) count 423,624 cells of at most 7 nodes, 9 edges and 3 operations."""
    matrices = used_matrices(size, max_edges=9)
    found: npt.NDArray[np.uint64] = np.zeros((0, 2), np.uint64)
    for operations in itertools.product((1, 2, 3), repeat=size - 2):
        labels = np.tile(np.array([0, *operations, 4], np.int16), (len(matrices), 1))
        found = np.concatenate([found, _core.graph_hash(labels, matrices)])
    words = np.ascontiguousarray(found).view("u8,u8").ravel()
    assert len(np.unique(words)) == distinct


@given(seeds, st.integers(1, 23))
def test_relabelling_never_changes_the_hash(seed: int, layers: int) -> None:
    rng = np.random.default_rng(seed)
    code = random_code(rng, layers)
    other = relabelled(code, rng)
    assert cleaned(code).hash() == cleaned(other).hash()
    assert _core.Graph.from_nsc(code).hash() == _core.Graph.from_nsc(other).hash()


@given(seeds, st.integers(1, 23))
def test_batches_hash_like_single_graphs(seed: int, layers: int) -> None:
    code = random_code(np.random.default_rng(seed), layers)
    padded = np.zeros((2, 24, 5), np.int16)
    padded[1, :layers] = code
    empty, block = (f"{high:016x}{low:016x}" for high, low in _core.nsc_hash(padded).tolist())
    assert block == cleaned(code).hash()
    assert empty == cleaned(code_of([(4, 0, 0, 0)])).hash()  # nothing but the input


def test_every_block_is_hashed_within_a_millisecond() -> None:
    rng = np.random.default_rng(4)
    symmetric = [code for group in near_symmetric().values() for code in group]
    for code in [*symmetric, *(random_code(rng, 23) for _ in range(100))]:
        graph = cleaned(relabelled(code, rng))
        assert min(seconds_of_hash(graph) for _ in range(5)) < 1e-3, _core.nsc_print(code)


def seconds_of_hash(graph: _core.Graph) -> float:
    start = time.perf_counter()
    graph.hash()
    return time.perf_counter() - start


def test_the_hash_is_the_same_in_every_version() -> None:
    """Stores and tables keep hashes; a change of the algorithm must not go unseen."""
    residual = _core.nsc_parse("[(1,4,0,0,0),(2,1,3,1,0),(3,1,3,2,0),(4,5,0,1,3),(5,7,0,0,0)]")
    assert cleaned(residual).hash() == "ca9ae2f21667ebc1816c8351ad8e8743"


def test_batches_name_the_item_that_is_wrong() -> None:
    labels = np.zeros((2, 4), np.int16)
    adjacency = np.zeros((2, 4, 4), np.uint8)
    adjacency[1, 1, 2] = adjacency[1, 2, 1] = 1
    with pytest.raises(ValueError, match="graph 1: the edges form a cycle"):
        _core.graph_hash(labels, adjacency)
    adjacency[1] = 0
    adjacency[1, 1, 0] = 1
    with pytest.raises(ValueError, match="graph 1: node 0, the input, must read nothing"):
        _core.graph_hash(labels, adjacency)
    adjacency[1] = 0
    adjacency[1, 3, 1] = 1
    with pytest.raises(ValueError, match="graph 1: the last node, the output, must be read by"):
        _core.graph_hash(labels, adjacency)
    with pytest.raises(ValueError, match=r"adjacency: expected uint8 \[2, 4, 4\], got uint8 \[2"):
        _core.graph_hash(labels, adjacency[:, :3])
    with pytest.raises(ValueError, match="V=65 must be from 2 to 64"):
        _core.graph_hash(np.zeros((1, 65), np.int16), np.zeros((1, 65, 65), np.uint8))
    bad = np.stack([code_of([(1, 3, 0, 0)]), code_of([(1, 3, 1, 0)])])
    with pytest.raises(ValueError, match="code 1, row 1: pred1=1 must be below its own index 1"):
        _core.nsc_hash(bad)
