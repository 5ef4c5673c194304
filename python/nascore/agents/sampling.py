"""Walking a space: writing architectures by a choice function, and retracing written ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nascore.trial import Proposal, Space

States = npt.NDArray[np.int16]
Actions = npt.NDArray[np.int32]


def sample(space: Space, n: int, choose: Callable[[States, int], Actions]) -> list[Proposal]:
    """Write `n` architectures; `choose(states [m, W], step)` decides for the unfinished ones."""
    states = space.start(n)
    actions = np.full((n, space.max_steps), -1, np.int32)
    for step in range(space.max_steps):
        active = np.flatnonzero(~space.done(states))
        if not active.size:
            break
        actions[active, step] = choose(states[active], step)
        states[active] = space.step(states[active], actions[active, step])
    return [
        Proposal(architecture, tuple(int(a) for a in row if a >= 0))
        for architecture, row in zip(space.decode(states), actions, strict=True)
    ]


def retrace(space: Space, actions: tuple[int, ...]) -> tuple[States, npt.NDArray[np.bool_]]:
    """What was seen, [T, V], and allowed, [T, A], before each of `T` actions."""
    state = space.start(1)
    observations, legal = [], []
    for action in actions:
        observations.append(space.observe(state))
        legal.append(space.legal(state))
        state = space.step(state, np.array([action], np.int32))
    return np.concatenate(observations), np.concatenate(legal)
