"""Training a student network on what its teacher says (N2N; Ashok et al., ICLR 2018)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors import SafetensorError
from torch import Tensor, nn

from nascore.files import write_whole
from nascore.names import unknown
from nascore.networks.build import Network, build_net
from nascore.spaces import Architecture, WholeNet
from nascore.tasks import Task

_CARD = "teacher"  # of a file's metadata


@dataclass(frozen=True)
class Distillation:
    """(1 - hard) times the loss on the teacher's logits, plus `hard` times cross-entropy on labels.

    The loss on logits is "logits", the mean squared error (Ba & Caruana, 2014), or "soft", T^2
    times the divergence of the softmaxes at `temperature` T (Hinton et al., 2015).
    """

    loss: Literal["logits", "soft"] = "logits"
    temperature: float = 3.0  # of "soft"
    hard: float = 0.0

    def __post_init__(self) -> None:
        if self.loss not in ("logits", "soft"):
            raise unknown("loss", self.loss, ("logits", "soft"))
        for name, holds, rule in (
            ("temperature", 0 < self.temperature < math.inf, "above 0"),
            ("hard", 0 <= self.hard <= 1, "in [0, 1]"),
        ):
            if not holds:
                raise ValueError(f"distillation: {name}={getattr(self, name)} must be {rule}")

    def __call__(self, logits: Tensor, wanted: Tensor, labels: Tensor) -> Tensor:
        """Of logits [n, classes], the teacher's, and labels [n]."""
        if self.loss == "logits":
            taught = F.mse_loss(logits, wanted)
        else:
            t = self.temperature
            divergence = F.kl_div(
                (logits / t).log_softmax(1),
                (wanted / t).log_softmax(1),
                reduction="batchmean",
                log_target=True,
            )
            taught = t * t * divergence
        if not self.hard:
            return taught
        return (1 - self.hard) * taught + self.hard * F.cross_entropy(logits, labels)


@dataclass(frozen=True)
class Taught:
    """The loss of a student of `teacher`, which no gradient reaches.

    The teacher sees `scale` times the student's images, plus `shift`, both per channel.
    """

    teacher: nn.Module
    distillation: Distillation
    scale: tuple[float, ...] | None = None  # None: the very images
    shift: tuple[float, ...] = ()

    def __call__(self, images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        self.teacher.to(images.device)
        if self.scale is not None:
            scale, shift = (images.new_tensor(x)[:, None, None] for x in (self.scale, self.shift))
            images = images * scale + shift
        with torch.no_grad():
            wanted = self.teacher(images)
        return self.distillation(logits, wanted, labels)


def lesson(path: Path, task: Task, distillation: Distillation) -> Taught:
    """The loss of students on `task` of the teacher in a file that `save_teacher` wrote.

    Students see images as the task normalises them, the teacher by the `mean` and `std` of its
    file, where these are there. Raises ValueError for a file that is none.
    """
    card = read_card(path)
    teacher = load_teacher(path, task.shape, task.classes)
    mean, std = (tuple(card.get(name, getattr(task, name))) for name in ("mean", "std"))
    if (mean, std) == (task.mean, task.std):
        return Taught(teacher, distillation)
    scale = tuple(ours / its for ours, its in zip(task.std, std, strict=True))
    shift = tuple((a - b) / c for a, b, c in zip(task.mean, mean, std, strict=True))
    return Taught(teacher, distillation, scale, shift)


def save_teacher(
    path: Path, architecture: Architecture, network: Network, card: Mapping[str, Any]
) -> None:
    """Writes a trained network with its architecture, all or nothing. Raises OSError."""
    told = {"architecture": architecture.to_json(), **card}
    state = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    write_whole(path, safetensors.torch.save(state, {_CARD: json.dumps(told)}))


def read_card(path: Path) -> dict[str, Any]:
    """What the file says of the teacher. Raises ValueError for a file that is none."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            card: dict[str, Any] = json.loads((file.metadata() or {})[_CARD])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{path} holds no teacher: {error!r}") from error
    return card


@lru_cache(2)  # a worker meets one teacher again and again
def load_teacher(path: Path, shape: tuple[int, int, int], classes: int) -> Network:
    """The network of a file that `save_teacher` wrote, in evaluation mode; else ValueError."""
    architecture = Architecture.from_json(read_card(path)["architecture"])
    network = build_net(WholeNet().expand(architecture, shape, classes))
    try:
        network.load_state_dict(safetensors.torch.load_file(path))
    except (RuntimeError, OSError, SafetensorError) as error:
        raise ValueError(f"{path} is corrupt, or another task's teacher: {error}") from error
    return network.eval().requires_grad_(False)
