"""The tree core: scores by hand, and equal to a plain tree move by move."""

from __future__ import annotations

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nascore import _core
from nascore.spaces import BlockSpace, ChoicesSpace
from nascore.spaces.core_space import CoreSpace
from nascore.trial import Space
from toys import SubsetSpace
from tree_kit import PlainTree, block_key, choices_key, same

CHOICES, BLOCK, SUBSET = ChoicesSpace((3, 1, 4)), BlockSpace(3), SubsetSpace(4, 3)
SPACES: dict[str, Space] = {"choices": CHOICES, "block": BLOCK, "python": SUBSET}
KEYS = {"choices": choices_key, "block": block_key(BLOCK), "python": lambda s: frozenset(s) - {-1}}


def core(space: Space) -> _core.Space:
    return space.core if isinstance(space, CoreSpace) else _core.PythonSpace(space)


def weights(space: Space, seed: int) -> np.ndarray:
    width = space.features(space.start(1)).shape[1]
    return np.random.default_rng(seed).integers(-8, 9, width) / 8


def ends(*nodes: int) -> np.ndarray:
    return np.array(nodes, np.uint32)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(sorted(SPACES)),
    st.booleans(),
    st.sampled_from(["ucb1", "puct"]),
    st.sampled_from([0.0, 0.1, 2.0]),
    st.integers(1, 3),
    st.integers(0, 9),
    st.lists(st.integers(1, 12), min_size=1, max_size=3),
)
def test_equal_to_a_plain_tree_move_by_move(
    name, transpositions, rule, c, open_after, seed, groups
) -> None:
    space = SPACES[name]
    w = weights(space, seed)
    tree = _core.Tree(
        core(space), rule, c, seed, open_after=open_after, transpositions=transpositions
    )
    key = KEYS[name] if transpositions else None
    plain = PlainTree(space, rule, c, seed, open_after=open_after, key=key)

    def value(state: np.ndarray) -> float:
        features = space.features(state[None])[0].tolist()
        return sum(f * x for f, x in zip(features, w.tolist(), strict=True))

    for n in groups:
        # Waiting for one another, then one by one, then corrected and taken back by path.
        chosen, expected = tree.select(n), [plain.select() for _ in range(n)]
        assert [tree.path(end) for end in chosen] == [plain.path(end) for end in expected]
        values = np.arange(n) / 4
        tree.back_up(chosen, values)
        for node, number in zip(expected, values.tolist(), strict=True):
            plain.back_up(node, number)
        tree.simulate(n, w)
        plain.simulate(n, value)
        tree.correct(chosen[:1], np.array([0.5]))
        plain.back_up(expected[0], 0.5, 0, 0)
        tree.undo(chosen[-1:], values[-1:])
        plain.back_up(expected[-1], -float(values[-1]), -1, 0)
        completed = tree.complete(chosen, 2)
        assert completed.tolist() == [
            [plain.complete(end).tolist() for _ in range(2)] for end in expected
        ]
        assert same(plain, tree)
        actions = tree.children(0)[0].tolist()
        if actions and n % 3 == 0:
            tree.reroot(actions[n % len(actions)])
            plain.reroot(actions[n % len(actions)])
            assert same(plain, tree)
            again = _core.Tree(core(space), rule, c, seed, transpositions=transpositions)
            again.load(*tree.state())
            assert same(plain, again)


def test_scores_by_hand() -> None:
    """Three children: 2 sqrt(2) c = 1 makes the bonus sqrt(ln N / n)."""
    tree = _core.Tree(ChoicesSpace((3, 2)).core, "ucb1", 1 / 8**0.5)
    for _ in range(4):  # the root, and all its children before any of them a second time
        end = tree.select(1)
        first = tree.path(end[0])[:1]
        tree.back_up(end, np.array([{(): 0.0, (0,): 0.5, (1,): 0.6, (2,): 0.0}[first]]))
    assert tree.children(0)[1].tolist() == [1, 1, 1]
    # N = 4: bonus sqrt(ln 4) = 1.18 for each, so 1 leads; 3 visits in a row worth 0 make its
    # score 0.6/4 + sqrt(ln 7 / 4) = 0.85, that of 0 is 0.5 + sqrt(ln 7) = 1.89.
    for wanted in (1, 0, 2):
        end = tree.select(1)
        assert tree.path(end[0])[0] == wanted
        tree.back_up(end, np.array([0.0]))


