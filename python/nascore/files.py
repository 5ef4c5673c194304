"""Files that are whole whenever one looks."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where what several runs use is kept: NASCORE_CACHE, else `.cache/nascore` at home."""
    return Path(os.environ.get("NASCORE_CACHE") or Path.home() / ".cache" / "nascore")


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Replaces `path` at once: whoever dies meanwhile leaves the old file. Raises OSError."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)  # a full disk needs the space
        raise OSError(error.errno, error.strerror, str(path)) from error
