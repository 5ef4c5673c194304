"""Walking a space: writing architectures by a choice function, and retracing written ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


def retrace(
    space: Space, episodes: Sequence[tuple[int, ...]]
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_]]:
    """What was seen, [n, T, V], and allowed, [n, T, A], before each action of `n` episodes."""
    actions = np.full((len(episodes), max(map(len, episodes))), -1, np.int32)
    for row, episode in zip(actions, episodes, strict=True):
        row[: len(episode)] = episode
    states = space.start(len(episodes))
    observations, legal = [], []
    for action in actions.T:  # a finished state stays as it is, whatever the action
        observations.append(space.observe(states))
        legal.append(space.legal(states))
        states = space.step(states, np.ascontiguousarray(action))
    return np.stack(observations, axis=1), np.stack(legal, axis=1)