def test_puct_by_hand() -> None:
    tree = _core.Tree(ChoicesSpace((3, 2)).core, "puct", 1.0)
    tree.set_priors(0, np.array([0.2, 0.7, 0.1], np.float32))
    tree.back_up(tree.select(1), np.array([1.0]))
    assert tree.path(tree.select(1)[0]) == (1,)  # Q is the root's for all: the prior decides


def test_a_waiting_simulation_counts_as_a_visit_worth_nothing() -> None:
    tree = _core.Tree(CHOICES.core, "ucb1", 0.1)
    chosen = tree.select(4)  # the root, then each of its three children
    assert sorted(tree.path(end) for end in chosen) == [(), (0,), (1,), (2,)]
    assert tree.visits(0) == 0
    tree.back_up(chosen, np.ones(4))
    assert tree.visits(0) == 4
    with pytest.raises(ValueError, match="no simulation waits there"):
        tree.back_up(chosen[:1], np.ones(1))


def test_preempting_and_correcting_is_a_true_back_up() -> None:
    true = np.array([0.25, 0.5, 1.0, 0.125])
    trees = [_core.Tree(CHOICES.core, "ucb1", 0.1, 3) for _ in range(2)]
    chosen = [tree.select(4) for tree in trees]
    trees[0].back_up(chosen[0], true)
    guess = np.array([1.0, 0.75, 0.0, 0.5])
    trees[1].back_up(chosen[1], guess)
    trees[1].correct(chosen[1], true - guess)
    for a, b in zip(trees[0].state(), trees[1].state(), strict=True):
        assert a.tolist() == b.tolist()
    assert trees[0].children(0)[2].sum() + 0.25 == true.sum()  # the first one is the root's own


@pytest.mark.parametrize("name", sorted(SPACES))
@pytest.mark.parametrize("rule", ["ucb1", "puct"])
@pytest.mark.parametrize("transpositions", [False, True])
def test_visits_sum_to_simulations(name, rule, transpositions) -> None:
    space = SPACES[name]
    tree = _core.Tree(core(space), rule, 0.5, transpositions=transpositions)
    tree.simulate(500, weights(space, 0))
    assert tree.visits(0) == 500
    assert tree.children(0)[1].sum() == 499  # one ended at the root
    _, _, _, children, first, visits, *_ = tree.state()
    for node in np.flatnonzero(children):
        below = visits[first[node] : first[node] + children[node]].sum()
        assert visits[node] == below + 1


def test_it_finds_the_best() -> None:
    space = ChoicesSpace((4, 4, 4))
    w = np.tile([0.0, 0.1, 0.2, 0.33], 3)
    tree = _core.Tree(space.core, "ucb1", 0.1)
    tree.simulate(2000, w)
    for _ in range(3):
        actions, visits, _ = tree.children(0)
        assert actions[visits.argmax()] == 3
        tree.reroot(3)


@pytest.mark.parametrize("name", sorted(SPACES))
@pytest.mark.parametrize("transpositions", [False, True])
def test_saved_and_loaded_it_goes_on(name, transpositions) -> None:
    space = SPACES[name]
    w = weights(space, 1)
    tree, other = (
        _core.Tree(core(space), "puct", 0.5, 7, transpositions=transpositions) for _ in range(2)
    )
    tree.simulate(100, w)
    tree.reroot(1)
    other.load(*tree.state())
    for t in (tree, other):
        t.simulate(100, w)
    for a, b in zip(tree.state(), other.state(), strict=True):
        assert a.tolist() == b.tolist()


