"""Blocks drawn as graphs: NAS-Bench-101's actions, and blocks of summing nodes."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import space_kit
from nascore import _core, tasks
from nascore.evaluators import TrainEvaluator
from nascore.networks import Recipe
from nascore.spaces import Architecture, EdgeDagSpace, Skeleton, SumDagSpace
from nascore.trial import Job

CONV1, CONV3, POOL = (1, 1, 1), (1, 3, 1), (2, 3, 1)
CONCAT, ADD = (6, 0, 1), (5, 0, 1)
TERMINATE, NODE, EDGE = 0, 1, 4  # the first action of each kind, with three operations


def edge(i: int, j: int) -> int:
    return EDGE + j * (j - 1) // 2 + i


def after(space, actions) -> np.ndarray:
    state = space.start(1)
    for action in actions:
        state = space.step(state, np.array([action], np.int32))
    return state


def legal(space, actions) -> list[int]:
    return np.flatnonzero(space.legal(after(space, actions))[0]).tolist()


def test_the_root_has_no_edge() -> None:
    for erasing in (False, True):
        assert not EdgeDagSpace(erasing=erasing).start(1).any()


def test_a_new_node_erases_all_edges() -> None:
    space = EdgeDagSpace(erasing=True)
    state = after(space, [NODE, edge(0, 1), edge(1, 2), NODE + 2])
    assert state[0].tolist() == [1, 3, *[0] * 25]
    assert legal(EdgeDagSpace(), [NODE, edge(0, 1)])[0] > NODE + 2  # else no node comes after


def test_only_pairs_within_the_graph_are_edges() -> None:
    """With n nodes, input and output included, i < j < n."""
    space = EdgeDagSpace(erasing=True)
    for n in range(2, 8):
        found = [a for a in legal(space, [NODE] * (n - 2)) if a >= EDGE]
        assert found == [edge(i, j) for j in range(n) for i in range(j)]


@pytest.mark.parametrize("erasing", [False, True])
def test_there_are_seven_nodes_and_nine_edges_at_most(erasing) -> None:
    space = EdgeDagSpace(erasing=erasing)
    most = 0
    for state in space_kit.random_walk(space, 500, seed=1):
        assert (state[:, 5:26].sum(1) <= 9).all()
        most = max(most, int(state[:, 5:26].sum(1).max()))
    assert most == 9
    assert not {NODE, NODE + 1, NODE + 2} & set(legal(space, [NODE] * 5))
    nine = [NODE] * 5 + [edge(i, j) for j in (4, 5, 6) for i in range(3)]
    assert legal(space, nine) == [TERMINATE]


def test_terminate_closes_the_state() -> None:
    space = EdgeDagSpace(erasing=True)
    state = after(space, [NODE + 1, edge(0, 1), edge(1, 2), TERMINATE])
    assert space.done(state).all()
    assert not space.legal(state).any()
    [cell] = space.decode(state)
    assert cell.code == ((*CONV3, 0), (*CONCAT, 1))
    assert (EdgeDagSpace().max_steps, space.max_steps) == (15, 43)


def connected(n: int, edges: set[tuple[int, int]]) -> bool:
    graph = nx.DiGraph(list(edges))
    graph.add_nodes_from(range(n))
    return nx.has_path(graph, 0, n - 1)


def test_every_connected_graph_and_no_other_has_a_walk() -> None:
    space = EdgeDagSpace(4, 3, (("conv", 1), ("max_pool", 3)))
    found = set()
    fringe = space.start(1)
    while len(fringe):
        done = space.done(fringe)
        found |= {cell.code for cell in space.decode(fringe[done])}
        rows, actions = np.nonzero(space.legal(fringe))
        fringe = np.unique(space.step(fringe[rows], actions.astype(np.int32)), axis=0)
    expected = set()
    for n in (2, 3, 4):
        pairs = list(itertools.combinations(range(n), 2))
        for size in range(1, 4):
            for chosen in itertools.combinations(pairs, size):
                if connected(n, set(chosen)):
                    for ops in itertools.product((CONV1, POOL), repeat=n - 2):
                        reads = [tuple(i for i, k in chosen if k == j) for j in range(1, n)]
                        rows = zip((*ops, CONCAT), reads, strict=True)
                        expected.add(tuple((*op, *read) for op, read in rows))
    assert found == expected


def labelled(cell: Architecture) -> nx.DiGraph:
    """The nodes on a way from input to output, with their operations."""
    graph = nx.DiGraph()
    last = len(cell.code)
    graph.add_nodes_from([(0, {"op": "in"})])
    for v, row in enumerate(cell.code, 1):
        graph.add_node(v, op="out" if v == last else row[:3])
        graph.add_edges_from((u, v) for u in row[3:])
    alive = nx.descendants(graph, 0) & nx.ancestors(graph, last)
    return graph.subgraph(alive | {0, last})


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equal_hashes_are_isomorphic_cells(seed) -> None:
    space = EdgeDagSpace(5, 5, (("conv", 1), ("conv", 3)))
    cells = space.decode(space_kit.random_walk(space, 40, seed)[-1])
    graphs = [labelled(cell) for cell in cells]
    for a, b in itertools.combinations(range(len(cells)), 2):
        same = nx.is_isomorphic(graphs[a], graphs[b], node_match=lambda x, y: x["op"] == y["op"])
        assert same == (cells[a].hash == cells[b].hash)


@pytest.mark.parametrize(
    "space", [EdgeDagSpace(), EdgeDagSpace(erasing=True), SumDagSpace(9)], ids=["edge", "e", "sum"]
)
def test_the_core_hashes_what_the_rows_say(space) -> None:
    for cell in space.decode(space_kit.random_walk(space, 100, seed=2)[-1]):
        assert Architecture.of("dag", cell.code) == cell  # by the graph of its rows


def test_features_of_different_cells_differ() -> None:
    space = EdgeDagSpace(4, 4)
    states = np.unique(space_kit.random_walk(space, 3000, seed=3)[-1], axis=0)
    assert len(np.unique(space.features(states), axis=0)) == len(states) > 300


def test_features_by_hand() -> None:
    space = EdgeDagSpace(4, 9)
    state = after(space, [NODE + 1, edge(0, 1), edge(1, 2), TERMINATE])
    operations, places = np.split(space.features(state)[0], [6])
    assert operations.tolist() == [0, 1, 0, 0, 0, 0]
    # (0,1), (0,2), (1,2), (0,3), (1,3), (2,3): the output is node 3, however few there are.
    assert places.tolist() == [1, 0, 0, 0, 1, 0]


def test_the_graph_of_a_cell() -> None:
    """Sums before nodes, a concatenation at the output, to which the input is added."""
    space = EdgeDagSpace()
    cell = space.architecture([(*CONV1, 0), (*CONV3, 0, 1), (*POOL, 1), (*CONCAT, 0, 2, 3)])
    assert cell.graph is not None
    names = {number: name for name, (number, *_) in _core.OPS.items()}
    ops = [names[op] for op in cell.graph.nodes[:, 0]]
    assert sorted(ops) == sorted(
        ["input", "conv", "add", "conv", "max_pool", "concat", "add", "output"]
    )
    dead = space.architecture([(*CONV1, 0), (*CONV3, 0), (*POOL,), (*CONCAT, 2, 3)])
    assert dead.hash == space.architecture([(*CONV3, 0), (*CONCAT, 1)]).hash


def test_a_block_of_sums_ends_in_what_nobody_reads() -> None:
    space = SumDagSpace(3)
    # identity of the input; conv of the input; separable convolution of node 1 and the input
    state = after(space, [0, 1, 1, 1, 0, 2, 1, 2, 0])
    [block] = space.decode(state)
    assert block.code == ((4, 0, 1, 0), (*CONV1, 0), (17, 3, 1, 0, 1), (*ADD, 2, 3))
    assert block.graph is not None
    assert block.graph.layers() == 4  # the identity does nothing; two sums; add(x, x) stays


def test_every_node_of_a_block_reads_one_before_it() -> None:
    space = SumDagSpace()
    for block in space.decode(space_kit.random_walk(space, 50, seed=4)[-1]):
        *nodes, result = block.code
        assert len(nodes) == 17
        assert all(row[3:] and max(row[3:]) < v for v, row in enumerate(nodes, 1))
        read = {u for row in nodes for u in row[3:]}
        assert set(result[3:]) == set(range(1, 18)) - read


@pytest.mark.parametrize("space", [EdgeDagSpace(), SumDagSpace(5)], ids=["edge", "sum"])
def test_blocks_train(space) -> None:
    skeleton = Skeleton(stem_width=6, blocks=1, widths=(6, 8))
    task = tasks.load("digits", limit_train=256)
    train = TrainEvaluator(task, skeleton, Recipe(2, 32, "adam", 0.01), device="cpu")
    blocks = space.decode(space_kit.random_walk(space, 4, seed=5)[-1])
    for job, block in enumerate(blocks):
        [done] = train.evaluate([Job(job, block, seed=1)])
        assert block.graph is not None
        assert done.ok == (block.graph.layers() > 0), done.message
        assert not done.ok or 0 < done.metrics["val_accuracy"] <= 1


def test_a_cell_without_a_way_to_the_output_is_an_empty_block() -> None:
    space = EdgeDagSpace(erasing=True)
    [cell] = space.decode(after(space, [NODE, edge(0, 1), TERMINATE]))
    assert cell.graph is not None
    assert cell.graph.layers() == 0
    assert cell.hash == space.decode(after(space, [TERMINATE]))[0].hash


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ([(*CONV1, 0)], "the last row must be an add or a concat"),
        ([(*CONV1, 1), (*CONCAT, 1)], "node 1 reads node 1, which is not before it"),
        ([(*CONV1, 0, 0), (*CONCAT, 1)], "each node once, in rising order"),
        ([(1, 2, 1, 0), (*CONCAT, 1)], "node 1 is conv of kernel 2"),
        ([(8, 0, 1, 0), (*CONCAT, 1)], "node 1 is output of kernel 0"),
        ([(1, 5, 1, 0), (*CONCAT, 1)], "is no operation of this space"),
        ([(*CONV1, 0)] * 6 + [(*CONCAT, 1)], "the block has 6 nodes, this space takes 5"),
        ([(*CONV1, 0), (*ADD, 1)], "its result differs"),
        ([(*CONV1, 0), (*CONCAT,)], "is illegal"),
        ([(1, 1), (*CONCAT, 0)], "rows \\(op, kernel, dilation"),
        ([(1, 1, 1, 0.5), (*CONCAT, 0)], "rows \\(op, kernel, dilation"),
        ([], "rows \\(op, kernel, dilation"),
    ],
)
def test_a_wrong_code_is_refused(code, message) -> None:
    with pytest.raises(ValueError, match=message):
        EdgeDagSpace().architecture(code)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EdgeDagSpace(1), "max_nodes"),
        (lambda: EdgeDagSpace(31), "max_nodes"),
        (lambda: EdgeDagSpace(max_edges=0), "max_edges=0"),
        (lambda: EdgeDagSpace(operations=()), "operations must not be empty"),
        (lambda: EdgeDagSpace(operations=(("conf", 1),)), "did you mean 'conv'"),
        (lambda: EdgeDagSpace(operations=(("add", 0),)), "is add of kernel 0"),
        (lambda: SumDagSpace(0), "nodes"),
        (lambda: SumDagSpace(29), "nodes"),
    ],
)
def test_wrong_settings_are_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
