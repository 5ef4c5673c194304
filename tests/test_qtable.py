"""The Q-table beside a dictionary in plain Python that does the same, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nascore import _core

SEED, STREAM = 5, 16


class Reference:
    def __init__(self, actions: int, alpha: float, gamma: float, initial: float) -> None:
        self.actions, self.alpha, self.gamma, self.initial = actions, alpha, gamma, initial
        self.q: dict[tuple[int, ...], list[float]] = {}

    def row(self, observation: np.ndarray) -> list[float]:
        return self.q.get(tuple(observation.tolist()), [self.initial] * self.actions)

    def choose(
        self, observations: np.ndarray, legal: np.ndarray, epsilon: float, counter: int
    ) -> list[int]:
        chosen = []
        for i, (observation, mask) in enumerate(zip(observations, legal, strict=True)):
            candidates = np.flatnonzero(mask).tolist()
            if _core.uniform(SEED, STREAM, counter + i, 1)[0] >= epsilon:
                q = self.row(observation)
                best = max(q[a] for a in candidates)
                candidates = [a for a in candidates if q[a] == best]
            draw = _core.integers(SEED, STREAM + 1, counter + i, 1, len(candidates))[0]
            chosen.append(candidates[int(draw)])
        return chosen

    def sweep(
        self,
        observations: np.ndarray,
        actions: np.ndarray,
        legal: np.ndarray,
        rewards: np.ndarray,
    ) -> None:
        last = len(actions) - 1
        for t in range(last, -1, -1):
            target = float(rewards[t])
            if t < last:
                q = self.row(observations[t + 1])
                target += self.gamma * max(q[a] for a in np.flatnonzero(legal[t + 1]))
            row = self.q.setdefault(tuple(observations[t].tolist()), self.row(observations[t]))
            row[actions[t]] += self.alpha * (target - row[actions[t]])


def masks(rng: np.random.Generator, n: int, actions: int) -> np.ndarray:
    legal = rng.random((n, actions)) < 0.6
    legal[np.arange(n), rng.integers(0, actions, n)] = True
    return legal


@given(
    seed=st.integers(0, 2**32 - 1),
    actions=st.integers(1, 7),
    width=st.integers(1, 12),
    alpha=st.floats(0.01, 1),
    gamma=st.floats(0, 1),
    initial=st.floats(-2, 2),
    epsilon=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_equals_the_dictionary_step_by_step(
    seed: int,
    actions: int,
    width: int,
    alpha: float,
    gamma: float,
    initial: float,
    epsilon: float,
) -> None:
    rng = np.random.default_rng(seed)
    table = _core.QTable(actions, width, alpha, gamma, initial)
    reference = Reference(actions, alpha, gamma, initial)
    observations = rng.integers(-2, 3, (6, width)).astype(np.int16)
    for step in range(8):
        seen = observations[rng.integers(0, 6, 9)]
        legal = masks(rng, 9, actions)
        counter = 100 * step
        chosen = table.choose(seen, legal, epsilon, SEED, STREAM, counter)
        assert chosen.dtype == np.int32
        assert chosen.tolist() == reference.choose(seen, legal, epsilon, counter)
        # Rewards from few values, so that ties happen.
        rewards = rng.integers(0, 3, 9).astype(np.float64)
        table.sweep(seen, chosen, legal, rewards)
        reference.sweep(seen, chosen, legal, rewards)
        expected = [reference.row(observation) for observation in observations]
        assert table.values(observations).tolist() == expected
    copy = _core.QTable(actions, width, alpha, gamma, initial)
    copy.load(*table.state())
    assert copy.values(observations).tolist() == table.values(observations).tolist()
    assert all((a == b).all() for a, b in zip(copy.state(), table.state(), strict=True))
    assert set(map(tuple, table.state()[0].tolist())) == set(reference.q)


def episode(length: int, actions: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct observations, action 0 each time, everything legal."""
    observations = np.arange(length, dtype=np.int16)[:, None]
    return observations, np.zeros(length, np.int32), np.ones((length, actions), bool)


def test_3f4_the_first_update_of_a_shaped_episode() -> None:
    table = _core.QTable(3, 1, 0.01, 1.0, 0.0)
    observations, actions, legal = episode(5)
    table.sweep(observations, actions, legal, np.array([0.2, 0.2, 0.2, 0.2, 1.0]))
    q = table.values(observations)[:, 0]
    assert q[-1] == 0.01
    assert q[-2] == pytest.approx(0.01 * (0.2 + 0.01))
    assert not table.values(observations)[:, 1:].any()


def test_a_reward_reaches_the_start_in_one_sweep() -> None:
    table = _core.QTable(3, 1, 1.0, 0.5, 0.0)
    observations, actions, legal = episode(4)
    table.sweep(observations, actions, legal, np.array([0.0, 0.0, 0.0, 8.0]))
    assert table.values(observations)[:, 0].tolist() == [1, 2, 4, 8]


def test_the_best_of_the_next_step_is_among_its_legal_actions() -> None:
    table = _core.QTable(2, 1, 1.0, 1.0, 0.0)
    observations, actions, legal = episode(2, actions=2)
    table.sweep(observations[1:], np.array([1], np.int32), legal[1:], np.array([9.0]))
    legal[1, 1] = False
    table.sweep(observations, actions, legal, np.array([0.0, 3.0]))
    assert table.values(observations).tolist() == [[3, 0], [3, 9]]


