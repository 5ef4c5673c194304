"""Walking blocks, asking and teaching a Q table, costing networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nascore import _core
from nascore.networks import Network
from nascore.spaces import Architecture, BlockSpace, Skeleton
from side_by_side import Compare, Route

SPACE = BlockSpace(23)
BATCH = 1000


def plain_rows() -> list[tuple[int, int, int, int]]:
    """Action -> type, kernel, pred1, pred2."""
    rows = [(7, 0, 0, 0)]
    unary = [(1, 1), (1, 3), (1, 5), (2, 1), (2, 3), (3, 1), (3, 3), (4, 0)]
    for q in range(SPACE.max_layers):
        rows += [(op, kernel, q, 0) for op, kernel in unary]
        rows += [(op, 0, p, q) for p in range(q) for op in (5, 6)]
    return rows


def plain_walk(rows: list[tuple[int, int, int, int]], actions: list[int]) -> list[list[int]]:
    """What `legal` and `step` do, one decision after the other."""
    code: list[list[int]] = []
    for action in actions:
        count = len(code) + 1
        legal = [a < 1 + 8 * count + count * (count - 1) for a in range(len(rows))]
        assert legal[action]
        code.append([count, *rows[action]])
    return code


@pytest.fixture(scope="module")
def actions() -> np.ndarray:
    """Decisions of random walks of 23 layers that do not end early, `[23, n]`."""
    rng = np.random.default_rng(0)
    counts = [1 + 8 * p + p * (p - 1) for p in range(1, SPACE.max_layers + 1)]
    return np.stack([rng.integers(1, count, BATCH) for count in counts]).astype(np.int32)


def walk(actions: np.ndarray) -> np.ndarray:
    state = SPACE.start(BATCH)
    for action in actions:
        SPACE.legal(state)
        state = SPACE.step(state, action)
    return state


def test_legal_and_step_of_blocks(compare: Compare, actions: np.ndarray) -> None:
    rows = plain_rows()
    columns = actions.T[:20].tolist()

    def agree(ours: np.ndarray, theirs: list[list[list[int]]]) -> None:
        assert ours[:20].reshape(20, -1, 5).tolist() == theirs

    compare(
        "`legal` and `step` on blocks of 23 layers",
        "transitions",
        {
            "nascore": Route(lambda: walk(actions), actions.size),
            "plain Python": Route(
                lambda: [plain_walk(rows, c) for c in columns], len(columns) * SPACE.max_steps
            ),
        },
        agree,
    )


def test_qtable_choose(compare: Compare, actions: np.ndarray) -> None:
    state = walk(actions[:12])
    observations, legal = SPACE.observe(state), SPACE.legal(state)
    table = _core.QTable(SPACE.heads[0], 5, 0.01, 1.0, 0.0)
    table.sweep(observations, actions[12], legal, np.random.default_rng(1).random(BATCH))

    def plain() -> list[int]:
        chosen = []
        for i, (q, mask) in enumerate(zip(table.values(observations), legal, strict=True)):
            q = np.where(mask, q, -np.inf)
            if _core.uniform(3, 16, i, 1)[0] < 0.1:
                best = np.flatnonzero(mask)
            else:
                best = np.flatnonzero(q == q.max())
            chosen.append(int(best[_core.integers(3, 17, i, 1, len(best))[0]]))
        return chosen

    def agree(ours: np.ndarray, theirs: list[int]) -> None:
        assert ours.tolist() == theirs

    compare(
        "epsilon-greedy choices of a Q table",
        "choices",
        {
            "nascore": Route(lambda: table.choose(observations, legal, 0.1, 3, 16, 0), BATCH),
            "NumPy": Route(plain, BATCH),
        },
        agree,
    )


def test_qtable_sweep(compare: Compare, actions: np.ndarray) -> None:
    steps = SPACE.max_steps
    states = [SPACE.start(BATCH)]
    for action in actions:
        states.append(SPACE.step(states[-1], action))
    stacked = np.stack(states[:-1], 1)[:100].reshape(-1, states[0].shape[1])  # [100 * steps, W]
    observations = SPACE.observe(stacked).reshape(100, steps, 5)
    legal = SPACE.legal(stacked).reshape(100, steps, -1)
    taken = np.ascontiguousarray(actions.T[:100])
    rewards = np.random.default_rng(2).random((100, steps))

    def sweep() -> _core.QTable:
        table = _core.QTable(SPACE.heads[0], 5, 0.01, 1.0, 0.0)
        for i in range(100):
            table.sweep(observations[i], taken[i], legal[i], rewards[i])
        return table

    def plain() -> dict[bytes, np.ndarray]:
        q: dict[bytes, np.ndarray] = {}
        for i in range(100):
            rows = [q.setdefault(o.tobytes(), np.zeros(SPACE.heads[0])) for o in observations[i]]
            for t in range(steps - 1, -1, -1):
                last = t == steps - 1
                best = 0.0 if last else float(rows[t + 1][legal[i, t + 1]].max())
                value = rows[t][taken[i, t]]
                rows[t][taken[i, t]] += 0.01 * (rewards[i, t] + best - value)
        return q

    def agree(ours: _core.QTable, theirs: dict[bytes, np.ndarray]) -> None:
        asked = observations.reshape(-1, 5)
        assert (ours.values(asked) == np.stack([theirs[o.tobytes()] for o in asked])).all()

    compare(
        "backward sweeps of a Q table",
        "updates",
        {"nascore": Route(sweep, 100 * steps), "NumPy": Route(plain, 100 * steps)},
        agree,
    )


def test_cost_of_blocks(compare: Compare) -> None:
    space = BlockSpace(8)
    rng = np.random.default_rng(3)
    state = space.start(BATCH)
    while not space.done(state).all():
        counts = space.legal(state).sum(1)
        state = space.step(state, rng.integers(0, np.maximum(counts, 1)).astype(np.int32))
    codes = state.reshape(BATCH, -1, 5)
    skeleton = Skeleton.small()

    def by_torch(architecture: Architecture) -> list[int]:
        with torch.device("meta"):  # shapes without numbers
            module = Network(skeleton.expand(architecture, (1, 28, 28), 10)).eval()
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                module(torch.empty(1, 1, 28, 28))
        params = sum(parameter.numel() for parameter in module.parameters())
        return [params, counter.get_total_flops() // 2]

    architectures = space.decode(state[:20])

    def agree(ours: np.ndarray, theirs: list[list[int]]) -> None:
        assert ours[:20, :2].tolist() == theirs

    compare(
        "networks costed: parameters, multiply-adds, memory",
        "networks",
        {
            "nascore": Route(lambda: _core.nsc_cost(codes, skeleton.core(), 1, 28, 28, 10), BATCH),
            "torch on the meta device": Route(lambda: [by_torch(a) for a in architectures], 20),
        },
        agree,
    )
