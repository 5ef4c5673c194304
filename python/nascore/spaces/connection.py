"""Which module reads which: the connectivities that MaskConnect learns, as decisions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nascore import _core
from nascore.spaces.architecture import Architecture
from nascore.spaces.core_space import CoreSpace


class ConnectionSpace(CoreSpace):
    """Nodes that read `fan_in` of their `candidates` each, or all of fewer (Ahmed & Torresani,
    ECCV 2018).

    A decision is the next candidate of a node, in rising order; the k-th head decides for node k.
    An observation is how much was picked and the node's last pick, -1 for none; features are the
    mask. `ResidualNet.candidates` has the numbers of a network.
    """

    name = "connection"

    def __init__(self, candidates: Sequence[int], fan_in: int) -> None:
        super().__init__(_core.ConnectionSpace(list(candidates), fan_in))
        self.fan_in = fan_in
        self.picks = tuple(min(fan_in, n) for n in candidates)  # of each node

    def __reduce__(self) -> tuple[type[ConnectionSpace], tuple[tuple[int, ...], int]]:
        return ConnectionSpace, (self.heads, self.fan_in)

    def architecture(self, code: Sequence[Sequence[int]]) -> Architecture:
        """The connectivity of the candidates that each node reads, in rising order, from 0 on.

        ValueError names the pick that this space does not have.
        """
        found = Architecture.of(self.name, tuple(map(tuple, code)))
        self.actions(found)
        return found

    def decode(self, state: npt.NDArray[np.int16]) -> list[Architecture]:
        """The connectivities of finished states."""
        self._require_finished(state)
        ends = np.cumsum(self.picks)[:-1].tolist()
        return [
            Architecture.of(self.name, tuple(tuple(p.tolist()) for p in np.split(row, ends)))
            for row in state
        ]

    def actions(self, architecture: Architecture) -> tuple[int, ...]:
        """The picks that write the connectivity."""
        given = tuple(map(len, architecture.code))
        if given != self.picks:
            raise ValueError(f"nodes that read {given} candidates; those here read {self.picks}")
        state = np.array([[pick for row in architecture.code for pick in row]], np.int16)
        try:
            return tuple(self._core.actions(state)[0].tolist())
        except ValueError as error:
            raise ValueError(str(error).removeprefix("item 0: ")) from None
