"""An accuracy predicted from a block's code: LSTMs that read it layer by layer (Peephole)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from nascore import _core
from nascore.networks.training import threads
from nascore.spaces import Architecture
from nascore.surrogates.canonical import canonical_rows

_WEIGHTS, _BATCHES = 66, 67  # random streams
_AT_ONCE = 256  # blocks, so that memory stays small
_TYPES, _KERNELS = 8, 16  # sizes of the tables, which hold what no code has yet

Floats = npt.NDArray[np.float64]


class Peephole:
    """`members` networks, trained side by side, from a block's layers and the epochs it is given.

    Each layer's type, kernel and two predecessors are looked up in tables of vectors of `embedding`
    numbers, which an LSTM of width `hidden` reads in canonical order; its last state and the
    embedded numbers go through a ReLU layer of `hidden` to the accuracy (Deng et al., 2017, section
    3, with NSC rows for layer codes). These `NUMBERS`, in a logarithmic scale, are the epochs and,
    a choice, the network's size, which the widths in Peephole's layer codes tell. The loss is
    smooth-L1, of accuracies in units of their standard deviation. Each member starts with weights
    of its own, anew in every `fit`.
    """

    NUMBERS = ("epochs", "params", "macs")

    def __init__(
        self,
        max_layers: int,
        seed: int,
        *,
        embedding: int,
        hidden: int,
        members: int,
        epochs: int,
        batch: int,
        lr: float,
        weight_decay: float,
    ) -> None:
        sizes = {
            "max_layers": max_layers,
            "embedding": embedding,
            "hidden": hidden,
            "members": members,
            "epochs": epochs,
            "batch": batch,
        }
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        self.max_layers = max_layers
        self.seed = seed
        self.hidden = hidden
        self.members = members
        self.epochs = epochs
        self.batch = batch
        self.lr = lr
        self.weight_decay = weight_decay
        row = 4 * embedding
        self.shapes = {
            "type": (_TYPES, embedding),
            "kernel": (_KERNELS, embedding),
            "pred1": (max_layers + 1, embedding),
            "pred2": (max_layers + 1, embedding),
            "numbers": (len(self.NUMBERS), embedding),
            "read": (row, 4 * hidden),
            "recur": (hidden, 4 * hidden),
            "gates": (1, 4 * hidden),
            "join": (hidden + embedding, hidden),
            "join_bias": (1, hidden),
            "out": (hidden, 1),
            "out_bias": (1, 1),
        }
        self._weights: dict[str, torch.Tensor] = {}  # each [m, *shape]
        self._scale = (0.0, 1.0)  # mean and standard deviation of the accuracies
        self._numbers: tuple[Floats, Floats] | None = None  # the same of the numbers' logarithms
        self._fits = 0
        self._known: dict[str, npt.NDArray[np.int64]] = {}  # canonical rows by hash

    @property
    def fitted(self) -> bool:
        """Whether there is anything to predict from."""
        return self._fits > 0

    def fit(
        self, blocks: Sequence[Architecture], numbers: npt.ArrayLike, accuracies: npt.ArrayLike
    ) -> None:
        """Learns accuracies `[n]` in 0..1 of blocks `[n]` with `NUMBERS` `[n, 3]`, all above 0."""
        if not blocks:
            raise ValueError("there are no blocks to fit")
        given = np.asarray(accuracies, np.float64)
        if given.shape != (len(blocks),):
            raise ValueError(f"accuracies has shape {given.shape}; give one for each block")
        rows, lengths = self._rows(blocks)
        logs = self._logs(blocks, numbers)
        spread = logs.std(0)
        self._numbers = (logs.mean(0), np.where(spread > 1e-6, spread, 1.0))  # one may be constant
        scaled = self._scaled(logs)
        self._scale = (float(given.mean()), max(float(given.std()), 1e-6))
        wanted = torch.from_numpy((given - self._scale[0]) / self._scale[1]).float()
        self._weights = {name: w.requires_grad_() for name, w in self._start().items()}
        optimizer = torch.optim.Adam(
            self._weights.values(), self.lr, weight_decay=self.weight_decay, foreach=True
        )
        steps = self.epochs * -(-len(wanted) // self.batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        with threads(1):  # their number would show in the sums
            for step in range(steps):
                picks = self._picks(step, len(wanted))
                out = self._forward(rows[picks], lengths[picks], scaled[picks])
                loss = functional.smooth_l1_loss(out, wanted[picks], reduction="sum")
                optimizer.zero_grad()
                # The members' losses add up, so each learns alone.
                torch.autograd.backward(loss / picks.shape[1])
                optimizer.step()
                schedule.step()
        self._weights = {name: w.detach() for name, w in self._weights.items()}
        self._fits += 1

    def predict(
        self, blocks: Sequence[Architecture], numbers: npt.ArrayLike
    ) -> tuple[Floats, Floats]:
        """Mean and standard deviation over the members of the accuracy, each `[n]`."""
        if not self.fitted:
            raise ValueError("the predictor was not fitted")
        if not blocks:
            return np.empty(0), np.empty(0)
        rows, lengths = self._rows(blocks)
        scaled = self._scaled(self._logs(blocks, numbers))
        parts = []
        for first in range(0, len(blocks), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            many = (t[part].expand(self.members, *t[part].shape) for t in (rows, lengths, scaled))
            with torch.no_grad(), threads(1):
                parts.append(self._forward(*many).double())
        out = torch.cat(parts, 1) * self._scale[1] + self._scale[0]  # [m, n]
        out = out.clamp(0, 1)
        return out.mean(0).numpy(), out.std(0, correction=0).numpy()

    def _rows(self, blocks: Sequence[Architecture]) -> tuple[torch.Tensor, torch.Tensor]:
        """The canonical rows `[n, L, 4]` (type, kernel, pred1, pred2) and their numbers `[n]`."""
        for block in blocks:
            if block.hash not in self._known:
                self._known[block.hash] = canonical_rows(block)
        found = [self._known[block.hash] for block in blocks]
        lengths = torch.tensor([len(rows) for rows in found])
        if int(lengths.max()) > self.max_layers:
            raise ValueError(
                f"a block has {int(lengths.max())} layers, this predictor reads {self.max_layers}"
            )
        out = torch.zeros(len(found), int(lengths.max()), 4, dtype=torch.long)
        for i, rows in enumerate(found):
            out[i, : len(rows)] = torch.from_numpy(rows)
        return out, lengths

    def _logs(self, blocks: Sequence[Architecture], numbers: npt.ArrayLike) -> Floats:
        given = np.asarray(numbers, np.float64)
        if given.shape != (len(blocks), len(self.NUMBERS)) or not (given > 0).all():
            raise ValueError(
                f"numbers must be {', '.join(self.NUMBERS)} of each block, all above 0; "
                f"got shape {given.shape}, the least {given.min(initial=np.inf)}"
            )
        return np.log(given)

    def _scaled(self, logs: Floats) -> torch.Tensor:
        assert self._numbers is not None
        mean, std = self._numbers
        return torch.from_numpy((logs - mean) / std).float()

    def _forward(
        self, rows: torch.Tensor, lengths: torch.Tensor, numbers: torch.Tensor
    ) -> torch.Tensor:
        """Scaled accuracies `[m, n]` of rows `[m, n, L, 4]`, lengths, and numbers `[m, n, 3]`."""
        weights = self._weights
        m, n, length, _ = rows.shape
        member = torch.arange(m)[:, None, None]
        columns = ("type", "kernel", "pred1", "pred2")
        read = torch.cat(
            [weights[name][member, rows[..., i]] for i, name in enumerate(columns)], -1
        )
        read = torch.baddbmm(weights["gates"], read.flatten(1, 2), weights["read"])
        read = read.view(m, n, length, -1)
        state = cell = read.new_zeros(m, n, self.hidden)
        for i in range(length):
            gates = torch.baddbmm(read[:, :, i], state, weights["recur"])
            enter, keep, leave, new = gates.chunk(4, -1)
            at = cell * (keep + 1).sigmoid() + enter.sigmoid() * new.tanh()
            going = (i < lengths)[..., None]
            cell = torch.where(going, at, cell)
            state = torch.where(going, leave.sigmoid() * at.tanh(), state)
        joined = torch.cat([state, numbers @ weights["numbers"]], -1)
        joined = torch.baddbmm(weights["join_bias"], joined, weights["join"]).relu()
        return torch.baddbmm(weights["out_bias"], joined, weights["out"])[..., 0]

    def _start(self) -> dict[str, torch.Tensor]:
        weights, counter = {}, self._fits << 32
        for name, shape in self.shapes.items():
            if name in ("gates", "join_bias", "out_bias"):
                weights[name] = torch.zeros(self.members, *shape)
                continue
            count = self.members * shape[0] * shape[1]
            normal = _core.normal(self.seed, _WEIGHTS, counter, count)
            counter += count
            table = name in ("type", "kernel", "pred1", "pred2", "numbers")
            scale = 1.0 if table else shape[0] ** -0.5
            weights[name] = torch.from_numpy(normal * scale).float().view(self.members, *shape)
        return weights

    def _picks(self, step: int, n: int) -> torch.Tensor:
        """The members' batches of one step, drawn with replacement where there are more blocks."""
        if n <= self.batch:
            return torch.arange(n).expand(self.members, n)
        counter = (self._fits << 40) + (step << 20)
        draws = _core.uniform(self.seed, _BATCHES, counter, self.members * self.batch)
        return torch.from_numpy(draws * n).long().view(self.members, self.batch)

    def state_dict(self) -> dict[str, Any]:
        return {
            "fits": self._fits,
            "scale": list(self._scale),
            "numbers": None if self._numbers is None else [a.tolist() for a in self._numbers],
            "weights": {name: w.clone() for name, w in self._weights.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError if the weights belong to other widths."""
        shapes = {name: (self.members, *shape) for name, shape in self.shapes.items()}
        for name, weight in state["weights"].items():
            if tuple(weight.shape) != shapes.get(name):
                raise ValueError(
                    f"a predictor of other widths: its {name!r} has shape {tuple(weight.shape)}, "
                    f"here it is {shapes.get(name)}"
                )
        self._fits = state["fits"]
        self._scale = tuple(state["scale"])
        scale = state["numbers"]
        self._numbers = None if scale is None else (np.array(scale[0]), np.array(scale[1]))
        self._weights = {name: w.clone() for name, w in state["weights"].items()}
