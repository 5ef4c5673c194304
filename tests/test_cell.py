"""NASNet's cells: decisions, codes, graphs and their hashes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import cell_kit
import graph_kit
import space_kit
from nascore import _core
from nascore.agents.policy_gradient import PolicyGradient
from nascore.spaces import NASNET_A, NASNET_A_PAPER, Architecture, CellSpace
from nascore.spaces.cell_code import unused

SEEDS = st.integers(0, 2**32 - 1)
OP = {name: number for number, name in enumerate(_core.CELL_OPS)}


def test_1f1_fifty_decisions_with_heads_of_their_own() -> None:
    space = CellSpace()
    sizes = [width for b in range(5) for width in (2 + b, 2 + b, 13, 13, 2)] * 2
    assert list(space.heads) == sizes
    assert space.max_steps == len(sizes) == 50
    walk = space_kit.random_walk(space, 20, seed=0)
    assert len(walk) == 51
    for step, state in enumerate(walk[:-1]):
        assert set(space.head(state).tolist()) == {step}
        assert set(space.legal(state).sum(1).tolist()) == {sizes[step]}
    agent = PolicyGradient(space, seed=0, units=8)
    proposals = agent.ask(3)
    decisions = agent.decisions([p.actions for p in proposals])
    with torch.no_grad():
        log_probs = agent.controller(decisions.tokens, decisions.head, decisions.legal)
    terms = log_probs.gather(-1, decisions.action[..., None])[..., 0]
    assert terms.shape == (3, 50)
    assert [p.log_prob for p in proposals] == pytest.approx(terms.sum(1).tolist(), rel=1e-5)
    near_uniform = -sum(math.log(size) for size in sizes)
    assert proposals[0].log_prob == pytest.approx(near_uniform, rel=0.05)


def test_the_size_of_the_space() -> None:
    cells = math.prod(CellSpace().heads[:25])
    assert cells == pytest.approx(2.3e18, rel=0.02)
    assert math.prod(CellSpace().heads) == cells**2


@settings(max_examples=50)
@given(SEEDS, st.integers(1, 7), st.integers(1, 13), st.integers(1, 4), st.booleans())
def test_walks_are_the_references(seed: int, blocks: int, ops: int, ways: int, every: bool) -> None:
    """Legal actions, states and codes against their definitions."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(_core.CELL_OPS)[:ops].tolist()
    combines = rng.permutation(cell_kit.COMBINES)[:ways].tolist()
    space = CellSpace(blocks, names, combines, every)
    made: list[int] = []
    state = space.start(1)
    for step in range(10 * blocks):
        b, field = step % (5 * blocks) // 5, step % 5
        size = [b + 2, b + 2, ops, ops, ways][field]
        assert space.legal(state)[0].tolist() == [a < size for a in range(max(space.heads))]
        assert not space.done(state)[0]
        made.append(int(rng.integers(size)))
        state = space.step(state, np.array(made[-1:], np.int32))
        assert state[0].tolist() == made + [-1] * (10 * blocks - len(made))
    [architecture] = space.decode(state)
    rows = [tuple(made[5 * i : 5 * i + 5]) for i in range(2 * blocks)]
    rows = [(s, t, OP[names[o]], OP[names[p]], _numbers(combines)[c]) for s, t, o, p, c in rows]
    cells = tuple(rows[:blocks]), tuple(rows[blocks:])
    outputs = [tuple(range(2, blocks + 2)) if every else _unread(cell) for cell in cells]
    assert architecture.code == tuple(zip(cells, outputs, strict=True))
    assert space.actions(architecture) == tuple(made)
    assert space.architecture(architecture.code) == architecture
    assert space.architecture(architecture.text) == architecture


def _numbers(combines: list[str]) -> list[int]:
    return [cell_kit.COMBINES.index(name) for name in combines]


def _unread(blocks: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    read = set(itertools.chain(*(block[:2] for block in blocks)))
    return tuple(state for state in range(2, len(blocks) + 2) if state not in read)


def test_1f3_a_state_that_a_block_reads_is_not_given() -> None:
    cell = "max3(0)+max3(1) conv3(2)+id(0)"
    architecture = CellSpace(2).architecture(f"{cell} / max3(0)+max3(1) conv3(0)+id(0)")
    assert [outputs for _, outputs in architecture.code] == [(3,), (2, 3)]
    normal, reduction = architecture.graphs
    for graph, ends in ((normal, 1), (reduction, 2)):
        output = len(graph.nodes) - 1
        assert (graph.edges[:, 1] == output).sum() == ends


def test_nasnet_a_as_released_and_as_drawn_in_the_paper() -> None:
    assert [outputs for _, outputs in NASNET_A.code] == [(1, 2, 3, 4, 5, 6), (3, 4, 5, 6)]
    assert [outputs for _, outputs in NASNET_A_PAPER.code] == [(2, 3, 4, 5, 6), (4, 5, 6)]
    space = CellSpace()
    assert space.architecture(NASNET_A_PAPER.text) == NASNET_A_PAPER
    with pytest.raises(ValueError, match=r"Normal cell: it gives the states \(1, 2"):
        space.architecture(NASNET_A.text)
    for architecture in (NASNET_A, NASNET_A_PAPER):
        assert Architecture.from_json(architecture.to_json()) == architecture


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 6), st.sampled_from([1, 2]))
def test_hashes_are_equal_where_networkx_finds_an_isomorphism(
    seed: int, blocks: int, stride: int
) -> None:
    rng = np.random.default_rng(seed)
    space = CellSpace(blocks, combine=cell_kit.COMBINES)
    one = [list(b) for b in cell_kit.random_cells(space, 1, seed)[0].code[stride - 1][0]]
    moved = cell_kit.relabelled(one, rng)
    changed = cell_kit.mutated(moved, rng)
    hashes, graphs = [], []
    for cell in (one, moved, changed):
        graph = _core.Graph.from_cell(np.array(cell, np.int16), list(unused(cell)), stride).clean()
        hashes.append(graph.hash())
        graphs.append(cell_kit.reference_graph(cell, unused(cell), stride))
        assert len(graph.nodes) == len(graphs[-1])
    assert hashes[0] == hashes[1]
    assert graph_kit.isomorphic(graphs[0], graphs[1])
    assert (hashes[0] == hashes[2]) == graph_kit.isomorphic(graphs[0], graphs[2])


