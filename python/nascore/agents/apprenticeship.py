"""How much a block looks like an expert's, learned by apprenticeship (Abbeel & Ng, ICML 2004).

IRLAS (Guo et al., CVPR 2019) calls this its mirror stimuli function. No network is trained for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from nascore import _core
from nascore.sampling import Actions, States, write
from nascore.spaces import Architecture, BlockSpace

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int16]
Learner = Literal["max_margin", "projection"]

_TYPES, _KERNELS, _REACH = np.arange(1, 8), np.array([0, 1, 3, 5]), np.arange(6)
_UNARY, _BINARY, _TERMINAL = (1, 2, 3, 4), (5, 6), 7

_COIN = 26  # random stream; the table's tie-break and choice use the next one
# Choices: episodes of a policy's Q-learning, in sweeps of so many; blocks that its feature counts
# are the mean of; policies at most.
_SWEEPS, _BATCH, _SAMPLES, _ROUNDS = 20, 100, 1000, 20


def features(rows: Codes) -> Floats:
    """phi of rows `[..., 5]` of a Network Structure Code, `[..., 23]` in 0..1 (a choice).

    One-hot are the 7 types; the kernels 0, 1, 3 and 5; and how many rows back the first and the
    second predecessor are, where 0 stands for none and 5 for all beyond. Zeros for a row of zeros.
    """
    index, kind, kernel, first, second = np.moveaxis(rows, -1, 0)[..., None]
    binary = np.isin(kind, _BINARY)
    back1 = np.where(binary | np.isin(kind, _UNARY), np.minimum(index - first, _REACH[-1]), 0)
    back2 = np.where(binary, np.minimum(index - second, _REACH[-1]), 0)
    hot = [kind == _TYPES, kernel == _KERNELS, back1 == _REACH, back2 == _REACH]
    return np.asarray(np.concatenate(hot, axis=-1) * (kind > 0), np.float64)


def feature_counts(codes: Codes, gamma: float) -> Floats:
    """mu of codes `[n, L, 5]` padded by zeros, `[n, 23]`: the sum over t of gamma^t phi(row t)."""
    counts: Floats = np.einsum("l,nlf->nf", gamma ** np.arange(codes.shape[1]), features(codes))
    return counts


def counts_of(architectures: Sequence[Architecture], gamma: float) -> Floats:
    """mu of the codes of blocks, `[n, 23]`."""
    longest = max((len(a.code) for a in architectures), default=0)
    codes = np.zeros((len(architectures), longest, 5), np.int16)
    for rows, architecture in zip(codes, architectures, strict=True):
        rows[: len(architecture.code)] = architecture.code
    return feature_counts(codes, gamma)


def distances(architectures: Sequence[Architecture], expert: Architecture, gamma: float) -> Floats:
    """How far the feature counts of blocks are from the expert's, `[n]`."""
    gaps = counts_of(architectures, gamma) - counts_of([expert], gamma)
    lengths: Floats = np.linalg.norm(gaps, axis=1)
    return lengths


class Weights(NamedTuple):
    """w `[k]` of length 1, or 0 where there is none, and the margin t of the expert under it."""

    w: Floats
    t: float


def max_margin(expert: Floats, policies: Floats) -> Weights:
    """The w that maximises the least of w.(expert - mu_j) over the policies' counts `[n, k]`.

    It points from the nearest point of their convex hull to the expert. That point is exact: its
    quadratic programme is one of non-negative least squares (Lawson & Hanson, 1974, chapter 23).
    """
    gaps = expert - policies
    scale = np.abs(gaps).max() or 1.0
    system = np.vstack([gaps.T / scale, np.ones(len(gaps))])
    shares, _ = nnls(system, np.append(np.zeros(len(expert)), 1.0))
    return _toward(shares @ gaps / shares.sum())


def projection(expert: Floats, policies: Floats) -> Weights:
    """The same without a quadratic programme: each mu in turn draws the point toward the expert."""
    point = policies[0]
    for mu in policies[1:]:
        way = mu - point
        if length := float(way @ way):
            point = point + np.clip(way @ (expert - point) / length, 0, 1) * way
    return _toward(expert - point)


def _toward(gap: Floats) -> Weights:
    t = float(np.linalg.norm(gap))
    return Weights(gap / t if t else gap, t)


LEARNERS = {"max_margin": max_margin, "projection": projection}


@dataclass(frozen=True, eq=False)
class MirrorStimuli:
    """F_topology: w.mu of blocks, on a scale where chance has 0 and the expert 1."""

    w: Floats  # [23]
    expert: Floats  # its counts, [23]
    chance: Floats  # the mean counts of random blocks, [23]
    gamma: float

    @property
    def slope(self) -> Floats:
        """F is slope.(mu - chance)."""
        return self.w / (self.w @ (self.expert - self.chance))

    def __call__(self, architectures: Sequence[Architecture]) -> Floats:
        """F of blocks, `[n]`."""
        return (counts_of(architectures, self.gamma) - self.chance) @ self.slope


