"""Every space through the contract kit, and what is particular to each."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graph_kit
import space_kit
from nascore import _core
from nascore.sampling import states_after
from nascore.spaces import (
    AnytimeSpace,
    Architecture,
    BlockSpace,
    CellSpace,
    ChoicesSpace,
    ConnectionSpace,
    EdgeDagSpace,
    LayerSpace,
    ResidualNet,
    SkipSpace,
    SumDagSpace,
)
from nascore.trial import Space
from tree_kit import block_key

RESIDUAL = "[(1,4,0,0,0),(2,1,3,1,0),(3,1,3,2,0),(4,5,0,1,3),(5,7,0,0,0)]"


@pytest.mark.parametrize(
    "space",
    [
        BlockSpace(),
        BlockSpace(32),
        BlockSpace(4),
        BlockSpace(1),
        ChoicesSpace([5, 5, 5, 5, 5, 5]),
        ChoicesSpace([3, 1, 7]),
        ChoicesSpace([2]),
        LayerSpace(),
        LayerSpace(28, 12, strict=True),
        LayerSpace(8, 6, (8, 16), (32, 64)),
        LayerSpace(1, 1, (8,), ()),
        SkipSpace(),
        SkipSpace((2, 5), (3,), (1, 3), (1, 2, 3), (8,)),
        SkipSpace((1,)),
        CellSpace(),
        CellSpace(4, combine=("add", "concat", "add_layer_norm", "add_instance_norm")),
        CellSpace(1, ("max3", "id"), ("add",), all_outputs=True),
        SumDagSpace(),
        SumDagSpace(1),
        ConnectionSpace(ResidualNet().candidates, 4),
        ConnectionSpace((1, 2, 3, 4, 5), 2),
        ConnectionSpace((2,), 1),
    ],
    ids=lambda space: f"{space.name}-{space.max_steps}",
)
def test_contract(space: Space) -> None:
    space_kit.check(space)


@pytest.mark.parametrize(
    "space",
    [
        EdgeDagSpace(),
        EdgeDagSpace(3, 2),
        EdgeDagSpace(erasing=True),
        AnytimeSpace(),
        AnytimeSpace((2, 1), (("conv", 1),), 1),
        AnytimeSpace((1,)),
    ],
)
def test_contract_where_edges_come_in_any_order(space: Space) -> None:
    space_kit.check(space, one_walk=False)


def chain(space: BlockSpace, layers: int) -> np.ndarray:
    """The state `[1, W]` after `layers` convolutions, each of which reads the input."""
    state = space.start(1)
    for _ in range(layers):
        state = space.step(state, np.array([1], np.int32))
    return state


def test_3f3_legal_actions_for_1_to_22_predecessors() -> None:
    space = BlockSpace()
    counts = []
    for predecessors in range(1, 24):
        legal = space.legal(chain(space, predecessors - 1))[0]
        counts.append(int(legal.sum()))
        assert legal[: counts[-1]].all()
    assert counts[:5] == [9, 19, 31, 45, 61]
    assert counts[21] == 639
    assert counts == [1 + 8 * p + p * (p - 1) for p in range(1, 24)]
    assert space.heads == (counts[-1],)


def test_actions_are_numbered_by_their_newest_predecessor() -> None:
    space = BlockSpace(3)
    unary = [(1, 1), (1, 3), (1, 5), (2, 1), (2, 3), (3, 1), (3, 3), (4, 0)]
    expected = [(7, 0, 0, 0)]
    for q in range(3):
        expected += [(op, kernel, q, 0) for op, kernel in unary]
        expected += [(op, 0, p, q) for p in range(q) for op in (5, 6)]
    state = chain(space, 2)
    rows = [tuple(space.step(state, np.array([a], np.int32))[0, 11:].tolist()) for a in range(31)]
    assert rows == expected


def test_3f2_a_walk_ends_by_a_terminal_row_or_at_the_last_layer() -> None:
    space = BlockSpace(6)
    full = 0
    codes = space_kit.random_walk(space, 2000, seed=3)[-1].reshape(-1, 6, 5)
    for code in codes:
        layers = int((code[:, 1] % 7 > 0).sum())
        if layers == 6:
            full += 1
            assert 7 not in code[:, 1]
        else:
            assert code[layers].tolist() == [layers + 1, 7, 0, 0, 0]
            assert not code[layers + 1 :].any()
    assert 100 < full < 1900


def test_every_walk_of_two_layers_is_another_code_and_all_are_valid() -> None:
    space = BlockSpace(2)
    states = {tuple(row) for row in space_kit.random_walk(space, 20_000, seed=4)[-1].tolist()}
    assert len(states) == 1 + 8 * 19
    codes = np.array(sorted(states), np.int16).reshape(-1, 2, 5)
    assert not _core.nsc_validate(codes).any()


@given(st.integers(1, 23), st.integers(0, 2**32 - 1))
def test_3f2_text_and_rows_lead_to_the_same_block(layers: int, seed: int) -> None:
    space = BlockSpace(layers)
    for architecture in space.decode(space_kit.random_walk(space, 3, seed)[-1]):
        rows = np.array(architecture.code, np.int16)
        assert space.architecture(rows) == architecture
        assert architecture.text == _core.nsc_print(rows)
        assert space.architecture(architecture.text) == architecture
        assert architecture.graph is not None
        assert architecture.graph.hash() == architecture.hash
        binary = np.isin(rows[:, 1], (5, 6))
        assert (rows[binary, 3] != rows[binary, 4]).all()
        layer = rows[:, 1] != 7
        assert (rows[layer, 3:] < rows[layer, :1]).all()


def test_a_code_is_made_canonical() -> None:
    space = BlockSpace(4)
    given = "[(1,4,0,0,0),(2,1,3,1,0),(3,1,3,2,0),(4,5,0,3,1)]"
    assert space.architecture(given) == space.architecture(RESIDUAL)
    padded = np.zeros((9, 5), np.int16)
    padded[:5] = _core.nsc_parse(RESIDUAL)
    assert space.architecture(padded) == space.architecture(RESIDUAL)
    assert space.actions(space.architecture(RESIDUAL)) == (8, 10, 20, 41)


def test_isomorphic_blocks_share_a_hash_but_not_a_code() -> None:
    space = BlockSpace(3)
    one = space.architecture("[(1,1,3,0,0),(2,2,3,0,0)]")
    other = space.architecture("[(1,2,3,0,0),(2,1,3,0,0),(3,4,0,2,0)]")
    assert one != other
    assert one.hash == other.hash


def test_an_unfinished_block_has_one_key_whatever_the_order() -> None:
    """States of one key lead to the same blocks; all of two layers, by a slow key too."""
    space = BlockSpace(3)
    slow = block_key(space)
    states, below = [space.start(1)], {}
    for _ in range(2):
        states.append(_after_all(space, states[-1]))
    found = np.concatenate(states)
    for state, key, actions in zip(
        found, space.key(found).tolist(), space.legal(found), strict=True
    ):
        after = _after_all(space, state[None]) if actions.any() else state[None]
        while not space.done(after).all():
            after = _after_all(space, after)
        blocks = Counter(architecture.hash for architecture in space.decode(after))
        assert below.setdefault(tuple(key), (slow(state), blocks)) == (slow(state), blocks)
    assert len({name for name, _ in below.values()}) == len(below) < len(found)


def _after_all(space: Space, states: np.ndarray) -> np.ndarray:
    """What every legal action makes of each state; finished ones stay."""
    after = [states[space.done(states)]]
    for state, legal in zip(states, space.legal(states), strict=True):
        actions = np.flatnonzero(legal).astype(np.int32)
        after.append(space.step(np.repeat(state[None], len(actions), 0), actions))
    return np.concatenate(after)


@given(st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_relabelled_layers_have_one_key(layers: int, seed: int) -> None:
    space, rng = BlockSpace(13), np.random.default_rng(seed)
    code = graph_kit.random_code(rng, layers)
    states = np.zeros((3, 13, 5), np.int16)
    states[0, :layers] = code
    states[1, :layers] = graph_kit.relabelled(code, rng)
    states[2, : layers - 1] = code[:-1]
    one, same, other = space.key(states.reshape(3, -1)).tolist()
    assert one == same != other


def test_a_finished_block_is_not_the_unfinished_one_of_the_same_layers() -> None:
    space = BlockSpace(2)
    unfinished = space.step(space.start(1), np.array([1], np.int32))
    finished = space.step(unfinished, np.array([0], np.int32))
    one, other = space.key(np.concatenate([unfinished, finished])).tolist()
    assert one != other
    with pytest.raises(ValueError, match="item 0: row 1: type=9"):
        space.key(np.array([[1, 9, 0, 0, 0, 0, 0, 0, 0, 0]], np.int16))


def test_other_spaces_tell_states_apart_as_they_are() -> None:
    for space in (ChoicesSpace([3, 1, 7]), LayerSpace(8, 3, (8,), (32,))):
        walk = np.concatenate(space_kit.random_walk(space, 300, seed=5))
        keys = {tuple(row) for row in space.key(walk).tolist()}
        assert len(keys) == len({tuple(row) for row in walk.tolist()})


def test_an_empty_block_is_its_input() -> None:
    empty = BlockSpace().architecture("[]")
    assert BlockSpace().architecture([]) == empty
    assert empty.code == ((1, 7, 0, 0, 0),)
    assert empty.graph is not None
    assert empty.graph.layers() == 0


def test_block_features_and_observation() -> None:
    space = BlockSpace(4)
    state = np.zeros((1, 20), np.int16)
    state[0, :10] = [1, 3, 3, 0, 0, 2, 6, 0, 0, 1]
    slots = space.features(state)[0].reshape(4, 12)
    average = [0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    concat = [0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0.25]
    assert slots.tolist() == [average, concat, [0] * 12, [0] * 12]
    assert space.observe(state).tolist() == [[2, 6, 0, 0, 1]]
    assert space.observe(space.start(1)).tolist() == [[0] * 5]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("[(1,1,3,0,0),(2,1,3,6,0)]", "row 2: pred1=6 must be below its own index 2"),
        ("[(1,1,3,0,0)", "position 13"),
        ([[1, 1, 3, 0]], "rows of five integers"),
        ([[1, 1, 3, 0, 0], [2]], "rows of five integers"),
        ([[1, 1, 3.0, 0, 0]], "rows of five integers"),
        ([[1, 1, 3, 65536, 0]], "16-bit"),
        ([[1, 1, 3, 0, 0]] * 2, "row 2: index=1 must be its position 2"),
        ([[i, 1, 3, 0, 0] for i in range(1, 6)], "the block has 5 layers, this space takes 4"),
    ],
)
def test_a_wrong_code_is_refused(code: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BlockSpace(4).architecture(code)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("space", "code", "states"),
    [
        (BlockSpace(3), "[(1,4,0,0,0),(2,5,0,1,0)]", [[1, 4, 0, 0, 0, 2, 5, 0, 0, 1, *[0] * 5]]),
        (BlockSpace(3), "[]", [[0] * 15]),
        (ChoicesSpace([2, 3, 4]), "[1,2]", [[1, 2, -1]]),
        (ChoicesSpace([2, 3, 4]), "[]", [[-1, -1, -1]]),
        (EdgeDagSpace(), "[1,2]", [[1, 2, *[0] * 25]]),
        (CellSpace(1), "id(0)&max3(1) /", [[0, 1, 0, 5, 1, *[-1] * 5]]),
        (CellSpace(2), "id(0)+id(1)", [[0, 1, 0, 0, 0, *[-1] * 15]]),
        (CellSpace(2), "", [[-1] * 20]),
        (LayerSpace(8, 3, (8,), (32,)), "C(8,3),P(2,2)", [[1, 8, 3, 2, 2, 2, *[0] * 6]]),
    ],
)
def test_a_prefix_writes_the_beginning_of_a_code(space, code, states) -> None:
    assert states_after(space, [space.prefix(code)]).tolist() == states


@pytest.mark.parametrize(
    ("space", "code", "message"),
    [
        (BlockSpace(3), "[(1,4,0,0,0),(2,7,0,0,0)]", "the block is finished"),
        (BlockSpace(1), "[(1,4,0,0,0)]", "the block is finished"),
        (BlockSpace(3), "[(1,4,0,3,0)]", "row 1: pred1=3 must be below"),
        (BlockSpace(3), "C(8,3)", "position 1: expected"),
        (ChoicesSpace([2, 3]), "[1,2]", "leaves nothing to decide; give fewer"),
        (ChoicesSpace([2, 3]), "[1,2,0]", "all is decided by the first 2; give fewer"),
        (ChoicesSpace([2, 3]), "[2]", "decision 1 is 2; it may be 0, 1"),
        (ChoicesSpace([2, 3]), "[true]", "no list of decisions"),
        (ChoicesSpace([2, 3]), "1,", "no list of decisions"),
        (ChoicesSpace([2, 3]), "1", "no list of decisions"),
        (CellSpace(1), "id(0)+id(1)", "Normal cell: 1 blocks"),
        (CellSpace(2), "id(0)+id(1) /", "Normal cell: 1 blocks"),
        (CellSpace(2), "id(0)+id(2)", "block 1: state2=2 must be one of 0, 1"),
        (CellSpace(2), "id(0)+id(1) [2]", "no outputs"),
        (LayerSpace(8, 3, (8,), (32,)), "C(8,3),SM", "the chain is finished"),
        (LayerSpace(8, 3, (8,), (32,)), "C(9,3)", r"layer 1, C\(9,3\), is no action"),
        (LayerSpace(8, 3, (8,), (32,)), "P(2,2)", r"layer 1, P\(2,2\), may not follow"),
        (LayerSpace(8, 3, (8,), (32,)), "", "'' is no layer"),
    ],
)
def test_a_wrong_prefix_is_refused(space, code, message) -> None:
    with pytest.raises(ValueError, match=message):
        space.prefix(code)


@pytest.mark.parametrize("layers", [0, 33, -1])
def test_block_space_bounds(layers: int) -> None:
    with pytest.raises(ValueError, match=f"max_layers={layers} must be 1 to 32"):
        BlockSpace(layers)


def test_choices_by_hand() -> None:
    space = ChoicesSpace([2, 3])
    state = space.step(space.start(1), np.array([1], np.int32))
    assert state.tolist() == [[1, -1]]
    assert space.head(state).tolist() == [1]
    assert space.legal(state).tolist() == [[True, True, True]]
    assert space.legal(space.start(1)).tolist() == [[True, True, False]]
    state = space.step(state, np.array([2], np.int32))
    assert space.observe(state).tolist() == [[1, 2]]
    assert space.features(state).tolist() == [[0, 1, 0, 0, 1]]
    [architecture] = space.decode(state)
    assert architecture == space.architecture([1, 2])
    assert (architecture.code, architecture.text) == ((1, 2), "[1,2]")
    assert architecture.graph is None


def test_choices_have_one_hash_each() -> None:
    space = ChoicesSpace([3, 3, 3])
    states = space_kit.random_walk(space, 500, seed=5)[-1]
    architectures = set(space.decode(states))
    assert len({a.hash for a in architectures}) == len(architectures) == 27


def test_wrong_choices_are_refused() -> None:
    space = ChoicesSpace([2, 3])
    with pytest.raises(ValueError, match="choice 1 is 3; it takes 0 to 2"):
        space.architecture([0, 3])
    with pytest.raises(ValueError, match="3 choices given, this space has 2"):
        space.architecture([0, 1, 1])
    with pytest.raises(ValueError, match="a choice of 0 must be of 1 to 32767"):
        ChoicesSpace([2, 0])
    with pytest.raises(ValueError, match="sizes holds 0 choices"):
        ChoicesSpace([])
    with pytest.raises(ValueError, match="item 0: choice 1 is 3"):
        _core.ChoicesSpace([2, 3]).actions(np.array([[0, 3]], np.int16))


def test_a_foreign_record_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown space 'blok'; did you mean 'block'"):
        Architecture.from_json({"space": "blok", "code": [], "hash": ""})
    with pytest.raises(ValueError, match="code, hash missing"):
        Architecture.from_json({"space": "block"})
    with pytest.raises(ValueError, match="row 1: type=9"):
        Architecture.from_json({"space": "block", "code": [[1, 9, 0, 0, 0]], "hash": ""})


def test_garbage_states_do_no_harm() -> None:
    rng = np.random.default_rng(6)
    for space in (BlockSpace(7), ChoicesSpace([4, 9])):
        state = rng.integers(-(2**15), 2**15, (500, space.start(1).shape[1]), dtype=np.int16)
        assert np.isfinite(space.features(state)).all()
        space.legal(state)
        space.observe(state)
        space.step(state, np.zeros(500, np.int32))
