"""Monte Carlo tree search with a meta-DNN beside it (AlphaX)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from itertools import takewhile
from math import isclose
from operator import eq
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from nascore import _core
from nascore.agents.alphax_settings import AlphaXConfig
from nascore.sampling import states_after, varied
from nascore.spaces import Architecture
from nascore.spaces.core_space import CoreSpace
from nascore.surrogates.stages import StagedPredictor
from nascore.trial import Proposal, Space, Trial

_WALKS = 100  # walks that may end at what is known before it is proposed again
_PLACES, _CHANGES = 52, 53  # random streams

_Floats = npt.NDArray[np.float64]
_States = npt.NDArray[np.int16]
Waiting = tuple[str, int, float, float | None]  # hash, end, its value so far, the predicted mean


class Completed(NamedTuple):
    """Completions below an end, and an order to choose one in.

    Where the predictor has learned, also what it says of each, in units of its target, and what the
    random ones but the first are worth in the mean.
    """

    found: list[Architecture]
    order: Sequence[int]
    mean: _Floats | None = None
    guess: float | None = None


class AlphaX:
    """Every proposal is a simulation: a walk down the tree and a completion of where it ends.

    Once the predictor has learned, `1 + completions` completions are scored, at first random ones,
    in further `rounds` those one decision away from the best so far. What is truly evaluated is the
    first (choice "chance", as published), the one of the greatest mean plus `kappa` standard
    deviations ("upper"), or of the greatest expected improvement on the best reward
    ("improvement"). With A its reward, the simulation is worth (A + mean of the other predictions)
    / 2; A alone where nothing was predicted. Until A comes it is worth the predictions, so that
    more may be asked for; a failed trial is taken back.

    What was asked for is not asked for again: a walk that ends there backs up what is known, as
    long as one in 100 finds something new. The predictor learns whenever the number of different
    architectures that succeeded is a multiple of `retrain_every`, from `warm_up` on.

    A proposal starts from the trained weights of its nearest relative: of the `relatives` best
    trials that left weights, the one that shares most of its first decisions, the latest of equals;
    from none where it shares not even the first.

    With target "reward" values are rewards over `reward_scale`; with "rank" the share of the
    rewards known at the time that are lower.

    As long as all rewards were `reward_scale` times an accuracy, a new proposal has the accuracy
    that the predictor expects of it. A rank is told as the known reward that stands there, so that
    nothing better than the best known is expected.

    Every proposal begins with the decisions `prefix`; ValueError where one is illegal.
    """

    def __init__(
        self, space: Space, seed: int, config: AlphaXConfig, prefix: Sequence[int] = ()
    ) -> None:
        self.space = space
        self.config = config
        self.predictor: StagedPredictor | None = None
        if config.members:
            self.predictor = StagedPredictor(
                space,
                seed,
                config.stages,
                hidden=config.hidden,
                members=config.members,
                epochs=config.epochs,
                batch=config.batch,
                lr=config.lr,
                weight_decay=config.weight_decay,
                target=config.target,
                fresh=config.fresh,
                bayesian=config.bayesian,
            )
        self.tree = _core.Tree(
            space.core if isinstance(space, CoreSpace) else _core.PythonSpace(space),
            config.rule,
            config.c,
            seed,
            prefix=list(prefix),
            open_after=config.open_after,
            transpositions=config.transpositions,
        )
        self._reward: dict[str, float | None] = {}  # by hash; None while it is awaited
        self._waiting: list[Waiting] = []
        self._memory: list[tuple[tuple[int, ...], float]] = []  # actions, reward of what succeeded
        self._sorted: list[float] = []  # the rewards in `_memory`
        # The best trials that left weights: the reward's negative, the number, the actions.
        self._relatives: list[tuple[float, int, tuple[int, ...]]] = []
        self._seed, self._drawn = seed, 0  # completions drawn near others
        self._of_accuracy = True  # whether all rewards so far were an accuracy

    def ask(self, n: int) -> list[Proposal]:
        return [self._propose() for _ in range(n)]

    def _propose(self) -> Proposal:
        for walk in range(_WALKS):
            end = self.tree.select(1)
            found, order, mean, guess = self._completed(end)
            best = next((i for i in order if found[i].hash not in self._reward), None)
            architecture = found[order[0] if best is None else best]
            if best is None and walk + 1 < _WALKS:
                reward = self._reward[architecture.hash]
                known = self._guess(guess) if reward is None else self._q(reward, guess)
                self._back_up(end, known)
                continue
            value = self._guess(guess)
            self._back_up(end, value)
            self._reward.setdefault(architecture.hash, None)
            self._waiting.append((architecture.hash, int(end[0]), value, guess))
            actions = self.space.actions(architecture)
            expected = None
            if best is not None and mean is not None:
                expected = self._accuracy(float(mean[best]))
            start = self._relative(actions)
            return Proposal(architecture, actions, prediction=expected, init_from=start)
        raise AssertionError("the last walk proposes what it found")

    def _relative(self, actions: tuple[int, ...]) -> int | None:
        near = ((_shared(actions, own), n) for _, n, own in self._relatives)
        shared, number = max(near, default=(0, 0))
        return number if shared else None

    def _completed(self, end: npt.NDArray[np.uint32]) -> Completed:
        if self.predictor is None or not self.predictor.fitted:
            return Completed(self.space.decode(self.tree.complete(end, 1)[0]), [0])
        most = 1 + self.config.completions
        [states] = self.tree.complete(end, max(2, most // self.config.rounds))
        found = self.space.decode(states)
        mean, std = self.predictor.predict_states(states)
        values = mean.copy() if self.config.target == "reward" else _normal_cdf(mean)
        for i, architecture in enumerate(found):
            if (reward := self._reward.get(architecture.hash)) is not None:
                values[i] = self._value(reward)
        order = self._order(mean, std)
        for _ in range(1, self.config.rounds):
            best = next((i for i in order if found[i].hash not in self._reward), None)
            if best is None or len(found) >= most:
                break
            near = self._near(found[best], int(end[0]), min(len(values), most - len(found)))
            found += self.space.decode(near)
            more = self.predictor.predict_states(near)
            mean, std = np.append(mean, more[0]), np.append(std, more[1])
            order = self._order(mean, std)
        return Completed(found, order, mean, float(values[1:].mean()))

    def _near(self, parent: Architecture, end: int, n: int) -> _States:
        """`n` states below a simulation's end that are one decision away from `parent`."""
        first, steps = len(self.tree.path(end)), self.space.max_steps
        actions = self.space.actions(parent)
        if first >= len(actions):  # the end is finished: there is no other
            return states_after(self.space, [actions] * n)
        places = _core.uniform(self._seed, _PLACES, self._drawn, n)
        changes = _core.uniform(self._seed, _CHANGES, self._drawn * steps, n * steps)
        self._drawn += n
        return varied(self.space, actions, first, places, changes.reshape(steps, n))

    def _order(self, mean: _Floats, std: _Floats) -> Sequence[int]:
        if self.config.choice == "chance":
            return [0]
        if self.config.choice == "upper":
            worth = mean + self.config.kappa * std
        else:
            n = len(self._sorted)
            ranked = self.config.target == "rank"
            best = _normal(1 - 0.5 / n) if ranked else self._value(self._sorted[-1])
            worth = expected_improvement(mean, std, best)
        order: list[int] = np.argsort(-worth, kind="stable").tolist()
        return order

    def _back_up(self, end: npt.NDArray[np.uint32], value: float) -> None:
        self.tree.back_up(end, np.array([value]))

    def _value(self, reward: float) -> float:
        if self.config.target == "reward":
            return reward / self.config.reward_scale
        below = bisect_left(self._sorted, reward) + bisect_right(self._sorted, reward)
        return below / 2 / max(1, len(self._sorted))

    def _accuracy(self, predicted: float) -> float | None:
        """A prediction, in units of the target, as an accuracy; None where rewards are none."""
        if not self._of_accuracy:
            return None
        if self.config.target == "reward":
            return predicted
        known = np.array(self._sorted)
        places = (np.arange(len(known)) + 0.5) / len(known)
        share = _normal_cdf(np.array([predicted]))[0]
        return float(np.interp(share, places, known)) / self.config.reward_scale

    def _q(self, reward: float, predicted: float | None) -> float:
        value = self._value(reward)
        return value if predicted is None else (value + predicted) / 2

    def _guess(self, predicted: float | None) -> float:
        """What a simulation is worth before its reward is known: what all are in the mean."""
        if predicted is not None:
            return predicted
        if self.config.target == "rank":
            return 0.5
        return sum(self._sorted) / max(1, len(self._sorted)) / self.config.reward_scale

    def tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            name, reward = trial.architecture.hash, trial.reward
            if trial.evaluation.weights and trial.repeat_of is None:
                insort(self._relatives, (-reward, trial.number, trial.proposal.actions))
                del self._relatives[self.config.relatives :]
            new = self._reward.get(name) is None
            self._reward[name] = reward
            if new and trial.evaluation.ok:
                self._of_accuracy &= self._is_accuracy(trial)
                self._memory.append((trial.proposal.actions, reward))
                insort(self._sorted, reward)
            at = next((i for i, waiting in enumerate(self._waiting) if waiting[0] == name), None)
            if at is not None:
                self._settle(self._waiting.pop(at), trial)
            if new and trial.evaluation.ok:
                self._learn()

    def _is_accuracy(self, trial: Trial) -> bool:
        accuracy = trial.metrics.get(trial.evaluation.accuracy_metric)
        return accuracy is not None and isclose(trial.reward, self.config.reward_scale * accuracy)

    def _settle(self, waiting: Waiting, trial: Trial) -> None:
        """Replaces what a simulation was worth so far, or takes it back."""
        _, end, value, predicted = waiting
        if trial.evaluation.ok:
            change = self._q(trial.reward, predicted) - value
            self.tree.correct(np.array([end], np.uint32), np.array([change]))
        else:
            self.tree.undo(np.array([end], np.uint32), np.array([value]))

    def _learn(self) -> None:
        n = len(self._memory)
        due = n % self.config.retrain_every == 0 and n >= self.config.warm_up
        if self.predictor is not None and due:
            states = states_after(self.space, [actions for actions, _ in self._memory])
            rewards = np.array([reward for _, reward in self._memory]) / self.config.reward_scale
            self.predictor.fit_states(states, rewards)

    def state_dict(self) -> dict[str, Any]:
        return {
            "reward": dict(self._reward),
            "waiting": list(self._waiting),
            "memory": list(self._memory),
            "relatives": list(self._relatives),
            "tree": [torch.from_numpy(a.astype(_wide(a))) for a in self.tree.state()],
            "drawn": self._drawn,
            "of_accuracy": self._of_accuracy,
            "predictor": None if self.predictor is None else self.predictor.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError if the tree or the predictor belongs to another space."""
        own: Sequence[npt.NDArray[Any]] = self.tree.state()
        kinds = [a.dtype for a in own]
        columns = zip(state["tree"], kinds, strict=True)
        self.tree.load(*(column.numpy().astype(kind) for column, kind in columns))
        if self.predictor is not None:
            self.predictor.load_state_dict(state["predictor"])
        self._drawn = state["drawn"]
        self._of_accuracy = state["of_accuracy"]
        self._reward = dict(state["reward"])
        self._waiting = [tuple(waiting) for waiting in state["waiting"]]
        self._memory = [(tuple(actions), reward) for actions, reward in state["memory"]]
        self._sorted = sorted(reward for _, reward in self._memory)
        self._relatives = [(r, number, tuple(own)) for r, number, own in state["relatives"]]


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many first decisions are the same."""
    return sum(takewhile(bool, map(eq, one, other)))


def _wide(array: npt.NDArray[Any]) -> Any:
    """A type that every version of a file can keep: torch has few unsigned operations."""
    return np.int64 if array.dtype.kind in "iu" else array.dtype


def expected_improvement(mean: _Floats, std: _Floats, best: float) -> _Floats:
    """Of normal outcomes over the best one known, `[n]` (Mockus, 1978)."""
    std = np.maximum(std, 1e-9)
    z = (mean - best) / std
    return np.asarray(std * (z * _normal_cdf(z) + np.exp(-z * z / 2) / (2 * np.pi) ** 0.5))


def _normal_cdf(z: _Floats) -> _Floats:
    return np.asarray(torch.special.ndtr(torch.from_numpy(z)), np.float64)


def _normal(quantile: float) -> float:
    return float(torch.special.ndtri(torch.tensor(quantile, dtype=torch.float64)))
