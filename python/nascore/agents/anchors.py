"""The controller of Zoph & Le (ICLR 2017): layers by an LSTM, skips by its states at anchors."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from nascore.agents.controller import Controller
from nascore.agents.policy_gradient import PolicyGradient
from nascore.spaces.skip import SkipSpace
from nascore.trial import Proposal


class Memory(NamedTuple):
    """How far the controller is in an episode."""

    decided: int
    states: Any  # of the LSTM
    anchors: list[Tensor]  # of each layer [n, U]
    bits: Tensor  # what the bits of the layer add up to [n, U]


class AnchorController(Controller):
    """Decides what each layer is, and with which probability it reads each layer before it.

    After the decisions of layer i the LSTM reads the last of them: its state then is the layer's
    anchor h_i. Layer j feeds layer i with probability sigmoid(v^T tanh(W_prev h_j + W_curr h_i)),
    each on its own (section 3.3). What the LSTM reads next is a choice: a learned vector for each
    of the layers that are read, added up. The depth is given, with probability 1.
    """

    def __init__(
        self, space: SkipSpace, units: int, init: float, seed: int, layers: int = 2
    ) -> None:
        kinds, most = len(space.kinds), max(space.depths)
        super().__init__(space.heads[: 1 + kinds], units, init, seed, layers)
        # The token of bit j being 1 is `bit + 2 j + 1`.
        self.bit = self.embedding.num_embeddings
        self.first = torch.cat([self.first, self.bit + 2 * torch.arange(most - 1)])
        self.kinds = kinds
        self.feedback = nn.Parameter(torch.empty(most - 1, units))
        self.previous = nn.Linear(units, units, bias=False)
        self.current = nn.Linear(units, units, bias=False)
        self.v = nn.Linear(units, 1, bias=False)
        self._draw_weights(init, seed)

    def forward(self, tokens: Tensor, head: Tensor, legal: Tensor) -> Tensor:
        """As of any controller; a finished episode's decisions are without a choice."""
        layers, kinds = self._layers(tokens.shape[1]), self.kinds
        begins = [1 + kinds * i + i * (i - 1) // 2 for i in range(layers)]
        kind_at = torch.tensor([[begin + k for k in range(kinds)] for begin in begins])
        bit_at = torch.tensor(
            [begin + kinds + j for i, begin in enumerate(begins) for j in range(i)],
            dtype=torch.long,
        )
        reader, read = torch.tril_indices(layers, layers, -1)
        decided = F.pad(tokens[:, 1:], (0, 1))  # what each decision was; nobody reads the last

        bits = tokens.new_zeros(len(tokens), layers, len(self.feedback), dtype=torch.float32)
        bits[:, reader, read] = self._bits(decided[:, bit_at], read)
        after = bits @ self.feedback
        start = self.embedding(torch.zeros_like(tokens[:, :1]))
        before = torch.cat([start, after[:, :-1]], 1)
        inputs = torch.cat([before[:, :, None], self._embedded(decided[:, kind_at])], 2)
        seen = self.lstm(inputs.flatten(1, 2))[0].unflatten(1, inputs.shape[1:3])

        log_probs = torch.full(legal.shape, -torch.inf)
        log_probs[:, 0] = _given(legal[:, 0])
        heads = torch.arange(1, kinds + 1).expand(len(tokens), layers, kinds)
        log_probs[:, kind_at] = self._log_probs(seen[:, :, :kinds], heads, legal[:, kind_at])
        anchors = seen[:, :, kinds]
        scores = self._reads(self.previous(anchors)[:, read], self.current(anchors)[:, reader])
        log_probs[:, bit_at] = _of_bits(scores, legal[:, bit_at])
        return log_probs

    def decide(
        self, tokens: Tensor, head: Tensor, legal: Tensor, memory: Memory | None = None
    ) -> tuple[Tensor, Memory]:
        """As of any controller; all episodes are at the same decision, or finished."""
        if memory is None:
            nothing = torch.zeros(len(tokens), self.lstm.hidden_size)
            return _given(legal), Memory(1, None, [], nothing)
        decided, states, anchors, bits = memory
        layer = self._layers(decided)
        place = decided - (1 + self.kinds * layer + layer * (layer - 1) // 2)
        if place > self.kinds or (place == 0 and layer > 1):  # the last decision was a bit
            j = (place - self.kinds if place else layer - 1) - 1
            bits = bits + self._bits(tokens, j)[:, None] * self.feedback[j]
        if place == self.kinds or (place == 0 and layer == 1):  # the layer is written
            states = self._advance(self._embedded(tokens), states)
            anchors = [*anchors, states[-1][0]]
        if place < self.kinds:
            if place == 0:
                start = self.embedding(torch.zeros_like(tokens))
                states = self._advance(bits if layer else start, states)
                bits = torch.zeros_like(bits)
            else:
                states = self._advance(self._embedded(tokens), states)
            kind = torch.full_like(tokens, 1 + place)
            log_probs = self._log_probs(states[-1][0], kind, legal)
        else:
            earlier = anchors[place - self.kinds]
            log_probs = _of_bits(
                self._reads(self.previous(earlier), self.current(anchors[layer])), legal
            )
        return log_probs, Memory(decided + 1, states, anchors, bits)

    def _layers(self, decisions: int) -> int:
        """How many whole layers so many decisions have written."""
        layers, left = 0, decisions - 1
        while left >= self.kinds + layers:
            left -= self.kinds + layers
            layers += 1
        return layers

    def _embedded(self, tokens: Tensor) -> Tensor:
        """The embeddings of layers' decisions; of a finished episode anything."""
        embedded: Tensor = self.embedding(tokens.clamp(max=self.bit - 1))
        return embedded

    def _bits(self, tokens: Tensor, j: Tensor | int) -> Tensor:
        """The bits for layers `j` (from 0) as 0 or 1; of a finished episode anything of these."""
        return (tokens - self.bit - 2 * j).clamp(0, 1).float()

    def _reads(self, previous: Tensor, current: Tensor) -> Tensor:
        """The scores [...] of reading, from what the two anchors [..., U] give."""
        scores: Tensor = self.v(torch.tanh(previous + current))[..., 0]
        return scores


def _given(legal: Tensor) -> Tensor:
    """The log-probabilities of a decision that is not the controller's."""
    return torch.zeros(legal.shape).masked_fill(~legal, -torch.inf)


def _of_bits(scores: Tensor, legal: Tensor) -> Tensor:
    """Log-probabilities [..., A] of 0 and 1, whose odds are exp(scores [...])."""
    logits = F.pad(scores[..., None], (1, legal.shape[-1] - 2))
    return logits.masked_fill(~legal, -torch.inf).log_softmax(-1)


class LayerController(PolicyGradient):
    """REINFORCE with an `AnchorController` of two layers, which writes ever deeper networks.

    Proposal i has the depth number i // `deeper_every` of the space, or else its last.
    """

    def __init__(
        self,
        space: SkipSpace,
        seed: int,
        *,
        deeper_every: int = 1600,
        units: int = 35,
        init: float = 0.08,
        batch: int = 8,
        lr: float = 6e-4,
        baseline: float = 0.95,
    ) -> None:
        if deeper_every < 1:
            raise ValueError(f"deeper_every={deeper_every}: at least 1 network of each depth")
        super().__init__(
            space,
            seed,
            units=units,
            init=init,
            batch=batch,
            lr=lr,
            clip=None,
            epochs=1,
            entropy=0.0,
            baseline=baseline,
            controller=AnchorController(space, units, init, seed),
        )
        self.deeper_every = deeper_every

    def ask(self, n: int) -> list[Proposal]:
        numbers = torch.arange(self._asked, self._asked + n)
        depths = self.space.heads[0]
        return self._ask(n, (numbers // self.deeper_every).clamp(max=depths - 1))
