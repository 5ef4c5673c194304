"""A training's curves for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nascore.networks import Epoch

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Log(Protocol):
    def __call__(self, epoch: Epoch) -> None: ...


def summary_writer() -> type[SummaryWriter]:
    """TensorBoard's; ImportError naming the extra where it is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "--tensorboard needs tensorboard: pip install 'nascore[tensorboard]'"
        ) from error
    return SummaryWriter


@contextmanager
def training_log(folder: Path | None) -> Iterator[Log]:
    """Call what it gives after every epoch; it writes into `folder`, or nothing without one.

    A training that goes on replaces what was written of epochs that it does again. Raises
    ImportError without tensorboard.
    """
    if folder is not None:
        writes = summary_writer()
    writer: SummaryWriter | None = None

    def write(epoch: Epoch) -> None:
        nonlocal writer
        if folder is None:
            return
        if writer is None:
            writer = writes(str(folder), purge_step=epoch.done)
        for name, value in (
            ("loss/train", epoch.loss),
            ("loss/valid", epoch.valid.loss),
            ("accuracy/train", epoch.accuracy),
            ("accuracy/valid", epoch.valid.accuracy),
            ("learning rate", epoch.lr),
            ("images per second", epoch.images_per_s),
        ):
            writer.add_scalar(name, value, epoch.done)
        writer.flush()

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
