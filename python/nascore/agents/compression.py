"""The policies of N2N (Ashok et al., ICLR 2018), and their actor-critic learner."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from nascore.agents.controller import Policy
from nascore.agents.policy_gradient import Decisions, PolicyGradient, entropy
from nascore.spaces.compression import ENTRIES, FACTORS, RemovalSpace, ShrinkageSpace
from nascore.spaces.layers import DESCRIPTION, layers_of

Scale = Literal["raw", "log"]

_COLUMNS = [DESCRIPTION.index(entry) for entry in ENTRIES]


class _LayerPolicy(Policy):
    """A policy that reads the descriptions of a network's layers.

    Its weights fit any network. `scale` "log" has log(1 + x) for each number x of a description.
    """

    def __init__(self, space: RemovalSpace | ShrinkageSpace, scale: Scale) -> None:
        super().__init__(space.heads)
        self.scale = scale
        self.actions = max(space.heads)
        self.descriptions = torch.from_numpy(layers_of(space.parent).descriptions)

    def _scaled(self, x: Tensor) -> Tensor:
        return x if self.scale == "raw" else x.log1p()


class RemovalPolicy(_LayerPolicy):
    """A bidirectional LSTM over all layers, and at each a softmax over keeping and removing it."""

    def __init__(
        self, space: RemovalSpace, seed: int, units: int = 30, scale: Scale = "raw"
    ) -> None:
        super().__init__(space, scale)
        self.lstm = nn.LSTM(len(DESCRIPTION), units, 2, batch_first=True, bidirectional=True)
        self.scores = nn.Linear(2 * units, 2)
        self.value = nn.Linear(2 * units, 1)  # which only the actor-critic learns
        self._draw_weights(units**-0.5, seed)

    def _seen(self) -> Tensor:
        seen, _ = self.lstm(self._scaled(self.descriptions)[None])
        outputs: Tensor = seen[0]
        return outputs  # [L, 2U]

    def forward(self, tokens: Tensor, head: Tensor, legal: Tensor) -> Tensor:
        """Log-probabilities [n, T, A]: what was decided before has no part in them."""
        return self._log_probs(self.scores(self._seen()), head, legal)

    def decide(
        self, tokens: Tensor, head: Tensor, legal: Tensor, memory: Any = None
    ) -> tuple[Tensor, Any]:
        scores = self.scores(self._seen()) if memory is None else memory
        return self._log_probs(scores, head, legal), scores

    def _log_probs(self, scores: Tensor, head: Tensor, legal: Tensor) -> Tensor:
        return scores[head][..., : self.actions].masked_fill(~legal, -torch.inf).log_softmax(-1)

    def values(self, tokens: Tensor, head: Tensor) -> Tensor:
        """The reward that is expected, [n, T], at each layer."""
        values: Tensor = self.value(self._seen())[head][..., 0]
        return values


class ShrinkagePolicy(_LayerPolicy):
    """An LSTM that goes from layer to layer and from entry to entry, and chooses a factor for each.

    What it reads next is the layer's description with the chosen factors multiplied in.
    """

    def __init__(
        self, space: ShrinkageSpace, seed: int, units: int = 30, scale: Scale = "raw"
    ) -> None:
        super().__init__(space, scale)
        self.lstm = nn.LSTM(len(DESCRIPTION), units, 2, batch_first=True)
        self.scores = nn.Linear(units, len(FACTORS))
        self.value = nn.Linear(units, 1)
        self.factors = torch.tensor(FACTORS)
        self._draw_weights(units**-0.5, seed)

    def _seen(self, tokens: Tensor) -> Tensor:
        """What the LSTM gives [n, T, U] where `tokens` [n, T] are the decisions before each."""
        n, layers = len(tokens), len(self.descriptions)
        chosen = F.pad(tokens[:, 1:] - self.first[:-1], (0, 1))  # of the last one nobody asks
        factor = self.factors[chosen].reshape(n, layers, len(ENTRIES))
        x = self.descriptions[None, :, None].repeat(n, 1, len(ENTRIES), 1)
        for entry, column in enumerate(_COLUMNS[:-1]):
            x[:, :, entry + 1 :, column] *= factor[:, :, entry, None]
        seen, _ = self.lstm(self._scaled(x.flatten(1, 2)))
        outputs: Tensor = seen
        return outputs

    def forward(self, tokens: Tensor, head: Tensor, legal: Tensor) -> Tensor:
        """Log-probabilities [n, T, A] of all decisions, each after `tokens` [n, T]."""
        return self._log_probs(self._seen(tokens), legal)

    def decide(
        self, tokens: Tensor, head: Tensor, legal: Tensor, memory: Any = None
    ) -> tuple[Tensor, Any]:
        layer, entry = divmod(int(head[0]), len(ENTRIES))  # all are at the same step
        states, x = memory or (None, torch.empty(0))
        if entry == 0:
            x = self.descriptions[layer].repeat(len(tokens), 1)
        else:
            x = x.clone()
            x[:, _COLUMNS[entry - 1]] *= self.factors[tokens - self.first[head - 1]]
        states = self._advance(self._scaled(x), states)
        return self._log_probs(states[-1][0], legal), (states, x)

    def _log_probs(self, seen: Tensor, legal: Tensor) -> Tensor:
        scores: Tensor = self.scores(seen)[..., : self.actions]
        return scores.masked_fill(~legal, -torch.inf).log_softmax(-1)

    def values(self, tokens: Tensor, head: Tensor) -> Tensor:
        """The reward that is expected, [n, T], before each decision."""
        values: Tensor = self.value(self._seen(tokens))[..., 0]
        return values


class ActorCritic(PolicyGradient):
    """REINFORCE whose baseline is the policy's own value of each decision."""

    def __init__(
        self,
        space: RemovalSpace | ShrinkageSpace,
        seed: int,
        controller: RemovalPolicy | ShrinkagePolicy,
        **settings: Any,
    ) -> None:
        super().__init__(space, seed, clip=None, epochs=1, controller=controller, **settings)
        self.policy = controller

    def _credit(self, reward: float) -> float:
        return reward

    def loss(self, decisions: Decisions, old: Tensor, advantage: Tensor) -> Tensor:
        """The policy's loss and the values' smooth L1 distance to the rewards, `advantage` [n]."""
        tokens, head, legal, action = decisions
        log_probs = self.policy(tokens, head, legal)
        values = self.policy.values(tokens, head)
        rewards = advantage[:, None].expand_as(values)
        gain = log_probs.gather(-1, action[..., None])[..., 0] * (rewards - values.detach())
        actor: Tensor = -(gain + self.entropy * entropy(log_probs, legal)).sum(1).mean()
        return actor + F.smooth_l1_loss(values, rewards)
