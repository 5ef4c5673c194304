"""The value that every space decodes to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nascore import _core
from nascore.names import unknown
from nascore.spaces.layer_code import layer_text
from nascore.spaces.rows import integer_rows

Code = tuple[Any, ...]


def block_rows(code: npt.ArrayLike) -> npt.NDArray[np.int16]:
    """The rows `[L, 5]` of a block's code; ValueError where they are no rows of five integers."""
    if isinstance(code, Sized) and len(code) == 0:
        return np.empty((0, 5), np.int16)
    return integer_rows(code, 5, "a block's code")


def _block_graph(code: Code) -> _core.Graph:
    return _core.Graph.from_nsc(block_rows(code)).clean()


# How a space's codes become graphs; None for a space whose architectures have none.
_GRAPHS: dict[str, Callable[[Code], _core.Graph] | None] = {
    "block": _block_graph,
    "choices": None,
    "layer": None,
    "skip": None,
}


@dataclass(frozen=True)
class Architecture:
    """A code of a space; within a space, equal hashes mean the same network up to numbering."""

    space: str
    code: Code
    hash: str

    @classmethod
    def of(cls, space: str, code: Code) -> Architecture:
        """The architecture of a canonical code, its hash computed; ValueError where it is wrong."""
        if space not in _GRAPHS:
            raise unknown("space", space, _GRAPHS)
        to_graph = _GRAPHS[space]
        if to_graph is None:
            text = json.dumps([space, code])
            return cls(space, code, hashlib.blake2b(text.encode(), digest_size=16).hexdigest())
        return cls(space, code, to_graph(code).hash())

    @property
    def graph(self) -> _core.Graph | None:
        """The cleaned graph; None in a space without graphs."""
        to_graph = _GRAPHS[self.space]
        return None if to_graph is None else to_graph(self.code)

    @property
    def text(self) -> str:
        """The code in the form that a block space or a layer space parses; a list elsewhere."""
        if self.space == "layer":
            return layer_text(self.code)
        return str(list(self.code)).replace(" ", "")

    def to_json(self) -> dict[str, Any]:
        code = [list(part) if isinstance(part, tuple) else part for part in self.code]
        return {"space": self.space, "code": code, "hash": self.hash}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Architecture:
        """ValueError where a part is missing, or the hash is not that of the code."""
        if missing := {"space", "code", "hash"} - data.keys():
            raise ValueError(f"no architecture: {', '.join(sorted(missing))} missing in {data!r}")
        code = tuple(tuple(part) if isinstance(part, list) else part for part in data["code"])
        architecture = cls.of(data["space"], code)
        if architecture.hash != data["hash"]:
            raise ValueError(
                f"corrupt architecture: its hash is {data['hash']!r}, but that of its code "
                f"{architecture.hash!r}"
            )
        return architecture