def test_ties_and_exploration_are_uniform() -> None:
    table = _core.QTable(5, 1, 1.0, 1.0, 0.0)
    n = 20_000
    observations = np.zeros((n, 1), np.int16)
    legal = np.tile(np.array([True, False, True, True, True]), (n, 1))
    best = np.array([[0]], np.int16)
    for action in (0, 3):  # two of equal value, above the others
        table.sweep(best, np.array([action], np.int32), legal[:1], np.array([1.0]))
    greedy = np.bincount(table.choose(observations, legal, 0.0, 1, 16, 0), minlength=5)
    assert greedy[[1, 2, 4]].sum() == 0
    assert abs(greedy[0] - n / 2) < 4 * np.sqrt(n / 4)
    mixed = np.bincount(table.choose(observations, legal, 0.4, 1, 16, 0), minlength=5)
    for action, share in enumerate([0.4, 0, 0.1, 0.4, 0.1]):
        assert abs(mixed[action] - share * n) <= 4 * np.sqrt(n * share * (1 - share))


def test_a_choice_depends_on_its_counter_alone() -> None:
    table = _core.QTable(50, 1, 0.1, 1.0, 0.0)
    observations = np.zeros((40, 1), np.int16)
    legal = np.ones((40, 50), bool)
    whole = table.choose(observations, legal, 0.5, 7, 20, 1000)
    parts = [
        table.choose(observations[:8], legal[:8], 0.5, 7, 20, 1000 + i) for i in range(0, 40, 8)
    ]
    assert np.concatenate(parts).tolist() == whole.tolist()
    assert table.choose(observations, legal, 0.5, 8, 20, 1000).tolist() != whole.tolist()
    assert table.choose(observations, legal, 0.5, 7, 22, 1000).tolist() != whole.tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 5, 0.1, 1.0, 0.0), "actions=0 must be at least 1"),
        ((3, 0, 0.1, 1.0, 0.0), "observation_width=0 must be at least 1"),
        ((3, 5, 0.0, 1.0, 0.0), r"alpha=0\S* must be in \(0, 1\]"),
        ((3, 5, 1.5, 1.0, 0.0), "alpha=1.5"),
        ((3, 5, float("nan"), 1.0, 0.0), "alpha=nan"),
        ((3, 5, 0.1, -0.1, 0.0), "gamma=-0.1"),
        ((3, 5, 0.1, 1.0, float("inf")), "initial=inf"),
    ],
)
def test_a_wrong_table_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.QTable(*arguments)


def test_wrong_choices_are_refused() -> None:
    table = _core.QTable(3, 1, 0.1, 1.0, 0.0)
    observations, _, legal = episode(4)
    for epsilon in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=f"epsilon={epsilon}"):
            table.choose(observations, legal, epsilon, 0, 16, 0)
    legal[2] = False
    with pytest.raises(ValueError, match="item 2 has no legal action"):
        table.choose(observations, legal, 0.5, 0, 16, 0)
    with pytest.raises(ValueError, match=r"legal: expected bool \[4, 3\], got bool \[4, 2\]"):
        table.choose(observations, legal[:, :2], 0.5, 0, 16, 0)
    with pytest.raises(ValueError, match=r"observation: expected int16 \[n, 1\], got int64"):
        table.choose(observations.astype(np.int64), legal, 0.5, 0, 16, 0)


def test_a_wrong_sweep_is_refused_and_teaches_nothing() -> None:
    table = _core.QTable(3, 1, 0.1, 1.0, 0.0)
    observations, actions, legal = episode(3)
    rewards = np.ones(3)
    for wrong in (-1, 3):
        with pytest.raises(ValueError, match=f"step 0: action {wrong} is not legal"):
            table.sweep(observations, np.array([wrong, 0, 0], np.int32), legal, rewards)
    with pytest.raises(ValueError, match=r"step 1: reward -?nan is not finite"):
        table.sweep(observations, actions, legal, np.array([1, np.nan, 1]))
    legal[1, 0] = False
    with pytest.raises(ValueError, match="step 1: action 0 is not legal"):
        table.sweep(observations, actions, legal, rewards)
    assert len(table.state()[0]) == 0
    table.sweep(observations[:0], actions[:0], legal[:0], rewards[:0])
    assert len(table.state()[0]) == 0


def test_a_state_from_another_space_is_refused() -> None:
    table = _core.QTable(3, 1, 0.1, 1.0, 0.0)
    observations, actions, legal = episode(2)
    table.sweep(observations, actions, legal, np.ones(2))
    before = table.values(observations).tolist()
    keys, row, action, value = table.state()
    with pytest.raises(ValueError, match="from another space: its observations have 1 numbers"):
        _core.QTable(3, 5, 0.1, 1.0, 0.0).load(keys, row, action, value)
    with pytest.raises(ValueError, match="from another space: row 0, action 3"):
        table.load(keys, row, action + 3, value)
    with pytest.raises(ValueError, match="from another space: row 2"):
        table.load(keys, row + 2, action, value)
    with pytest.raises(ValueError, match="row 1 of the Q-table repeats"):
        table.load(keys * 0, row, action, value)
    assert table.values(observations).tolist() == before
