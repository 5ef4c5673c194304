"""Agents on a table of known results: who finds the better architecture at equal budget."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace

import numpy as np
import torch

from nascore.agents.alphax_settings import ALPHAX, AlphaXConfig
from nascore.agents.evolution import Evolution
from nascore.agents.mcts import AlphaX
from nascore.agents.policy_gradient import PolicyGradient
from nascore.agents.q_learning import QLearning
from nascore.agents.random import Random
from nascore.agents.ranked import Ranked
from nascore.evaluators.scores import Scores
from nascore.names import unknown
from nascore.results.comparison import Comparison, Curve
from nascore.trial import Agent, Evaluation, Space, Trial

# A search ends when the agent has asked for nothing new so many times in a row and repeats are
# free, since its budget would never end.
_STUCK = 1_000


def _q_learning(space: Space, seed: int, trials: int) -> Agent:
    return Ranked(
        QLearning(
            space,
            seed,
            trials=trials,
            schedule=((0.5, 4), (0.3, 3), (0.1, 3)),
            alpha=0.2,
            gamma=1.0,
            initial_q=1.0,
            replay=16,
            shaping=True,
            by_depth=True,
        )
    )


def _policy_gradient(space: Space, seed: int, trials: int) -> Agent:
    return Ranked(
        PolicyGradient(
            space, seed, units=32, batch=5, lr=0.005, epochs=5, entropy=0.02, baseline=0.9
        )
    )


# Two ablations: completions of the root, which never opens; and as if all predictions were equal.
_NO_TREE = replace(ALPHAX, open_after=2**31)
_NO_PREDICTOR = replace(ALPHAX, members=0)
_PUBLISHED = AlphaXConfig(reward_scale=1.0)  # for values in 0..1, which ranks are

# By name, what makes an agent for a space, a seed and about so many trials. Each has one set of
# values for budgets of a hundred or so.
AGENTS: Mapping[str, Callable[[Space, int, int], Agent]] = {
    "random": lambda space, seed, trials: Random(space, seed),
    "evolution": lambda space, seed, trials: Evolution(space, seed, population=10, sample=3),
    "q_learning": _q_learning,
    "policy_gradient": _policy_gradient,
    "alphax": lambda space, seed, trials: AlphaX(space, seed, ALPHAX),
    "alphax_no_tree": lambda space, seed, trials: AlphaX(space, seed, _NO_TREE),
    "alphax_no_predictor": lambda space, seed, trials: AlphaX(space, seed, _NO_PREDICTOR),
    "alphax_paper": lambda space, seed, trials: Ranked(AlphaX(space, seed, _PUBLISHED)),
}


@dataclass(frozen=True)
class Protocol:
    """What is searched for, what is reported of the find, and what a search may spend.

    `budget` is in evaluations, or in the column `cost`. An architecture asked for again is charged
    again, unless `free_repeats`. A search ends before the evaluation that it cannot pay.
    """

    reward: str
    report: tuple[str, ...]
    budget: float
    cost: str | None = None
    minimize: bool = False
    free_repeats: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The reward, then what else is reported."""
        return tuple(dict.fromkeys((self.reward, *self.report)))


def compare(
    scores: Scores,
    protocol: Protocol,
    agents: Sequence[str],
    seeds: int,
    *,
    workers: int = 1,
    on_search: Callable[[], None] = lambda: None,
) -> Comparison:
    """One search for each agent and each seed from 0, in `workers` processes.

    `on_search` is called after each. Raises ValueError for unknown or repeated agents and for a
    budget that does not pay for an evaluation.
    """
    for name in agents:
        if name not in AGENTS:
            raise unknown("agent", name, AGENTS)
        if agents.count(name) > 1:
            raise ValueError(f"agents={','.join(agents)}: {name!r} is there twice")
    if not agents or seeds < 1 or workers < 1:
        raise ValueError(f"agents={agents}, seeds={seeds}, workers={workers}: at least 1 of each")
    _check_budget(scores, protocol)
    jobs = [(name, seed) for name in agents for seed in range(seeds)]
    curves: dict[tuple[str, int], Curve] = {}
    for job, curve in _run(scores, protocol, jobs, workers):
        curves[job] = curve
        on_search()
    return Comparison(
        protocol.columns,
        {name: [curves[name, seed] for seed in range(seeds)] for name in agents},
        "evaluations" if protocol.cost is None else protocol.cost,
    )


def _check_budget(scores: Scores, protocol: Protocol) -> None:
    if protocol.cost is None:
        if protocol.budget < 1:
            raise ValueError(f"trials={protocol.budget:g}: a search needs at least one")
        return
    costs = scores.columns[protocol.cost]
    if costs.min() <= 0:
        row = int(costs.argmin()) + 1
        raise ValueError(f"row {row}: {protocol.cost} is {costs.min():g}; a cost is above 0")
    if not costs.max() <= protocol.budget < np.inf:
        raise ValueError(
            f"cost_budget={protocol.budget:g} must be finite and pay for one evaluation of each "
            f"architecture; the dearest costs {costs.max():g}"
        )


def _run(
    scores: Scores, protocol: Protocol, jobs: Sequence[tuple[str, int]], workers: int
) -> Iterator[tuple[tuple[str, int], Curve]]:
    if workers == 1:
        yield from ((job, search(scores, protocol, *job)) for job in jobs)
        return
    # Not forked: torch's threads would not survive it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin, (scores, protocol)) as pool:
        waiting = {pool.submit(_search, *job): job for job in jobs}
        for future in as_completed(waiting):
            yield waiting[future], future.result()


_given: tuple[Scores, Protocol]  # what a worker process keeps between its searches


def _begin(scores: Scores, protocol: Protocol) -> None:
    global _given
    torch.set_num_threads(1)
    _given = scores, protocol


def _search(name: str, seed: int) -> Curve:
    return search(*_given, name, seed)


def search(scores: Scores, protocol: Protocol, name: str, seed: int) -> Curve:
    """One agent's way through the table until the budget is spent."""
    values = scores.columns[protocol.reward]
    rewards = -values if protocol.minimize else values
    costs = np.ones(len(values)) if protocol.cost is None else scores.columns[protocol.cost]
    # About how many evaluations it will be is all that an agent learns of the other rows.
    agent = AGENTS[name](scores.space, seed, max(1, round(protocol.budget / float(costs.mean()))))
    spent, best, seen = 0.0, -1, set[int]()
    path: list[tuple[float, int]] = []
    new = 0  # the number of the last trial that asked for something new
    for number in itertools.count():
        [proposal] = agent.ask(1)
        row = scores.rows[proposal.architecture.hash]
        if row not in seen or not protocol.free_repeats:
            spent, new = spent + float(costs[row]), number
        if spent > protocol.budget or number - new == _STUCK:
            break
        seen.add(row)
        if best < 0 or rewards[row] > rewards[best]:
            best = row
        path.append((spent, best))
        agent.tell([Trial(number, proposal, Evaluation({}, "table"), float(rewards[row]))])
    found = [row for _, row in path]
    return Curve(
        np.array([cost for cost, _ in path]),
        np.stack([scores.columns[column][found] for column in protocol.columns], axis=1),
    )
