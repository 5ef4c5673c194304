"""The table of trained blocks and its making."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from nascore.tables import make, read


def test_every_distinct_block_is_there_once() -> None:
    found = make.blocks(2)
    assert len({block.hash for block in found}) == len(found)
    rows = Counter(len(block.code) for block in found)
    # Nothing; three convolutions and two poolings, as kernel 1 pools nothing; two layers.
    assert (rows[1], rows[2]) == (1, 5)
    assert rows.keys() == {1, 2, 3}


def test_a_table_that_was_torn_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = make.blocks(1)[:3]
    monkeypatch.setattr(make, "blocks", lambda max_layers: blocks)
    path = tmp_path / "table.csv"
    row = ",".join(["1"] * (len(make.COLUMNS) - 1))
    lines = [",".join(make.COLUMNS), *(f"{block.hash},{row}" for block in reversed(blocks))]
    path.write_text("\n".join([*lines, "torn,1,1"]))
    make.main(path)
    assert [row["hash"] for row in read(path)] == [block.hash for block in blocks]
    assert list(tmp_path.iterdir()) == [path]
