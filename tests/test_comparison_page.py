"""The page of `nascore compare`, in a browser."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from typing import Any

import pytest

from browser_kit import opened, says_what_is_near, sorts
from cli_kit import nascore


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three agents on a table of 27 rows, 4 searches each."""
    folder = tmp_path_factory.mktemp("compared")
    with (folder / "table.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("code", "val", "test"))
        for code in itertools.product(range(3), repeat=3):
            number = int("".join(map(str, code)), 3)
            rows.writerow(("".join(map(str, code)), number, 50 - number))
    table = ("--table", folder / "table.csv", "--choices", "3,3,3")
    asked = ("--reward", "val", "--report", "test", "--agents", "random,evolution,q_learning")
    done = nascore(
        *("compare", *table, *asked, "--trials", 12, "--seeds", 4),
        *("--workers", 1, "--out", folder / "out"),
    )
    assert (done.status, done.err) == (0, "")
    return folder / "out" / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_in_a_browser(page: Path, browser: Any, width: int, scheme: str) -> None:
    with opened(browser, page, width, scheme) as shown:
        sections = shown.evaluate("[...document.querySelectorAll('section')].map(s => s.id)")
        assert sections == ["compared", "curves", "found", "differences"]
        for column in (1, 2):
            sorts(shown, "#found table", column)
        sorts(shown, "#differences table", 2)
        says_what_is_near(shown, "curve-0")
        says_what_is_near(shown, "curve-1")
