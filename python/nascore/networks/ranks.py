"""The processes that train one network together, as torchrun starts them; without it there is one.

They meet in torch's default process group, so that a program which has set up its own is served
alike.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Meets the other processes of torchrun, each on a GPU of its own where there are GPUs.

    Raises ValueError where there are more processes than GPUs.
    """
    if count() > 1 or not distributed.is_available() or not distributed.is_torchelastic_launched():
        yield
        return
    gpus, here = torch.cuda.device_count(), int(os.environ["LOCAL_WORLD_SIZE"])
    if gpus:
        if here > gpus:
            raise ValueError(
                f"torchrun started {here} processes, torch finds {gpus} GPUs; "
                f"give --nproc-per-node {gpus}"
            )
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if gpus else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def count() -> int:
    """How many processes train together."""
    together = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if together else 1


def rank() -> int:
    """Which of them this is; 0 alone validates, writes and prints."""
    return distributed.get_rank() if count() > 1 else 0


def agreed(value: T) -> T:
    """What `value` is in process 0."""
    if count() == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box)
    return box[0]


def total(value: Tensor) -> Tensor:
    """The sum of `value`, which is overwritten, over all processes."""
    if count() > 1:
        distributed.all_reduce(value)
    return value


def share(batch: int) -> slice:
    """Which images of a batch are this process's. Raises ValueError where shares are not equal."""
    if batch % count():
        raise ValueError(
            f"a batch of {batch} images cannot be shared equally by {count()} processes; "
            "set the recipe's batch to a multiple of them"
        )
    size = batch // count()
    return slice(rank() * size, (rank() + 1) * size)
