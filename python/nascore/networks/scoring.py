"""A network's score on a part of a task, with the data resident on the device."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from nascore.networks.build import Network
from nascore.networks.fuse import fuse
from nascore.tasks import Part, Task, in_order, resident


class Score(NamedTuple):
    """Accuracy in 0..1 and mean cross-entropy in nats."""

    accuracy: float
    loss: float


def accuracy(
    network: nn.Module,
    task: Task,
    part: Part,
    device: str | torch.device = "auto",
    batch: int = 256,
) -> Score:
    """The score of `network`, which it moves to `device`, on a part of `task`."""
    return _scores(lambda x: [network(x)], network, task, part, device, batch)[0]


def exit_scores(
    network: Network,
    task: Task,
    part: Part,
    device: str | torch.device = "auto",
    batch: int = 256,
) -> list[Score]:
    """`accuracy` of each exit of `network`, in their order; the last is that of its logits.

    On a CPU it runs fused.
    """
    device = find_device(device)
    runs = network if device.type != "cpu" or network.net.signal else fuse(network)
    return _scores(runs.exits, runs, task, part, device, batch)


def area(macs: Sequence[int], accuracies: Sequence[float], budget: int) -> float:
    """The area under accuracy against multiply-adds from 0 to `budget`, over `budget`: 0 to 1.

    The curve is a step function: at b multiply-adds it is the best of the `accuracies` of exits
    whose `macs`, which rise, are at most b, and 0 before the first of them. So it is the mean
    accuracy of what has answered when the time is up, were that uniform up to `budget`; the
    convention is a choice. Raises ValueError where the budget is not positive.
    """
    if budget < 1:
        raise ValueError(f"a budget of {budget} multiply-adds must be at least 1")
    total, best = 0.0, 0.0
    for at, until, found in zip(macs, (*macs[1:], budget), accuracies, strict=True):
        best = max(best, found)
        total += best * max(0, min(until, budget) - at)
    return total / budget


def _scores(
    answers: Callable[[Tensor], Sequence[Tensor]],
    network: nn.Module,
    task: Task,
    part: Part,
    device: str | torch.device,
    batch: int,
) -> list[Score]:
    """A score for each of the logits that `answers` gives for a batch of images."""
    device = find_device(device)
    place(network, device)
    images, labels = data_on(device, task, part)
    hits = torch.zeros((), dtype=torch.int64, device=device)
    loss = torch.zeros((), device=device)
    was_training = network.training
    network.eval()
    with torch.inference_mode(), autocast(device):
        for x, y in in_order(images, labels, batch, task.mean, task.std):
            given = [enough_outputs(logits, task) for logits in answers(x)]
            hits = hits + torch.stack([(logits.argmax(1) == y).sum() for logits in given])
            losses = [F.cross_entropy(logits, y, reduction="sum") for logits in given]
            loss = loss + torch.stack(losses)
    network.train(was_training)
    n = len(labels)
    return [Score(h / n, total / n) for h, total in zip(hits.tolist(), loss.tolist(), strict=True)]


def enough_outputs(logits: Tensor, task: Task) -> Tensor:
    """The logits [n, outputs]. Raises ValueError where `task` has more classes than outputs."""
    if logits.shape[1] < task.classes:
        raise ValueError(
            f"the network has {logits.shape[1]} outputs, {task.name} has {task.classes} classes: "
            "build and train one for this task"
        )
    return logits


def find_device(device: str | torch.device) -> torch.device:
    """A usable device; "auto" is the GPU where there is one. Raises ValueError."""
    gpus = torch.cuda.device_count()
    if device == "auto":
        return torch.device("cuda" if gpus else "cpu")
    kind, _, number = str(device).partition(":")
    if kind not in ("cpu", "cuda") or not (number.isdecimal() or not number):
        raise ValueError(f"device {str(device)!r}: known are 'auto', 'cpu', 'cuda' and 'cuda:N'")
    if kind == "cuda" and int(number or 0) >= gpus:
        raise ValueError(f"device {str(device)!r}: torch finds {gpus} GPUs; use 'auto' or 'cpu'")
    return torch.device(device)


def place(network: nn.Module, device: torch.device) -> None:
    """Moves `network`, channels last: 1.1 to 2.1 times as fast on a CPU too, on every net tried."""
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's annotations


@functools.lru_cache(maxsize=6)
def data_on(device: torch.device, task: Task, part: Part) -> tuple[Tensor, Tensor]:
    """Images uint8 [n, C, H, W] and labels [n], which all trials of a process share."""
    return resident(task, part, device)


def autocast(
    device: torch.device, amp: bool | None = None
) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision if `amp`; where that is None, on a GPU and not on a CPU."""
    if not (device.type == "cuda" if amp is None else amp):
        return contextlib.nullcontext()
    kind = low_precision() if device.type == "cuda" else torch.bfloat16
    return torch.autocast(device.type, kind)


def low_precision() -> torch.dtype:
    """The GPU's 16-bit type; the emulated bfloat16 of GPUs before Ampere is slow."""
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if native else torch.float16
