"""What the spaces of the compiled core share."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt

from nascore import _core


class CoreSpace:
    """A space whose decisions the core makes: batches of states `[n, W]` in, arrays out.

    An argument of another shape or dtype, or an illegal action, is a ValueError that names it.
    """

    def __init__(self, core: _core.Space) -> None:
        self._core = core
        self.heads: tuple[int, ...] = core.heads
        self.max_steps: int = core.max_steps

    @property
    def core(self) -> _core.Space:
        """The compiled space, for what walks it without Python."""
        return self._core

    def start(self, n: int) -> npt.NDArray[np.int16]:
        """`n` states with nothing decided, `[n, W]`."""
        return self._core.start(n)

    def head(self, state: npt.NDArray[np.int16]) -> npt.NDArray[np.int32]:
        """Which of the heads decides next, `[n]`; of a finished state, the last one that did."""
        return self._core.head(state)

    def legal(self, state: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
        """The actions that are possible, `[n, A]`; none where a state is finished."""
        return self._core.legal(state)

    def step(
        self, state: npt.NDArray[np.int16], action: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.int16]:
        """The states after the actions `[n]`; a finished one stays as it is."""
        return self._core.step(state, action)

    def done(self, state: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
        """Which states are finished, `[n]`."""
        return self._core.done(state)

    def observe(self, state: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        """What a table is keyed on, `[n, V]`."""
        return self._core.observe(state)

    def features(self, state: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        """What a network reads, `[n, F]`."""
        return self._core.features(state)

    def key(self, state: npt.NDArray[np.int16]) -> npt.NDArray[np.uint64]:
        """Equal for states below which the same is found, whatever led to them, `[n, 2]`."""
        return self._core.key(state)

    def prefix(self, code: str) -> tuple[int, ...]:
        """The first decisions, as numbers like "[0,2]"; ValueError where none is left to be made.

        A space whose codes are written from their beginning takes the beginning of one instead.
        """
        try:
            actions = json.loads(code)
        except ValueError:
            actions = None
        if not isinstance(actions, list) or any(type(action) is not int for action in actions):
            raise ValueError(f"{code!r} is no list of decisions such as [0,2]")
        state = self.start(1)
        for i, action in enumerate(actions):
            legal = np.flatnonzero(self.legal(state)[0]).tolist()
            if not legal:
                raise ValueError(f"{code}: all is decided by the first {i}; give fewer")
            if action not in legal:
                choices = ", ".join(map(str, legal))
                raise ValueError(f"decision {i + 1} is {action}; it may be {choices}")
            state = self.step(state, np.array([action], np.int32))
        if self.done(state)[0]:
            raise ValueError(f"{code} leaves nothing to decide; give fewer")
        return tuple(actions)

    def _require_finished(self, state: npt.NDArray[np.int16]) -> None:
        done = self.done(state)
        if not done.all():
            raise ValueError(f"item {int(np.argmin(done))}: the state is not finished")
