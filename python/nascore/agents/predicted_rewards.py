"""Q-learning in which most rewards are predicted (Faster BlockQNN)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nascore import _core
from nascore.agents.q_learning import Episode, QLearning, epsilon_at
from nascore.sampling import states_after
from nascore.spaces import Architecture
from nascore.surrogates.peephole import Peephole
from nascore.trial import Evaluation, Job, Proposal, Reward, Trial

_LUCK, _PICK = 62, 63  # random streams
_PATIENCE = 1000  # draws for one proposal, lest a space that is used up hold the search


class PredictedRewards(QLearning):
    """Q-learning over `trials` blocks, of which `trained` are proposed: only they are trained.

    The first proposals are what is drawn, block by block. Once the rewards of `warm_up` blocks are
    told, and whenever those of `refit_every` more are, `predictor` learns the accuracies of all
    that succeeded. From then on each proposal is preceded by a group of blocks, an even share of
    those that are left, which are learned from at once: with the measured reward where that is
    known, else with the `reward` of the predicted accuracy and of what is `known` of a block before
    its training. Proposed is, with probability `chance`, one of the group, and else, of all blocks
    drawn so far, the one of the greatest reward for the mean plus `kappa` standard deviations of
    its predicted accuracy. None is proposed twice, as long as one in 1,000 draws is new. Replayed
    are the rewards as they are known or predicted by then.
    """

    def __init__(
        self,
        *arguments: Any,
        predictor: Peephole,
        known: Callable[[Architecture], Evaluation],
        reward: Reward,
        epochs: int,
        trained: int,
        warm_up: int,
        refit_every: int,
        chance: float,
        kappa: float,
        **settings: Any,
    ) -> None:
        super().__init__(*arguments, **settings)
        for name, value in {
            "trained": trained,
            "warm_up": warm_up,
            "refit_every": refit_every,
        }.items():
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        if trained > self.trials:
            raise ValueError(f"trained={trained} must be at most trials={self.trials}")
        if not 0 <= chance <= 1:
            raise ValueError(f"chance={chance} must be a probability, 0 to 1")
        self.predictor = predictor
        self.known = known
        self.reward = reward
        self.epochs = epochs
        self.trained = trained
        self.refit_every = refit_every
        self.chance = chance
        self.kappa = kappa
        self._proposed = 0
        self._due = warm_up  # rewards told when the predictor learns next
        self._found: dict[str, Proposal] = {}  # how each block was first written, by its hash
        self._names: dict[tuple[int, ...], str] = {}  # hashes by actions
        self._costs: dict[str, Evaluation] = {}  # by hash, as all that follows
        self._taken: set[str] = set()  # proposed
        self._rewards: dict[str, float] = {}  # measured
        self._accuracies: dict[str, float] = {}  # measured, of what succeeded
        self._guesses: dict[str, tuple[float, float]] = {}  # mean and standard deviation
        self._values: dict[str, tuple[float, float]] = {}  # rewards of the mean, of the upper bound

    @property
    def drawn(self) -> int:
        """How many blocks were drawn, repeated ones among them."""
        return self._drawn

    @property
    def epsilon(self) -> float:
        """The share of random decisions in the next block that is drawn."""
        return epsilon_at(self.schedule, self._drawn, self.trials)

    def ask(self, n: int) -> list[Proposal]:
        return [self._propose() for _ in range(n)]

    def _propose(self) -> Proposal:
        size = 1
        if self.predictor.fitted:
            left = max(1, self.trained - self._proposed)
            size = max(1, (self.trials - self._drawn) // left)
        group = self._group(size)
        for _ in range(_PATIENCE):
            if pool := [name for name in self._found if self._trainable(name)]:
                break
            group = self._group(1)
        fresh = [name for name in group if self._trainable(name)]
        name = self._choose_one(fresh or pool, pool) if pool else group[-1]
        self._proposed += 1
        self._taken.add(name)
        guess = self._guesses.get(name)
        return replace(self._found[name], prediction=None if guess is None else guess[0])

    def _trainable(self, name: str) -> bool:
        return name not in self._taken and self._costs[name].ok

    def _choose_one(self, fresh: Sequence[str], pool: Sequence[str]) -> str:
        luck = _core.uniform(self.seed, _LUCK, self._proposed, 1)[0]
        if luck < self.chance or not self.predictor.fitted:
            return fresh[int(_core.integers(self.seed, _PICK, self._proposed, 1, len(fresh))[0])]
        return max(pool, key=lambda name: self._values[name][1])

    def _group(self, n: int) -> list[str]:
        """Draws `n` blocks and learns from those whose reward is known or predicted."""
        proposals = self._draw(n)
        for proposal in proposals:
            self._note(proposal)
        names = [proposal.architecture.hash for proposal in proposals]
        self._predict([name for name in dict.fromkeys(names) if name not in self._values])
        told = [
            (proposal.actions, worth)
            for proposal, name in zip(proposals, names, strict=True)
            if (worth := self._worth(name)) is not None
        ]
        if told:
            self._sweep(told + self._remember(told))
        return names

    def _note(self, proposal: Proposal) -> None:
        name = proposal.architecture.hash
        self._names[proposal.actions] = name
        if name not in self._found:
            self._found[name] = proposal
            self._costs[name] = self.known(proposal.architecture)

    def _worth(self, name: str) -> float | None:
        """A block's reward, as well as it is known."""
        if name in self._rewards:
            return self._rewards[name]
        return self._values[name][0] if name in self._values else None

    def _remember(self, told: Sequence[Episode]) -> list[Episode]:
        replayed = [actions for actions, _ in super()._remember(told)]
        known = ((actions, self._worth(self._names[actions])) for actions in replayed)
        return [(actions, worth) for actions, worth in known if worth is not None]

    def _predict(self, names: Sequence[str]) -> None:
        """What blocks are worth before they are measured."""
        if not self.predictor.fitted:
            return
        good = [name for name in names if self._costs[name].ok]
        mean, std = self.predictor.predict(
            [self._found[n].architecture for n in good], self._numbers(good)
        )
        self._guesses |= dict(zip(good, zip(mean.tolist(), std.tolist(), strict=True), strict=True))
        for name in names:
            self._values[name] = self._values_of(name)

    def _values_of(self, name: str) -> tuple[float, float]:
        block, costs = self._found[name].architecture, self._costs[name]
        mean, std = self._guesses.get(name, (0.0, 0.0))  # a block that would fail has no guess

        def reward(accuracy: float) -> float:
            metrics = {**costs.metrics, "predicted_accuracy": accuracy}
            return self.reward(
                Job(0, block, 0), replace(costs, metrics=metrics, fidelity="predicted")
            )

        return reward(mean), reward(min(1.0, mean + self.kappa * std))

    def _numbers(self, names: Sequence[str]) -> list[list[float]]:
        costs = [self._costs[name].metrics for name in names]
        return [[self.epochs, cost["params"], cost["macs"]] for cost in costs]

    def tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            self._note(trial.proposal)
            name = trial.architecture.hash
            self._taken.add(name)
            self._rewards[name] = trial.reward
            if trial.evaluation.ok:
                self._accuracies[name] = trial.evaluation.accuracy
        super().tell(trials)
        if len(self._rewards) >= self._due and self._accuracies:
            self._learn()

    def _learn(self) -> None:
        self._due = len(self._rewards) + self.refit_every
        names = list(self._accuracies)
        self.predictor.fit(
            [self._found[name].architecture for name in names],
            self._numbers(names),
            list(self._accuracies.values()),
        )
        self._predict([name for name in self._found if name not in self._rewards])

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "proposed": self._proposed,
            "due": self._due,
            "found": [proposal.actions for proposal in self._found.values()],
            "names": dict(self._names),
            "taken": sorted(self._taken),
            "rewards": dict(self._rewards),
            "accuracies": dict(self._accuracies),
            "guesses": dict(self._guesses),
            "predictor": self.predictor.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.predictor.load_state_dict(state["predictor"])
        self._proposed = state["proposed"]
        self._due = state["due"]
        self._names = {tuple(actions): name for actions, name in state["names"].items()}
        written = [tuple(actions) for actions in state["found"]]
        blocks = self.space.decode(states_after(self.space, written)) if written else []
        self._found = {b.hash: Proposal(b, a) for b, a in zip(blocks, written, strict=True)}
        self._costs = {name: self.known(p.architecture) for name, p in self._found.items()}
        self._taken = set(state["taken"])
        self._rewards = dict(state["rewards"])
        self._accuracies = dict(state["accuracies"])
        self._guesses = {name: tuple(guess) for name, guess in state["guesses"].items()}
        self._values = {}
        if self.predictor.fitted:
            open_ = [n for n in self._found if n not in self._rewards or n in self._guesses]
            self._values = {name: self._values_of(name) for name in open_}