def learn(
    space: BlockSpace, expert: Architecture, seed: int, gamma: float, epsilon: float, kind: Learner
) -> MirrorStimuli:
    """Learns w in `space` from one block.

    ValueError where gamma or epsilon is out of range, or chance alone gives the expert's counts.
    """
    if not 0 < gamma <= 1:
        raise ValueError(f"gamma={gamma} must be in (0, 1]")
    if not 0 < epsilon < 1:
        raise ValueError(f"epsilon={epsilon} must be in (0, 1): a share of the expert's counts")
    planner = Planner(space, seed, gamma)
    chance = planner.counts(epsilon=1.0).mean(0)
    [goal] = counts_of([expert], gamma)
    found = list(rounds(planner, goal, chance, epsilon, kind))
    if not found:
        raise ValueError(
            f"chance gives the expert's feature counts: {expert.text} teaches nothing in a space "
            f"of {space.max_layers} layers; choose another expert"
        )
    # The rounds count by their margins: where the expert's counts lie among those of policies, t
    # nears 0, and the last w says next to nothing.
    mean = np.mean([t * w for w, t in found], axis=0)
    return MirrorStimuli(mean / np.linalg.norm(mean), goal, chance, gamma)


def rounds(
    planner: Planner, expert: Floats, chance: Floats, epsilon: float, kind: Learner
) -> Iterator[Weights]:
    """w and t against chance and ever more policies, each of which is the best for the w before.

    Ends where t <= epsilon |expert|, or where not even the best policy lowers t.
    """
    policies = chance[None]
    for _ in range(_ROUNDS):
        w, t = LEARNERS[kind](expert, policies)
        if t <= epsilon * np.linalg.norm(expert):
            return
        yield Weights(w, t)
        mu = planner.best_response(w).mean(0)
        if w @ (expert - mu) >= t * (1 - 1e-6):
            return
        policies = np.vstack([policies, mu])


class Planner:
    """Tabular Q-learning with the reward w.phi of each row that is written.

    What is legal and what it earns depend on the depth alone, so the table is keyed on that.
    """

    def __init__(self, space: BlockSpace, seed: int, gamma: float) -> None:
        self.space, self.seed, self.gamma = space, seed, gamma
        self._depths = np.arange(space.max_layers, dtype=np.int16)[:, None]
        state, legal = space.start(1), []
        for _ in range(space.max_layers):
            legal.append(space.legal(state)[0])
            state = space.step(state, np.ones(1, np.int32))
        self._legal = np.stack(legal)
        self._written = 0
        self._forget()

    def best_response(self, w: Floats) -> Floats:
        """The feature counts `[n, k]` of blocks by the policy that w teaches."""
        self._forget()
        for sweep in range(_SWEEPS):
            # Ever fewer random decisions, none in the last fifth.
            codes, actions = self._write(_BATCH, max(0.0, 1 - sweep / (0.8 * _SWEEPS)))
            for earned, episode in zip(features(codes) @ w, actions, strict=True):
                length = np.count_nonzero(episode >= 0)
                rewards = earned[:length].copy()
                rewards[-1] += self.gamma * earned[length:].sum()  # a terminal row that is implied
                self._table.sweep(
                    self._depths[:length], episode[:length], self._legal[:length], rewards
                )
        return self.counts(0.0)

    def counts(self, epsilon: float) -> Floats:
        """The feature counts `[n, k]` of blocks, so many of whose decisions are random."""
        return feature_counts(self._write(_SAMPLES, epsilon)[0], self.gamma)

    def _forget(self) -> None:
        """Deterministic rewards and transitions: a rate of 1 loses nothing."""
        self._table = _core.QTable(self._legal.shape[1], 1, 1.0, self.gamma, 0.0)

    def _write(self, n: int, epsilon: float) -> tuple[Codes, Actions]:
        """Codes `[n, L + 1, 5]` with their terminal rows, and the actions that wrote them."""

        def choose(states: States, step: int) -> Actions:
            counter = (step << 40) + self._written
            return self._table.choose(
                np.full((len(states), 1), step, np.int16),
                self.space.legal(states),
                epsilon,
                self.seed,
                _COIN,
                counter,
            )

        states, actions = write(self.space, n, choose)
        self._written += n
        most = self.space.max_layers
        codes = np.zeros((n, most + 1, 5), np.int16)
        codes[:, :most] = states.reshape(n, most, 5)
        unended = ~(codes[..., 1] == _TERMINAL).any(1)
        codes[unended, most] = (most + 1, _TERMINAL, 0, 0, 0)
        return codes, actions
