"""What several test files share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser_kit import CHROMIUM

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the library is imported
# Tests press Ctrl-C in processes of theirs, which inherit it ignored where these run under nohup.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded images go to a folder of the test session, in its worker processes too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def cifar10() -> Path:
    """The folder of CIFAR-10's parquet files."""
    data = os.environ.get("NASCORE_TEST_DATA")
    if data is None:
        pytest.skip("NASCORE_TEST_DATA is not set: no CIFAR-10")
    folder = Path(data) / "cifar10"
    if not folder.is_dir():
        pytest.skip(f"no CIFAR-10 in {folder}")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, without a window."""
    if CHROMIUM is None:
        pytest.skip("no chromium here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NASCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tasks"


@pytest.fixture
def latencies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache where no latency is known yet; its decoded images are those of the session."""
    folder = tmp_path / "cache"
    (folder / "latency").mkdir(parents=True)
    decoded = Path(os.environ["NASCORE_CACHE"]) / "tasks"
    decoded.mkdir(exist_ok=True)
    (folder / "tasks").symlink_to(decoded)
    monkeypatch.setenv("NASCORE_CACHE", str(folder))
    return folder
