"""A recurrent network that decides: the policy of a policy-gradient agent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from nascore import _core

_INIT = 16  # random stream


class Policy(nn.Module, ABC):
    """What decides step by step. Token `first[head]` + k stands for the k-th action of a head."""

    lstm: nn.LSTM

    def __init__(self, heads: Sequence[int]) -> None:
        super().__init__()
        self.first = torch.tensor([*accumulate(heads, initial=1)][:-1])  # token 0 is the start

    @abstractmethod
    def decide(
        self, tokens: Tensor, head: Tensor, legal: Tensor, memory: Any = None
    ) -> tuple[Tensor, Any]:
        """Log-probabilities [n, A] of one decision, and the `memory` to give to the next one."""

    def _draw_weights(self, init: float, seed: int) -> None:
        drawn = 0
        with torch.no_grad():
            for weight in self.parameters():
                uniform = _core.uniform(seed, _INIT, drawn, weight.numel())
                weight.copy_(torch.from_numpy((2 * uniform - 1) * init).reshape(weight.shape))
                drawn += weight.numel()

    def _advance(self, x: Tensor, states: Any) -> list[tuple[Tensor, Tensor]]:
        """The state of each layer after one more input [n, F]."""
        nothing = torch.zeros(len(x), self.lstm.hidden_size)
        advanced = []
        for weights, state in zip(
            self.lstm.all_weights,
            states or [(nothing, nothing)] * self.lstm.num_layers,
            strict=True,
        ):
            advanced.append(torch.lstm_cell(x, state, *weights))
            x = advanced[-1][0]
        return advanced


class Controller(Policy):
    """An LSTM that reads the decision before, embedded, and one softmax for each head.

    All weights are uniform in [-init, init], a function of `seed`.
    """

    def __init__(
        self, heads: Sequence[int], units: int, init: float, seed: int, layers: int = 1
    ) -> None:
        super().__init__(heads)
        # Where each head's scores are among all; what is beyond a head's own is never legal.
        columns = self.first[:, None] - 1 + torch.arange(max(heads))
        self.columns = columns.clamp(max=sum(heads) - 1)
        self.embedding = nn.Embedding(1 + sum(heads), units)
        self.lstm = nn.LSTM(units, units, layers, batch_first=True)
        self.scores = nn.Linear(units, sum(heads))  # of all heads, side by side
        self._draw_weights(init, seed)

    def forward(self, tokens: Tensor, head: Tensor, legal: Tensor) -> Tensor:
        """Log-probabilities [n, T, A] of decisions by `head` [n, T], each after `tokens` [n, T]."""
        seen, _ = self.lstm(self.embedding(tokens))
        return self._log_probs(seen, head, legal)

    def decide(
        self, tokens: Tensor, head: Tensor, legal: Tensor, memory: Any = None
    ) -> tuple[Tensor, Any]:
        """The same of one decision [n, A], and what the next one is to be given as `memory`."""
        memory = self._advance(self.embedding(tokens), memory)
        return self._log_probs(memory[-1][0], head, legal), memory

    def _log_probs(self, seen: Tensor, head: Tensor, legal: Tensor) -> Tensor:
        scores: Tensor = self.scores(seen).gather(-1, self.columns[head])
        return scores.masked_fill(~legal, -torch.inf).log_softmax(-1)
