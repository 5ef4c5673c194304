"""The file from which a training goes on."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from nascore.files import write_whole

# What torch.load and load_state_dict raise for a file that is torn or another network's.
_UNREADABLE = (
    RuntimeError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Replaces `path` at once. Raises OSError."""
    file = io.BytesIO()
    torch.save(state, file)
    write_whole(path, file.getbuffer())


@contextmanager
def loaded(path: Path, device: torch.device) -> Iterator[dict[str, Any]]:
    """What `save` wrote; ValueError where it is torn, or fails whoever makes use of it."""
    try:
        yield torch.load(path, map_location=device, weights_only=True)
    except _UNREADABLE as error:
        raise ValueError(
            f"{path} is not a checkpoint of this training; delete it to train from the start"
        ) from error
