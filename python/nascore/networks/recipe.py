"""How a network is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from nascore.names import unknown

Init = Literal["he", "xavier"]


@dataclass(frozen=True)
class Recipe:
    """A training. Drops are fractions of `epochs`, so a longer or shorter one keeps its shape.

    With `patience` the weights of the most accurate epoch are kept, whether training ends early or
    not.
    """

    epochs: int
    batch: int
    optimizer: Literal["adam", "sgd"]
    lr: float
    momentum: float = 0.9  # of sgd; Adam has 0.9, 0.999 and 1e-8
    nesterov: bool = False  # of sgd
    weight_decay: float = 0.0
    schedule: Literal["drops", "cosine"] = "drops"
    drops: tuple[float, ...] = ()  # when the learning rate is multiplied by drop_factor
    drop_factor: float = 0.1
    levels: tuple[float, ...] = ()  # instead of drop_factor: the rate after each drop, over lr
    restarts: int = 3  # at most, while the first epoch ends no better than chance
    restart_factor: float = 0.4  # of the learning rate, per restart
    init: Init = "he"  # of the weights
    validate_last: int = 1  # epochs at the end whose best validation accuracy a search takes
    clip: float | None = None  # the most that the norm of all gradients together may be
    label_smoothing: float = 0.0
    auxiliary: float = 0.0  # weight of the loss of an auxiliary head
    drop_path_keep: float = 1.0  # of NASNet's paths, at the end; falls there linearly from 1
    drop_path_depth: bool = False  # fall less in earlier cells, as in the released code
    cutout: int = 0  # side of the square hole in each training image, in pixels; 0: none
    ema: float = 0.0  # decay of moving averages of the weights, which are then what counts; 0: none
    patience: int | None = None  # epochs without a better validation accuracy until training ends
    threads: int = 1  # fixed, because other numbers round sums differently

    @classmethod
    def search(cls) -> Recipe:
        """BlockQNN's short training: Adam, the learning rate times 0.2 every 5 epochs."""
        return cls(12, 256, "adam", 1e-3, drops=(5 / 12, 10 / 12), drop_factor=0.2)

    @classmethod
    def final(cls) -> Recipe:
        """BlockQNN's full training: SGD, the learning rate times 0.1 at epochs 150 and 225."""
        return cls(300, 128, "sgd", 0.1, weight_decay=5e-4, drops=(150 / 300, 225 / 300))

    def __post_init__(self) -> None:
        if self.optimizer not in ("adam", "sgd"):
            raise unknown("optimizer", self.optimizer, ("adam", "sgd"))
        if self.schedule not in ("drops", "cosine"):
            raise unknown("schedule", self.schedule, ("drops", "cosine"))
        if self.init not in ("he", "xavier"):
            raise unknown("init", self.init, ("he", "xavier"))
        for name, holds, rule in (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch", self.batch >= 2, "at least 2, for batch norm"),
            ("lr", 0 < self.lr < math.inf, "above 0"),
            ("momentum", 0 <= self.momentum < 1, "in [0, 1)"),
            ("nesterov", not self.nesterov or self.momentum > 0, "off where momentum is 0"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "0 or more"),
            ("drops", all(0 < drop < 1 for drop in self.drops), "fractions of the epochs"),
            ("drop_factor", 0 < self.drop_factor <= 1, "in (0, 1]"),
            ("levels", len(self.levels) in (0, len(self.drops)), "as many as drops, or none"),
            ("levels", all(0 < level <= 1 for level in self.levels), "fractions of lr"),
            ("restarts", self.restarts >= 0, "0 or more"),
            ("restart_factor", 0 < self.restart_factor <= 1, "in (0, 1]"),
            ("validate_last", self.validate_last >= 1, "at least 1"),
            ("clip", self.clip is None or 0 < self.clip < math.inf, "above 0, or None"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "in [0, 1)"),
            ("auxiliary", 0 <= self.auxiliary < math.inf, "0 or more"),
            ("drop_path_keep", 0 < self.drop_path_keep <= 1, "in (0, 1]"),
            ("cutout", self.cutout >= 0, "0 or more"),
            ("ema", 0 <= self.ema < 1, "in [0, 1)"),
            ("patience", self.patience is None or self.patience >= 1, "at least 1, or None"),
            ("threads", self.threads >= 1, "at least 1"),
        ):
            if not holds:
                raise ValueError(f"recipe: {name}={getattr(self, name)!r} must be {rule}")

    def lr_at(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0, without restarts."""
        if self.schedule == "cosine":
            return self.lr * (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        drops = sum(epoch >= round(drop * self.epochs) for drop in self.drops)
        if self.levels:
            return self.lr * (1.0, *self.levels)[drops]
        return self.lr * self.drop_factor**drops

    def keep_at(self, progress: float, depth: float) -> float:
        """What a path is kept with after a fraction of the training, (l + 1) / L of L cells deep.

        ScheduledDropPath (Zoph et al., 2018, section 3).
        """
        scale = depth if self.drop_path_depth else 1.0
        return 1 - min(1.0, progress) * scale * (1 - self.drop_path_keep)