def test_a_prefix_is_where_the_walk_begins() -> None:
    tree = _core.Tree(CHOICES.core, prefix=[2, 0])
    tree.simulate(20, weights(CHOICES, 0))
    assert (tree.complete(ends(0), 9)[0, :, :2] == [2, 0]).all()
    assert tree.path(1) == (2, 0, 0)
    for wrong in (3, 4, -1):
        with pytest.raises(ValueError, match=f"prefix: action {wrong} is illegal after 1 dec"):
            _core.Tree(CHOICES.core, prefix=[0, wrong])
    with pytest.raises(ValueError, match="goes on after the end"):
        _core.Tree(CHOICES.core, prefix=[0, 0, 0, 0])


def test_a_full_tree_says_so_and_stays_as_it_was() -> None:
    tree = _core.Tree(CHOICES.core, max_nodes=4)
    with pytest.raises(ValueError, match="is full: it has 4 nodes, may have 4 and needs 1 more"):
        tree.select(9)
    assert tree.size == 4
    tree.back_up(tree.select(1), np.ones(1))
    assert tree.state()[5].tolist() == [1, 0, 0, 0]


def test_it_counts_no_further_than_it_can() -> None:
    tree = _core.Tree(CHOICES.core)
    state = tree.state()
    state[5][0] = 2**32 - 2
    tree.load(*state)
    for count in (lambda: tree.select(3), lambda: tree.simulate(3, weights(CHOICES, 0))):
        with pytest.raises(ValueError, match="counted 4294967295 simulations"):
            count()
    assert tree.visits(0) == 2**32 - 1


def test_what_is_refused() -> None:
    tree = _core.Tree(CHOICES.core)
    for arguments, message in [
        ({"rule": "best"}, "rule='best' must be 'ucb1' or 'puct'"),
        ({"c": -1.0}, "c=-1"),
        ({"c": float("nan")}, "c=nan"),
        ({"open_after": 0}, "open_after=0"),
        ({"max_nodes": 0}, "max_nodes=0"),
    ]:
        with pytest.raises(ValueError, match=message):
            _core.Tree(CHOICES.core, **arguments)
    with pytest.raises(ValueError, match="node 5: the tree has 1 nodes"):
        tree.path(5)
    with pytest.raises(ValueError, match="no simulation ended there"):
        tree.correct(ends(0), np.ones(1))
    with pytest.raises(ValueError, match="no simulation ended there"):
        tree.undo(ends(0), np.ones(1))
    with pytest.raises(ValueError, match="n=-1"):
        tree.select(-1)
    with pytest.raises(ValueError, match="no child by action 0"):
        tree.reroot(0)
    with pytest.raises(ValueError, match="prior"):
        tree.set_priors(0, np.array([1, -1, 0, 0], np.float32))
    with pytest.raises(ValueError, match="expected float32"):
        tree.set_priors(0, np.ones(3))
    end = tree.select(1)
    for wait in (tree.state, lambda: tree.reroot(0)):
        with pytest.raises(ValueError, match="still waits"):
            wait()
    with pytest.raises(ValueError, match="finite"):
        tree.back_up(end, np.array([np.nan]))


def test_a_python_space_is_heard_and_checked() -> None:
    class Wrong(SubsetSpace):
        fault = ""

        def legal(self, state: np.ndarray) -> np.ndarray:
            if self.fault == "raises":
                raise RuntimeError("a bug in the space")
            if self.fault == "returns":
                tree.select(1)
            right = super().legal(state)
            return right.astype(int) if self.fault == "dtype" else right

    space = Wrong(4, 3)
    tree = _core.Tree(_core.PythonSpace(space))
    tree.simulate(1, weights(space, 0))
    for fault, kind, message in [
        ("raises", RuntimeError, "a bug in the space"),
        ("dtype", ValueError, r"legal of the space: expected bool \[1, 4\], got int64 \[1, 4\]"),
        ("returns", ValueError, "the tree is in use"),
    ]:
        space.fault = fault
        with pytest.raises(kind, match=message):
            tree.select(3)
        assert tree.state()[5].tolist() == [1]
    space.fault = ""
    tree.simulate(9, weights(space, 0))
    assert tree.visits(0) == 10
    space.heads = ()
    with pytest.raises(ValueError, match="heads of the space"):
        _core.PythonSpace(space)


