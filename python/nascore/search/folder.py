"""A run's folder: one writer at a time, and files that are never half written."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from datetime import datetime
from pathlib import Path
from typing import Any

from nascore.files import write_whole


class RunError(Exception):
    """A run that cannot be written, read or continued; the message says why and what to do."""


def make(folder: Path) -> None:
    """Makes a run's folder; raises RunError where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot create the run folder {folder}: {error.strerror}") from error


def lock(folder: Path) -> int:
    """Takes the right to write `folder` until the file that is returned closes, or we die."""
    path = folder / "lock"
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise RunError(f"cannot write to the run folder {folder}: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(file, 1000).decode(errors="replace").strip()
        os.close(file)
        raise RunError(f"run {folder} is being written by {holder or 'another process'}") from error
    now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    try:
        os.ftruncate(file, 0)
        os.write(file, f"process {os.getpid()} on {socket.gethostname()} since {now}\n".encode())
    except OSError as error:
        os.close(file)
        raise unwritable(str(folder), error) from error
    return file


def write_json(path: Path, value: Any) -> None:
    """Replaces `path` at once, so that a reader sees the old value or the new one."""
    try:
        write_whole(path, f"{json.dumps(value, indent=1)}\n".encode())
    except OSError as error:
        raise unwritable(str(path.parent), error) from error


def unwritable(run: str, error: OSError) -> RunError:
    """What to say when the run's files cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return disk_full(run)
    return RunError(f"cannot write {run}: {error.strerror}; mend that and resume the run")


def disk_full(run: str) -> RunError:
    return RunError(f"disk full while writing {run}: free space and run `nascore resume {run}`")
