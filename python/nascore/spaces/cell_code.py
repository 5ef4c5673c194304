"""The code of a pair of cells, Normal and Reduction, and how it is written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from nascore import _core
from nascore.names import unknown
from nascore.spaces.rows import integer_rows

Block = tuple[int, ...]  # state1, state2, op1, op2, combine
Cell = tuple[tuple[Block, ...], tuple[int, ...]]  # blocks, and the states that the cell gives
CellCode = tuple[Cell, Cell]  # Normal, Reduction

_SIGNS = dict(zip(_core.CELL_COMBINES, ("+", "&", "+L", "+I"), strict=True))
_BLOCK = re.compile(r"([a-z]+\d?)\((\d+)\)(\+[LI]?|&)([a-z]+\d?)\((\d+)\)")
_CELL = re.compile(r"([^\[\]]*)(?:\[([\d, ]*)\])?\s*")


def unused(blocks: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The states of blocks that no block reads: what a cell gives unless it is told otherwise."""
    read = {state for block in blocks for state in block[:2]}
    return tuple(state for state in range(2, 2 + len(blocks)) if state not in read)


def cell_graphs(code: Any) -> tuple[_core.Graph, _core.Graph]:
    """The cleaned graphs of a code; ValueError names the cell, the block and its fault."""
    normal, reduction = cell_code(code)
    return _graph("Normal", normal, 1), _graph("Reduction", reduction, 2)


def cell_text(code: CellCode) -> str:
    """Such as "sep5(0)+sep3(1) avg3(0)+id(2) / ...": Normal, then Reduction.

    A block is what is done to which states, and "+" an add, "&" a concat, "+L" and "+I" an add with
    layer and instance norm. States in brackets at the end are those that the cell gives, where
    these are not just the unread ones.
    """
    return " / ".join(map(_cell_text, code))


def cell_code(code: Any) -> CellCode:
    """The code of a text, or of ((blocks, outputs), (blocks, outputs)); else ValueError.

    Without outputs a cell gives the states that no block reads.
    """
    cells = [_parsed(part) for part in code.split("/")] if isinstance(code, str) else code
    try:
        (normal, normal_out), (reduction, reduction_out) = cells
    except (TypeError, ValueError):
        raise ValueError(
            "a code of cells is a Normal and a Reduction one, each blocks and outputs; "
            f"got {code!r}"
        ) from None
    return _cell(normal, normal_out), _cell(reduction, reduction_out)


def beginning(text: str) -> list[list[Block]]:
    """The blocks of the first cells of a text, the last one perhaps not finished."""
    cells = [_parsed(part) for part in text.split("/")]
    if len(cells) > 2 or any(outputs for _, outputs in cells):
        raise ValueError("give the first blocks of a Normal, '/', a Reduction cell, no outputs")
    return [blocks for blocks, _ in cells]


def _graph(name: str, cell: Cell, stride: int) -> _core.Graph:
    blocks, outputs = cell
    try:
        rows = integer_rows(blocks, 5, "a cell")
        return _core.Graph.from_cell(rows, list(outputs), stride).clean()
    except ValueError as error:
        raise ValueError(f"{name} cell: {error}") from None


def _cell(blocks: Any, outputs: Any) -> Cell:
    rows = integer_rows(blocks, 5, "a cell").tolist()
    given = tuple(outputs)
    if not all(isinstance(state, int) for state in given):
        raise ValueError(f"the outputs of a cell are states, which are integers; got {outputs!r}")
    return tuple(map(tuple, rows)), given or unused(rows)


def _cell_text(cell: Cell) -> str:
    blocks, outputs = cell
    text = " ".join(
        f"{_core.CELL_OPS[op1]}({state1}){_SIGNS[_core.CELL_COMBINES[combine]]}"
        f"{_core.CELL_OPS[op2]}({state2})"
        for state1, state2, op1, op2, combine in blocks
    )
    return text if outputs == unused(blocks) else f"{text} [{','.join(map(str, outputs))}]"


def _parsed(text: str) -> tuple[list[Block], list[int]]:
    match = _CELL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text.strip()!r} is no cell: outputs stand in brackets at its end")
    words, outputs = match.groups()
    signs = list(_SIGNS.values())
    blocks: list[Block] = []
    for word in words.split():
        if (block := _BLOCK.fullmatch(word)) is None:
            raise ValueError(f"{word!r} is no block: write it like sep5(0)+sep3(1)")
        op1, state1, sign, op2, state2 = block.groups()
        for op in (op1, op2):
            if op not in _core.CELL_OPS:
                raise unknown("operation", op, _core.CELL_OPS)
        ops = (_core.CELL_OPS.index(op1), _core.CELL_OPS.index(op2))
        blocks.append((int(state1), int(state2), *ops, signs.index(sign)))
    return blocks, [int(state) for state in (outputs or "").replace(",", " ").split()]
