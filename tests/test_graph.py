"""The graph of a block: cleaning keeps its function, measures agree with networkx."""

from __future__ import annotations

from collections.abc import Iterator

import networkx as nx
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph_kit import Code, code_of, copies, networkx_of, random_code
from nascore import _core

seeds = st.integers(0, 2**32 - 1)


def as_networkx(graph: _core.Graph) -> nx.MultiDiGraph:
    return networkx_of(map(tuple, graph.nodes.tolist()), graph.edges.tolist())


def cleaned(code: Code) -> _core.Graph:
    return _core.Graph.from_nsc(code).clean()


def evaluate(graph: _core.Graph) -> npt.NDArray[np.float64]:
    """The output on a fixed vector; operations are functions of their label that mix channels."""
    values: dict[int, npt.NDArray[np.float64]] = {}
    for node in graph.order():
        op, kernel, _, _ = graph.nodes[node].tolist()
        inputs = [values[source] for source in sources(graph, node) if source in values]
        if op == 0:
            values[node] = np.linspace(0.3, 1.7, 4)
        elif inputs:
            values[node] = apply(op, kernel, inputs)
    return values[graph.order()[-1]]


def sources(graph: _core.Graph, node: int) -> Iterator[int]:
    return (source for source, target in graph.edges.tolist() if target == node)


def apply(op: int, kernel: int, inputs: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    name = next(name for name, (code, _, _) in _core.OPS.items() if code == op)
    if name in ("concat", "output"):
        return np.concatenate(inputs)
    if name == "add":
        widest = max(map(len, inputs))
        return np.sum([np.resize(x, widest) for x in inputs], axis=0)
    (x,) = inputs
    if name == "conv":
        weight = np.random.default_rng([kernel, len(x)]).normal(size=(4, len(x)))
        return np.tanh(weight @ x)
    if name == "identity":
        return x
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, kernel // 2, "edge"), kernel)
    return windows.max(1) if name == "max_pool" else windows.mean(1)


@given(seeds, st.integers(1, 12))
def test_cleaning_keeps_the_function_and_is_done_once(seed: int, layers: int) -> None:
    graph = _core.Graph.from_nsc(random_code(np.random.default_rng(seed), layers))
    once = graph.clean()
    np.testing.assert_allclose(evaluate(once), evaluate(graph), rtol=1e-12)
    twice = once.clean()
    np.testing.assert_array_equal(twice.nodes, once.nodes)
    np.testing.assert_array_equal(twice.edges, once.edges)
    assert all(_core.OPS["identity"][0] != op for op in once.nodes[:, 0])
    assert once.order() == list(range(len(once.nodes)))


@given(seeds, st.integers(1, 12))
def test_cleaning_drops_what_feeds_nothing(seed: int, layers: int) -> None:
    """Without its edges to the output, all but one, a block has dead layers."""
    graph = _core.Graph.from_nsc(random_code(np.random.default_rng(seed), layers))
    output = len(graph.nodes) - 1
    leaves = np.flatnonzero(graph.edges[:, 1] == output)
    pruned = _core.Graph.from_arrays(graph.nodes, np.delete(graph.edges, leaves[1:], axis=0))
    once = pruned.clean()
    np.testing.assert_allclose(evaluate(once), evaluate(pruned), rtol=1e-12)
    assert nx.ancestors(as_networkx(once), len(once.nodes) - 1) | {len(once.nodes) - 1} == set(
        range(len(once.nodes))
    )


def test_no_ops_leave_double_edges() -> None:
    twice = cleaned(code_of([(1, 3, 0, 0), (4, 0, 1, 0), (2, 1, 1, 0), (5, 0, 2, 3)]))
    assert twice.edges.tolist() == [[0, 1], [1, 2], [1, 2], [2, 3]]
    once = cleaned(code_of([(1, 3, 0, 0), (4, 0, 1, 0), (5, 0, 0, 2)]))
    assert once.edges.tolist() == [[0, 1], [0, 2], [1, 2], [2, 3]]


def test_leaves_are_concatenated() -> None:
    graph = _core.Graph.from_nsc(code_of([(1, 3, 0, 0), (1, 5, 0, 0), (2, 3, 1, 0)]))
    assert graph.edges.tolist() == [[0, 1], [0, 2], [1, 3], [2, 4], [3, 4]]


def test_density_counts_the_edges_from_the_input() -> None:
    """A chain of 4 has 4/4; counting edges between layers alone would give 3/4."""
    chain = cleaned(copies([(1, 3, step, 0) for step in range(4)], 1))
    assert (chain.layers(), chain.density(), chain.longest_path()) == (4, 1.0, 4)
    nothing = cleaned(code_of([(4, 0, 0, 0)]))
    assert (nothing.layers(), nothing.density(), nothing.longest_path()) == (0, 0.0, 0)


@given(seeds, st.integers(1, 23))
def test_measures_agree_with_networkx(seed: int, layers: int) -> None:
    graph = cleaned(random_code(np.random.default_rng(seed), layers))
    peer = as_networkx(graph)
    output = len(graph.nodes) - 1
    assert graph.layers() == len(peer) - 2
    assert graph.longest_path() == max(nx.dag_longest_path_length(peer) - 1, 0)
    if graph.layers():
        edges = peer.number_of_edges() - peer.in_degree(output)
        assert graph.density() == pytest.approx(edges / graph.layers())
    assert graph.order() == list(nx.lexicographical_topological_sort(peer))


@pytest.mark.parametrize(
    ("nodes", "edges", "message"),
    [
        ([[0, 0, 1, 1], [8, 0, 1, 1]], [[0, 2]], "edge 0: node 2 must be below the number of"),
        ([[0, 0, 1, 1], [8, 0, 1, 1]], [[0, -1]], "edge 0: to=-1 must be from 0 to 255"),
        ([[0, 0, 1, 1], [99, 0, 1, 1]], [[0, 1]], "node 1: op=99 is not an operation of a graph"),
        ([[0, 0, 1, 1], [1, 256, 1, 1]], [[0, 1]], "node 1: kernel=256 must be from 0 to 255"),
        ([[0, 0, 1, 1]], [[0, 0]], "edge 0: node 0 is an input, which reads nothing"),
        ([[0, 0, 1, 1]] * 70, [[0, 1]], "a graph has at most 64 nodes"),
        ([[0, 0]], [[0, 1]], r"nodes: expected int32 \[V, 4\], got int32 \[1, 2\]"),
    ],
)
def test_from_arrays_names_what_is_wrong(
    nodes: list[list[int]], edges: list[list[int]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        _core.Graph.from_arrays(np.array(nodes, np.int32), np.array(edges, np.int32))