@pytest.mark.parametrize("stride", [1, 2])
def test_all_small_cells_are_told_apart(stride: int) -> None:
    """One in three of all cells of two blocks, two operations and two combines, by networkx."""
    choices = itertools.product(*(range(size) for size in (2, 2, 2, 2, 2, 3, 3, 2, 2, 2)))
    cells = np.array([*choices][::3], np.int16).reshape(-1, 2, 5)
    cells[..., 2:4] *= OP["max3"]
    classes: dict[tuple[int, ...], list[np.ndarray]] = {}
    for cell, key in zip(cells, _core.cell_hash(cells, False, stride).tolist(), strict=True):
        classes.setdefault(tuple(key), []).append(cell)
    assert len(classes) > 100
    firsts: dict[object, list[object]] = {}
    for members in classes.values():
        graphs = [cell_kit.reference_graph(c.tolist(), unused(c.tolist()), stride) for c in members]
        assert all(graph_kit.isomorphic(graphs[0], graph) for graph in graphs[1:])
        labels = tuple(sorted(label for _, label in graphs[0].nodes(data="label")))
        firsts.setdefault((labels, graphs[0].size()), []).append(graphs[0])
    for alike in firsts.values():
        for one, other in itertools.combinations(alike, 2):
            assert not graph_kit.isomorphic(one, other)


def test_which_cell_is_which_counts() -> None:
    space = CellSpace(1)
    one = space.architecture("max3(0)+sep3(1) / avg3(0)+sep3(1)")
    assert one.hash == space.architecture("sep3(1)+max3(0) / sep3(1)+avg3(0)").hash
    others = [
        "avg3(0)+sep3(1) / max3(0)+sep3(1)",  # the cells changed places
        "max3(1)+sep3(0) / avg3(0)+sep3(1)",  # the inputs did
        "max3(0)&sep3(1) / avg3(0)+sep3(1)",
    ]
    assert len({one.hash, *(space.architecture(text).hash for text in others)}) == 4
    normal, reduction = one.graphs
    assert normal.hash() != reduction.hash()
    assert one.graph is None


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("id(0)+id(1)", "a code of cells is a Normal and a Reduction one"),
        (5, "a code of cells is a Normal and a Reduction one"),
        ("id(0)+id(1) / id(0)id(1)", r"'id\(0\)id\(1\)' is no block: write it like sep5"),
        ("id(0)+sap5(1) / id(0)+id(1)", "unknown operation 'sap5'; did you mean 'sep5'"),
        ("id(0)+id(1) [2 / id(0)+id(1)", "is no cell: outputs stand in brackets"),
        (" / id(0)+id(1)", "a cell is rows of five integers"),
        ("id(0)+id(1) / id(0)+id(2)", "Reduction cell, block 1: state2=2 must be one of 0, 1 in"),
        ("id(0)+L id(1) / id(0)+id(1)", "is no block"),
        ("id(0)+Lid(1) / id(0)+id(1)", "block 1: combine=2 must be one of 0, 1 in this space"),
        ("id(0)+id(1) id(0)+id(1) / id(0)+id(1)", "Normal cell: it has 2 blocks, this space tak"),
        ((([[0, 1, 0, 0, 0]], ()), ([[0, 1, 0, 99, 0]], ())), "Reduction cell, block 1: op2=99"),
        ((([[0, 1, 0, 0]], ()), ([[0, 1, 0, 0, 0]], ())), "rows of five integers"),
        ((([[0, 1, 0, 0, 0]], (2.5,)), ([[0, 1, 0, 0, 0]], ())), "outputs of a cell are states"),
        ((([[0, 1, 0, 0, 0]], (9,)), ([[0, 1, 0, 0, 0]], ())), r"it gives the states \(9,\)"),
    ],
)
def test_a_wrong_code_is_refused(code: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CellSpace(1).architecture(code)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ([[[[0, 1, 0, 0, 9]], [2]], [[[0, 1, 0, 0, 0]], [2]]], "Normal cell: block 1: combine=9"),
        ([[[[0, 1, 0, 0, 0]], [2]], [[[0, 1, 0, 0, 0]], [3]]], "output 3 must be 0 to 2"),
        ([[[[0, 1, 0, 0, 0]], [2]], [[[0, 1, 0, 0, 0]], [2, 2]]], "above the one before it, 2"),
        ([[[[0, 1, 0, 0, 0]] * 13, [14]], [[[0, 1, 0, 0, 0]], [2]]], "1 to 12 blocks, not 13"),
    ],
)
def test_a_corrupt_record_is_refused(code: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Architecture.from_json({"space": "cell", "code": code, "hash": ""})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"blocks": 0}, "blocks=0 must be 1 to 12"),
        ({"blocks": 13}, "blocks=13 must be 1 to 12"),
        ({"ops": ("sep4",)}, "unknown operation 'sep4'"),
        ({"ops": ()}, "operation: give each once, one at least"),
        ({"combine": ("add", "add")}, "way to combine: give each once"),
        ({"combine": ("mul",)}, "unknown way to combine 'mul'"),
    ],
)
def test_a_wrong_space_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CellSpace(**arguments)
