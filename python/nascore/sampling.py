"""Walking a space: writing architectures by a choice function, and retracing written ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from nascore.trial import Proposal, Space

States = npt.NDArray[np.int16]
Actions = npt.NDArray[np.int32]


def write(space: Space, n: int, choose: Callable[[States, int], Actions]) -> tuple[States, Actions]:
    """Finished states `[n, W]` and the actions `[n, T]` that led there, -1 after the last.

    `choose(states [m, W], step)` decides for the unfinished ones.
    """
    states = space.start(n)
    actions = np.full((n, space.max_steps), -1, np.int32)
    for step in range(space.max_steps):
        active = np.flatnonzero(~space.done(states))
        if not active.size:
            break
        actions[active, step] = choose(states[active], step)
        states[active] = space.step(states[active], actions[active, step])
    return states, actions


def sample(space: Space, n: int, choose: Callable[[States, int], Actions]) -> list[Proposal]:
    """Writes `n` architectures."""
    states, actions = write(space, n, choose)
    return [
        Proposal(architecture, tuple(int(a) for a in row if a >= 0))
        for architecture, row in zip(space.decode(states), actions, strict=True)
    ]


def draw(legal: npt.NDArray[np.bool_], uniforms: npt.NDArray[np.float64]) -> Actions:
    """One of each row's `legal` actions `[n, A]`, all equally likely, by `uniforms` `[n]`."""
    wanted = (uniforms * legal.sum(1)).astype(np.int32)  # the wanted-th legal action
    return np.asarray((legal.cumsum(1) > wanted[:, None]).argmax(1), np.int32)


def padded(episodes: Sequence[tuple[int, ...]]) -> Actions:
    """The actions of `n` episodes, `[n, T]`, -1 after the last of each."""
    actions = np.full((len(episodes), max(map(len, episodes), default=0)), -1, np.int32)
    for row, episode in zip(actions, episodes, strict=True):
        row[: len(episode)] = episode
    return actions


def walk(space: Space, actions: Actions) -> Iterator[States]:
    """The states `[n, W]` before each of the actions `[n, T]`; a finished one stays as it is."""
    states = space.start(len(actions))
    for action in actions.T:
        yield states
        states = space.step(states, np.ascontiguousarray(action))


def states_after(space: Space, episodes: Sequence[tuple[int, ...]]) -> States:
    """The states `[n, W]` that the actions of `n` episodes lead to."""
    states = space.start(len(episodes))
    for action in padded(episodes).T:  # a finished state stays as it is, whatever the action
        states = space.step(states, np.ascontiguousarray(action))
    return states


def varied(
    space: Space,
    parent: tuple[int, ...],
    first: int,
    places: npt.NDArray[np.float64],
    uniforms: npt.NDArray[np.float64],
) -> States:
    """`n` finished states `[n, W]` that leave a parent's way at one decision from the `first` on.

    `places` `[n]` says where, `uniforms` `[max_steps, n]` draws the other decision there. Later
    ones are the parent's where they are legal, and else drawn too.
    """
    changed = first + (places * (len(parent) - first)).astype(np.int64)
    states = space.start(len(places))
    for step in range(space.max_steps):
        rows = np.flatnonzero(~space.done(states))
        if not rows.size:
            break
        legal = space.legal(states[rows])
        keep = np.zeros(len(rows), bool)
        if step < len(parent):
            elsewhere = (changed[rows] == step) & (legal.sum(1) > 1)
            keep = legal[:, parent[step]] & ~elsewhere
            legal[elsewhere, parent[step]] = False
        actions = draw(legal, uniforms[step, rows])
        actions[keep] = parent[step] if step < len(parent) else 0
        states[rows] = space.step(states[rows], actions)
    return states
