"""A controller that learns by policy gradient: REINFORCE, or PPO as NASNet's (CVPR 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from nascore import _core
from nascore.agents.controller import Controller, Policy
from nascore.sampling import States, padded, walk
from nascore.trial import Proposal, Space, Trial

_DRAW = 17  # random stream; 16 is the controller's


class Decisions(NamedTuple):
    """What the controller decided and from what; a finished episode goes on without a choice."""

    tokens: Tensor  # [n, T]
    head: Tensor  # [n, T]
    legal: Tensor  # [n, T, A]
    action: Tensor  # [n, T]


def surrogate(new: Tensor, old: Tensor, advantage: Tensor, clip: float | None) -> Tensor:
    """What is to be maximised, of each decision [n, T], by its log-probability now and when drawn.

    min(r A, clip(r, 1 - clip, 1 + clip) A) with r the ratio of one decision's probabilities;
    without `clip`, REINFORCE's log-probability times A.
    """
    if clip is None:
        return new * advantage[:, None]
    ratio = (new - old).exp()
    gain = advantage[:, None]
    return torch.minimum(ratio * gain, ratio.clamp(1 - clip, 1 + clip) * gain)


def entropy(log_probs: Tensor, legal: Tensor) -> Tensor:
    """The entropy [n, T] of whole distributions [n, T, A], not of what was drawn from them."""
    return -(log_probs.exp() * log_probs.masked_fill(~legal, 0)).sum(-1)


class PolicyGradient:
    """A controller over any space, updated with Adam whenever `batch` trials were told.

    The advantage of a reward R is R - b, after b <- baseline b + (1 - baseline) R; the first reward
    is the first b. With `clip` an update is PPO's, `epochs` steps of it; with None REINFORCE's.
    The controller is one of `units`, with weights up to `init`, unless another is given.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        units: int = 100,
        init: float = 0.1,
        batch: int = 20,
        lr: float = 3.5e-4,
        clip: float | None = 0.2,
        epochs: int = 10,
        entropy: float = 1e-5,
        baseline: float = 0.95,
        controller: Policy | None = None,
    ) -> None:
        if units < 1 or batch < 1 or epochs < 1:
            raise ValueError(f"units={units}, batch={batch}, epochs={epochs}: at least 1 of each")
        if clip is None and epochs != 1:
            raise ValueError(f"epochs={epochs} without clip: REINFORCE takes one step, epochs=1")
        if clip is not None and not 0 < clip < 1:
            raise ValueError(f"clip={clip} must be between 0 and 1, or None for REINFORCE")
        if not 0 <= baseline < 1:
            raise ValueError(f"baseline={baseline}: the weight of the past is 0 or more, below 1")
        self.space = space
        self.seed = seed
        self.batch = batch
        self.clip = clip
        self.epochs = epochs
        self.entropy = entropy
        self.decay = baseline
        self.controller: Policy = controller or Controller(space.heads, units, init, seed)
        self.optimizer = torch.optim.Adam(self.controller.parameters(), lr, fused=True)
        self.baseline: float | None = None
        self._asked = 0
        # What was drawn and not told, with the log-probabilities of its decisions, oldest first.
        self._pending: list[tuple[tuple[int, ...], list[float]]] = []
        self._told: list[tuple[tuple[int, ...], list[float], float]] = []  # with the credit

    def ask(self, n: int) -> list[Proposal]:
        return self._ask(n)

    @torch.inference_mode()
    def _ask(self, n: int, first: Tensor | None = None) -> list[Proposal]:
        """`first` [n] are the first decisions, where they are not the controller's to make."""
        space, states = self.space, self.space.start(n)
        tokens, memory = torch.zeros(n, dtype=torch.long), None
        drawn, terms = [], []
        lengths = np.zeros(n, np.int64)
        for step in range(space.max_steps):
            done = space.done(states)
            if done.all():
                break
            lengths += ~done
            head, legal = self._view(states)
            if step == 0 and first is not None:
                legal &= nn.functional.one_hot(first, legal.shape[1]).bool()
            log_probs, memory = self.controller.decide(tokens, head, legal, memory)
            reached = log_probs.double().exp().cumsum(-1)
            uniform = _core.uniform(self.seed, _DRAW, (step << 40) + self._asked, n)
            wanted = torch.from_numpy(uniform)[:, None] * reached[:, -1:]
            # Strictly above: what has no probability, as what is not legal, is never first.
            action = (reached > wanted).int().argmax(1)
            drawn.append(action)
            terms.append(log_probs.gather(1, action[:, None])[:, 0])
            states = space.step(states, action.int().numpy())
            tokens = self.controller.first[head] + action
        self._asked += n
        proposals = []
        for architecture, actions, log_probs_of, length in zip(
            space.decode(states),
            torch.stack(drawn, 1).tolist(),
            torch.stack(terms, 1).tolist(),
            lengths.tolist(),
            strict=True,
        ):
            written, its_terms = tuple(actions[:length]), log_probs_of[:length]
            self._pending.append((written, its_terms))
            proposals.append(Proposal(architecture, written, sum(its_terms)))
        return proposals

    def _view(self, states: States) -> tuple[Tensor, Tensor]:
        """Heads [n] and legal actions [n, A]: of a finished state only action 0, so no choice."""
        legal = self.space.legal(states)
        legal[self.space.done(states), 0] = True
        return torch.from_numpy(self.space.head(states)).long(), torch.from_numpy(legal)

    def tell(self, trials: Sequence[Trial]) -> None:
        """ValueError for a trial whose decisions this agent did not draw."""
        for trial in trials:
            actions, reward = trial.proposal.actions, trial.reward
            drawn = next((i for i, (a, _) in enumerate(self._pending) if a == actions), None)
            if drawn is None:
                raise ValueError(f"trial {trial.number}: {actions} were not drawn, or told before")
            self._told.append((*self._pending.pop(drawn), self._credit(reward)))
            if len(self._told) == self.batch:
                self._update()
                self._told.clear()

    def _credit(self, reward: float) -> float:
        """What an update makes of a reward: the advantage."""
        past = reward if self.baseline is None else self.baseline
        self.baseline = self.decay * past + (1 - self.decay) * reward
        return reward - self.baseline

    def _update(self) -> None:
        episodes = [actions for actions, _, _ in self._told]
        decisions = self.decisions(episodes)
        old = torch.zeros(decisions.action.shape)
        for row, (_, terms, _) in zip(old, self._told, strict=True):
            row[: len(terms)] = torch.tensor(terms)
        advantage = torch.tensor([advantage for _, _, advantage in self._told])
        for _ in range(self.epochs):
            loss = self.loss(decisions, old, advantage)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no annotation for it
            self.optimizer.step()

    def decisions(self, episodes: Sequence[tuple[int, ...]]) -> Decisions:
        """What the controller sees on the way of each of the episodes."""
        actions = padded(episodes)
        heads, legal = [], []
        for states in walk(self.space, actions):
            head, allowed = self._view(states)
            heads.append(head)
            legal.append(allowed)
        head, action = torch.stack(heads, 1), torch.from_numpy(actions).long().clamp(min=0)
        after = self.controller.first[head] + action
        tokens = nn.functional.pad(after[:, :-1], (1, 0))  # the start, then what was decided
        return Decisions(tokens, head, torch.stack(legal, 1), action)

    def loss(self, decisions: Decisions, old: Tensor, advantage: Tensor) -> Tensor:
        """Minus the mean over episodes of their decisions' surrogates and entropies."""
        tokens, head, legal, action = decisions
        log_probs = self.controller(tokens, head, legal)
        new = log_probs.gather(-1, action[..., None])[..., 0]
        gain = surrogate(new, old, advantage, self.clip)
        return -(gain + self.entropy * entropy(log_probs, legal)).sum(1).mean()

    def state_dict(self) -> dict[str, Any]:
        return {
            "asked": self._asked,
            "baseline": self.baseline,
            "pending": list(self._pending),
            "told": list(self._told),
            "controller": self.controller.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises RuntimeError if the controller belongs to another space."""
        self.controller.load_state_dict(state["controller"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._asked = state["asked"]
        self.baseline = state["baseline"]
        self._pending = list(state["pending"])
        self._told = list(state["told"])