def test_a_tree_of_another_space_is_refused() -> None:
    tree = _core.Tree(CHOICES.core)
    tree.simulate(50, weights(CHOICES, 0))
    before = [a.tolist() for a in tree.state()]
    other = _core.Tree(ChoicesSpace((3, 2, 4)).core)
    with pytest.raises(ValueError, match="another space"):
        other.load(*tree.state())
    with pytest.raises(ValueError, match="has 19 shared states, not 0"):
        _core.Tree(CHOICES.core, transpositions=True).load(*tree.state())
    for column, node, value in [(2, 1, 2), (4, 0, 0), (4, 0, 99), (3, 0, 9), (6, 0, np.nan)]:
        state = [a.copy() for a in tree.state()]
        state[column][node] = value
        with pytest.raises(ValueError, match=r"node|tree"):
            tree.load(*state)
    assert [a.tolist() for a in tree.state()] == before


@pytest.mark.parametrize("transpositions", [False, True])
def test_two_orders_of_the_same_layers_are_one_value(transpositions) -> None:
    tree = _core.Tree(BLOCK.core, "puct", 1e6, transpositions=transpositions)  # the priors decide

    def walk(node: int, action: int, value: float) -> int:
        """Simulates once, to the child by `action` of a node that is walked to."""
        tree.set_priors(node, np.eye(31, dtype=np.float32)[action])
        end = tree.select(1)
        assert tree.path(end[0]) == (*tree.path(node), action)
        tree.back_up(end, np.array([value]))
        return int(end[0])

    tree.back_up(tree.select(1), np.array([0.0]))
    second = walk(walk(0, 1, 0.0), 2, 1.0)  # a convolution of the input by 1, then one by 3
    third = walk(0, 2, 0.0)  # the other way round
    tree.set_priors(third, np.ones(31, np.float32))
    actions, visits, means = tree.children(third)
    met = actions.tolist().index(1)
    assert visits[met] == 0
    assert means[met] == (1.0 if transpositions else 0.0)
    tree.correct(ends(second), np.array([0.5]))
    assert tree.children(third)[2][met] == (1.5 if transpositions else 0.0)
    tree.undo(ends(second), np.array([1.5]))
    assert tree.children(third)[2][met] == 0.0


def test_a_tree_holds_few_bytes_a_node() -> None:
    """By its own count and by the process's; both with values that are shared by no two nodes."""
    resident = psutil.Process().memory_info
    for transpositions, most in [(False, 48), (True, 80)]:
        before = resident().rss
        tree = _core.Tree(BlockSpace(12).core, transpositions=transpositions)
        tree.simulate(100_000, weights(BlockSpace(12), 0))
        assert tree.size > 900_000
        assert tree.bytes < most * tree.size
        # What the system maps in pages of 2 MB, and the rest of the process, is not the tree's.
        assert resident().rss - before < most * tree.size + (8 << 20)
    for transpositions, most in [(False, 48), (True, 80)]:
        tree = _core.Tree(ChoicesSpace((20,) * 6).core, transpositions=transpositions)
        for _ in range(20):  # now with little room to grow into, now with much
            tree.simulate(2_000, np.zeros(120))
            assert len(tree.state()[8]) == (tree.size if transpositions else 0)
            assert tree.size < 10_000 or tree.bytes < most * tree.size
    assert tree.size > 100_000
