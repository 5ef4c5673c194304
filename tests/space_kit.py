"""The contract of a space. `check(space)` runs all of it on random walks."""

from __future__ import annotations

import json
import pickle

import numpy as np
import numpy.typing as npt
import pytest

from nascore.spaces import Architecture
from nascore.trial import Space

States = npt.NDArray[np.int16]


def check(space: Space, n: int = 64, *, one_walk: bool = True, checks_arrays: bool = True) -> None:
    """`one_walk`: whether an architecture's code has one walk alone.

    `checks_arrays`: whether arrays of wrong types and shapes are refused, as the core does.
    """
    a_start_has_nothing_decided(space)
    walk = random_walk(space, n, seed=0)
    every_state_says_what_is_legal(space, walk)
    arrays_have_their_shapes_and_types(space, walk)
    a_batch_is_its_items(space, walk)
    an_illegal_action_is_refused(space, walk)
    a_finished_state_stays(space, walk[-1])
    architectures_lead_back_to_their_actions(space, walk, one_walk)
    an_unfinished_state_is_no_architecture(space, walk)
    architectures_survive_json_and_pickle(space.decode(walk[-1]))
    if checks_arrays:
        wrong_arrays_are_refused(space)
    copy = pickle.loads(pickle.dumps(space))
    assert (random_walk(copy, n, seed=0)[-1] == walk[-1]).all()


def random_actions(space: Space, state: States, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """A uniform legal action for each state `[n]`; 0, which is ignored, for a finished one."""
    score = np.where(space.legal(state), rng.random((len(state), max(space.heads))), -1)
    return np.where(space.done(state), 0, score.argmax(1)).astype(np.int32)


def random_walk(space: Space, n: int, seed: int) -> list[States]:
    """The states of `n` random walks, one batch per step, until all are done."""
    rng = np.random.default_rng(seed)
    walk = [space.start(n)]
    while not space.done(walk[-1]).all():
        before = walk[-1].copy()
        walk.append(space.step(walk[-1], random_actions(space, walk[-1], rng)))
        assert (walk[-2] == before).all()  # step is pure
    assert len(walk) <= space.max_steps + 1
    return walk


def a_start_has_nothing_decided(space: Space) -> None:
    state = space.start(3)
    assert (state == state[0]).all()
    assert not space.done(state).any()
    assert len(space.start(0)) == 0


def every_state_says_what_is_legal(space: Space, walk: list[States]) -> None:
    for state in walk:
        legal, head, done = space.legal(state), space.head(state), space.done(state)
        assert (legal.any(1) == ~done).all()
        sizes = np.array(space.heads)[head]
        assert not legal[np.arange(max(space.heads)) >= sizes[:, None]].any()


def arrays_have_their_shapes_and_types(space: Space, walk: list[States]) -> None:
    n = len(walk[0])
    v, f = space.observe(walk[0]).shape[1], space.features(walk[0]).shape[1]
    for state in walk:
        shapes = {
            "state": (state, np.int16, walk[0].shape),
            "head": (space.head(state), np.int32, (n,)),
            "legal": (space.legal(state), np.bool_, (n, max(space.heads))),
            "done": (space.done(state), np.bool_, (n,)),
            "observe": (space.observe(state), np.int16, (n, v)),
            "features": (space.features(state), np.float32, (n, f)),
        }
        for name, (array, dtype, shape) in shapes.items():
            assert (name, array.dtype, array.shape) == (name, np.dtype(dtype), shape)
        assert np.isfinite(space.features(state)).all()


def a_batch_is_its_items(space: Space, walk: list[States]) -> None:
    state = walk[len(walk) // 2]
    action = random_actions(space, state, np.random.default_rng(1))
    for i in range(0, len(state), 7):
        one = state[i : i + 1]
        for what in (space.head, space.legal, space.done, space.observe, space.features):
            assert (what(one) == what(state)[i : i + 1]).all()
        assert (space.step(one, action[i : i + 1]) == space.step(state, action)[i : i + 1]).all()


def an_illegal_action_is_refused(space: Space, walk: list[States]) -> None:
    for state in walk[:-1]:
        legal = space.legal(state)
        i = int(np.argmin(space.done(state)))
        illegal = {-1, max(space.heads), *np.flatnonzero(~legal[i])[:2].tolist()}
        for wrong in illegal:
            action = random_actions(space, state, np.random.default_rng(2))
            action[i] = wrong
            with pytest.raises(ValueError, match=f"item {i}: action {wrong} is illegal"):
                space.step(state, action)


def a_finished_state_stays(space: Space, state: States) -> None:
    for action in (0, max(space.heads) - 1, max(space.heads), -1):
        assert (space.step(state, np.full(len(state), action, np.int32)) == state).all()


def architectures_lead_back_to_their_actions(
    space: Space, walk: list[States], one_walk: bool
) -> None:
    for i, architecture in enumerate(space.decode(walk[-1])):
        state = space.start(1)
        for step, action in enumerate(space.actions(architecture), 1):
            assert space.legal(state)[0, action]
            state = space.step(state, np.array([action], np.int32))
            assert not one_walk or (state[0] == walk[step][i]).all()
        assert space.done(state)[0]
        assert space.decode(state) == [architecture]


def an_unfinished_state_is_no_architecture(space: Space, walk: list[States]) -> None:
    state = walk[-1].copy()
    state[5] = space.start(1)[0]
    with pytest.raises(ValueError, match="item 5: the state is not finished"):
        space.decode(state)


def architectures_survive_json_and_pickle(architectures: list[Architecture]) -> None:
    for architecture in architectures:
        text = json.dumps(architecture.to_json())
        assert Architecture.from_json(json.loads(text)) == architecture
        assert pickle.loads(pickle.dumps(architecture)) == architecture
        assert len({architecture, Architecture.of(architecture.space, architecture.code)}) == 1
        corrupt = {**architecture.to_json(), "hash": "0" * 32}
        with pytest.raises(ValueError, match="corrupt architecture"):
            Architecture.from_json(corrupt)


def wrong_arrays_are_refused(space: Space) -> None:
    state = space.start(2)
    with pytest.raises(ValueError, match=r"state: expected int16 \[n, \d+\], got int32"):
        space.legal(state.astype(np.int32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"state: expected int16 \[n, \d+\], got int16 \[2, \d+\]"):
        space.done(state[:, :-1])
    with pytest.raises(ValueError, match=r"action: expected int32 \[2\], got int32 \[3\]"):
        space.step(state, np.zeros(3, np.int32))
    with pytest.raises(ValueError, match="n=-1"):
        space.start(-1)
