"""Tables of truly trained architectures, for comparing agents without training anything."""

from __future__ import annotations

import csv
from pathlib import Path

BLOCKS = Path(__file__).parent / "blocks_digits.csv"  # made by `python -m nascore.tables.make`

MAX_LAYERS = 3
SEEDS = (0, 1)


def read(path: Path = BLOCKS) -> list[dict[str, str]]:
    """The rows of a table; see `nascore.tables.make` for its columns."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
