"""The value that every space decodes to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nascore import _core
from nascore.names import unknown
from nascore.spaces.anytime_code import anytime_graphs
from nascore.spaces.cell_code import cell_graphs, cell_text
from nascore.spaces.layer_code import layer_text
from nascore.spaces.rows import integer_rows

Code = tuple[Any, ...]


def block_rows(code: npt.ArrayLike) -> npt.NDArray[np.int16]:
    """The rows `[L, 5]` of a block's code; ValueError where they are no rows of five integers."""
    if isinstance(code, Sized) and len(code) == 0:
        return np.empty((0, 5), np.int16)
    return integer_rows(code, 5, "a block's code")


def _block_graph(code: Code) -> tuple[_core.Graph, ...]:
    return (_core.Graph.from_nsc(block_rows(code)).clean(),)


def _dag_graph(code: Code) -> tuple[_core.Graph, ...]:
    numbers = [n for row in code for n in row]
    if not code or min(map(len, code)) < 3 or not all(type(n) is int for n in numbers):
        raise ValueError(f"a dag's code is rows (op, kernel, dilation, nodes read), got {code!r}")
    for v, row in enumerate(code, 1):
        if list(row[3:]) != sorted(set(row[3:])):
            raise ValueError(f"node {v}: it reads {row[3:]}; each node once, in rising order")
    edges = [(u, v) for v, row in enumerate(code, 1) for u in row[3:]]
    rows = np.array([row[:3] for row in code], np.int32)
    return (_core.Graph.from_dag(rows, np.array(edges, np.int32).reshape(-1, 2)).clean(),)


# How a space's codes become graphs, which are cleaned but for those of anytime networks; None for a
# space whose architectures have none.
_GRAPHS: dict[str, Callable[[Code], tuple[_core.Graph, ...]] | None] = {
    "anytime": anytime_graphs,
    "block": _block_graph,
    "cell": cell_graphs,
    "choices": None,
    "connection": None,
    "dag": _dag_graph,
    "layer": None,
    "net": None,
    "skip": None,
}


def joined(hashes: Sequence[str]) -> str:
    """The hash of an architecture of several graphs, whose order counts; of one, that one's."""
    return hashes[0] if len(hashes) == 1 else _digest(hashes)


def _digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=16).hexdigest()


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


@dataclass(frozen=True)
class Architecture:
    """A code of a space; within a space, equal hashes mean the same network up to numbering."""

    space: str
    code: Code
    hash: str

    @classmethod
    def of(cls, space: str, code: Code) -> Architecture:
        """The architecture of a canonical code, its hash computed; ValueError where it is wrong.

        A space of one's own has a dot in its name, as in "mypackage.rings"; its code, of numbers,
        texts and tuples of them, is all that its hash is of.
        """
        if space not in _GRAPHS and "." not in space:
            raise unknown("space", space, _GRAPHS)
        if (to_graphs := _GRAPHS.get(space)) is None:
            return cls(space, code, _digest([space, code]))
        return cls(space, code, joined([graph.hash() for graph in to_graphs(code)]))

    @property
    def graphs(self) -> tuple[_core.Graph, ...]:
        """The graphs that its hash is of: one of a block, one of each cell, else none."""
        to_graphs = _GRAPHS.get(self.space)
        return () if to_graphs is None else to_graphs(self.code)

    @property
    def graph(self) -> _core.Graph | None:
        """The cleaned graph of a block; None in another space."""
        graphs = self.graphs
        return graphs[0] if len(graphs) == 1 else None

    @property
    def text(self) -> str:
        """The code in the form that its space parses; a list where that parses none."""
        if self.space == "layer":
            return layer_text(self.code)
        if self.space == "cell":
            return cell_text(self.code)
        return str(list(self.code)).replace(" ", "")

    def to_json(self) -> dict[str, Any]:
        return {"space": self.space, "code": json.loads(json.dumps(self.code)), "hash": self.hash}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Architecture:
        """ValueError where a part is missing, or the hash is not that of the code."""
        if missing := {"space", "code", "hash"} - data.keys():
            raise ValueError(f"no architecture: {', '.join(sorted(missing))} missing in {data!r}")
        architecture = cls.of(data["space"], _tuples(data["code"]))
        if architecture.hash != data["hash"]:
            raise ValueError(
                f"corrupt architecture: its hash is {data['hash']!r}, but that of its code "
                f"{architecture.hash!r}"
            )
        return architecture
