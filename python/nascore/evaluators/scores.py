"""A table that holds the results of every architecture of a space, read and checked."""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nascore.names import unknown
from nascore.spaces import BlockSpace, ChoicesSpace
from nascore.trial import Space


@dataclass(frozen=True)
class Scores:
    """The columns `[n]` of a table's numbers, and the row of each architecture by its hash."""

    space: Space
    rows: Mapping[str, int]
    columns: Mapping[str, npt.NDArray[np.float64]]


def read_scores(
    path: str | Path, code: str, columns: Sequence[str], sizes: Sequence[int] | None = None
) -> Scores:
    """The numbers of a CSV or Parquet file whose column `code` has a digit for each choice.

    The `sizes` of the choices are found where they are not given. Raises ValueError naming the row
    that is no code, is there twice or has no number, or the code that has no row; ImportError for
    Parquet without pyarrow.
    """
    cells = _cells(Path(path), [code, *columns])
    numbers = _numbers(path, cells, columns)
    codes = [str(text) for text in cells[code]]
    first: dict[str, int] = {}
    for i, text in enumerate(codes, 1):
        where = f"{path}, row {i}: {code}"
        if not re.fullmatch("[0-9]+", text):
            raise ValueError(f"{where} is {text!r}; expected a digit for each choice")
        if len(text) != len(codes[0]):
            raise ValueError(
                f"{where} is {text!r} of {len(text)} digits, row 1's is {codes[0]!r} of "
                f"{len(codes[0])}; a number column loses leading zeros, keep codes as text"
            )
        if text in first:
            raise ValueError(f"{where} {text!r} is there already, in row {first[text]}")
        first[text] = i
    choices = [tuple(map(int, text)) for text in codes]
    if sizes is None:
        sizes = [max(column) + 1 for column in zip(*choices, strict=True)]
    space = ChoicesSpace(sizes)
    rows = {}
    for i, choice in enumerate(choices):
        try:
            rows[space.architecture(choice).hash] = i
        except ValueError as error:
            raise ValueError(f"{path}, row {i + 1}: {code} {codes[i]!r}: {error}") from None
    if len(rows) != math.prod(sizes):
        combinations = ("".join(map(str, c)) for c in itertools.product(*map(range, sizes)))
        missing = next(text for text in combinations if text not in first)
        raise ValueError(
            f"{path} has {len(rows):,} of the {math.prod(sizes):,} combinations of "
            f"{', '.join(map(str, sizes))} choices; {code} {missing!r} is the first without a row"
        )
    return Scores(space, rows, numbers)


def read_blocks(path: str | Path, columns: Sequence[str], max_layers: int) -> Scores:
    """The numbers of a CSV file that has every block of up to `max_layers` by its column `hash`.

    Raises ValueError as `read_scores` does.
    """
    cells = _cells(Path(path), ["hash", *columns])
    rows = {key: i for i, key in enumerate(cells["hash"])}
    return Scores(BlockSpace(max_layers), rows, _numbers(path, cells, columns))


def _cells(path: Path, columns: Sequence[str]) -> dict[str, list[Any]]:
    """What is written in these columns."""
    if path.suffix == ".parquet":
        try:
            import pyarrow.parquet
        except ImportError as error:
            message = "Parquet tables need pyarrow: pip install 'nascore[data]'"
            raise ImportError(message) from error
        known = pyarrow.parquet.read_schema(path).names
        _require(path, columns, known)
        wanted = list(dict.fromkeys(columns))
        cells: dict[str, list[Any]] = pyarrow.parquet.read_table(path, columns=wanted).to_pydict()
    else:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            _require(path, columns, reader.fieldnames or ())
            records = list(reader)
        cells = {column: [record[column] for record in records] for column in columns}
    if not cells[columns[0]]:
        raise ValueError(f"{path} has no rows")
    return cells


def _require(path: Path, columns: Sequence[str], known: Sequence[str]) -> None:
    for column in columns:
        if column not in known:
            raise ValueError(f"{path}: {unknown('column', column, known)}")


def _numbers(
    path: str | Path, cells: Mapping[str, Sequence[Any]], columns: Sequence[str]
) -> dict[str, npt.NDArray[np.float64]]:
    numbers = {}
    for column in columns:
        numbers[column] = np.empty(len(cells[column]))
        for i, cell in enumerate(cells[column]):
            try:
                numbers[column][i] = float(cell)
            except (TypeError, ValueError):
                numbers[column][i] = math.nan
            if not math.isfinite(numbers[column][i]):
                raise ValueError(f"{path}, row {i + 1}: {column} is {cell!r}, not a finite number")
    return numbers
