"""What several methods show of a run: an agent led once more through the log, and its state."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch

from nascore import _core
from nascore.agents.policy_gradient import Decisions, PolicyGradient
from nascore.agents.q_learning import QLearning
from nascore.results.agent_pictures import (
    draw_entropy,
    draw_probabilities,
    draw_q_growth,
    draw_q_values,
)
from nascore.results.pictures import Picture
from nascore.search import Store, retrace
from nascore.spaces import CellSpace, SkipSpace
from nascore.spaces.layer_code import layer_text
from nascore.tasks import Task
from nascore.trial import Space

POINTS = 50  # in time
RECENT = 64  # proposals over which a controller's probabilities are the mean

Floats = npt.NDArray[np.float64]
_ROWS = ("", "conv", "max pool", "avg pool", "identity", "add", "concat", "end")  # of blocks


@dataclass(frozen=True)
class _Images:
    """All that a space asks of a task: a report needs no data set."""

    name: str
    shape: tuple[int, ...]


def space_of(problem: Any, store: Store) -> Any:
    """The space of a run; None where the run began before runs noted the shape of their images."""
    shape = store.meta.get("shape")
    if shape is None:
        return None
    return problem.space(cast(Task, _Images(store.meta["task"], tuple(shape))))


class Growth(NamedTuple):
    """Q values over time, each `[n]`."""

    told: Floats
    mean: Floats  # the best of each known state's, in the mean
    start: Floats  # the best of the first decision
    epsilon: Floats


class Greedy(NamedTuple):
    """What a table knows on the way that it thinks best."""

    values: Floats  # [T, C], of choices that look alike the best one's; NaN: illegal or not known
    choices: list[str]
    best: Floats  # [T]
    actions: tuple[int, ...]


def q_learning(
    store: Store, config: Any, agent: Callable[[Any, Any, int], QLearning]
) -> list[Picture]:
    """The pictures of an `agent(config, space, seed)` with a table, led through the log."""
    space = space_of(config, store)
    if space is None or not store.trials():
        return []
    learner = agent(config, space, store.meta["seed"])
    growth = grown(learner, store, config.initial_q)
    return [
        *q_values(space, learner.table, config.initial_q),
        Picture(
            "q-growth",
            "How the Q values grew",
            "Above: what the table expects of the best tried first decision, and of the best tried "
            "decision in all states that it knows. Below: epsilon, the share of random decisions.",
            lambda figure: draw_q_growth(figure, *growth),
        ),
    ]


def grown(learner: QLearning, store: Store, initial: float) -> Growth:
    """Leads a fresh learner through the log, and looks at its table on the way."""
    every = max(1, len(store.trials()) // POINTS)
    points, told, due = [], 0, 0
    start = learner.space.start(1)
    for trials in retrace(learner, store):
        told += len(trials)
        if told >= due or told == len(store.trials()):
            due = told + every
            _, row, _, value = learner.table.state()
            best = np.full(int(row.max(initial=-1)) + 1, -np.inf)
            np.maximum.at(best, row, value)
            values = learner.table.values(learner.space.observe(start))[0]
            tried = values[learner.space.legal(start)[0] & (values != initial)]
            first = tried.max(initial=-np.inf) if tried.size else initial
            known = best[np.isfinite(best)]
            points.append((told, known.mean() if known.size else initial, first, learner.epsilon))
    return Growth(*np.array(points, np.float64).T)


def q_values(space: Space, table: _core.QTable, initial: float) -> list[Picture]:
    """A table's values on its greedy way; none where it knows nothing."""
    greedy = greedy_way(space, table, initial)
    if not greedy.actions:
        return []
    steps = [f"decision {i + 1}" for i in range(len(greedy.best))]
    return [
        Picture(
            "q-values",
            "Q values along the best architecture",
            "A row is a decision on the way of the highest Q values (rings), a column a choice; "
            "of choices that differ in what they read, the best. Blank is what is not possible "
            "there, or was never tried.",
            lambda figure: draw_q_values(figure, greedy.values, steps, greedy.choices, greedy.best),
            (8.0, 1.8 + 0.35 * len(steps)),
        )
    ]


def greedy_way(space: Space, table: _core.QTable, initial: float) -> Greedy:
    """The way of the highest values, as far as the table knows one."""
    state, rows, actions = space.start(1), [], []
    names: dict[str, int] = {}  # of choices, and the lowest action that they have
    for step in range(space.max_steps):
        if space.done(state)[0]:
            break
        legal = np.flatnonzero(space.legal(state)[0])
        values = table.values(space.observe(state))[0]
        known = [int(a) for a in legal if values[a] != initial]
        if not known:
            break
        row: dict[str, float] = {}
        for a in known:
            name = choice_name(space, state, a, step)
            names[name] = min(a, names.get(name, a))
            row[name] = max(values[a], row.get(name, -np.inf))
        # One that was not tried is worth `initial`, which may be more than all that were.
        best = max(known, key=lambda a: values[a])
        rows.append((row, choice_name(space, state, best, step)))
        actions.append(best)
        state = space.step(state, np.array([best], np.int32))
    choices = sorted(names, key=lambda name: names[name])
    values = np.array([[row.get(name, np.nan) for name in choices] for row, _ in rows])
    marked = np.array([choices.index(name) for _, name in rows], np.float64)
    return Greedy(values, choices, marked, tuple(actions))


def choice_name(space: Space, state: npt.NDArray[np.int16], action: int, step: int) -> str:
    """What a decision says, such as "conv 3"; in other spaces than blocks and layers a number."""
    if space.name not in ("block", "layer"):
        return str(action)
    after = space.step(state, np.array([action], np.int32))
    if space.name == "layer":
        return layer_text([after.reshape(-1, 3)[step].tolist()])
    _, kind, kernel, *_ = after.reshape(-1, 5)[step].tolist()
    return _ROWS[kind] + (f" {kernel}x{kernel}" if kernel else "")


class Probabilities(NamedTuple):
    """Of a controller, after `told` trials `[n]`."""

    told: Floats
    panels: dict[str, tuple[Floats, Sequence[str]]]  # [n, A], and what the choices are
    entropies: dict[str, Floats]  # [n], of each kind of decision, over that of chance


def controller(
    store: Store, config: Any, agent: Callable[[Any, Any, int], PolicyGradient]
) -> list[Picture]:
    """The pictures of an `agent(config, space, seed)` with a controller, led through the log."""
    space = space_of(config, store)
    if space is None or not store.trials():
        return []
    found = probabilities(agent(config, space, store.meta["seed"]), store, config)
    columns = max(1, -(-len(found.panels) // 4)) if isinstance(space, CellSpace) else 2
    height = 1.2 + 1.5 * -(-len(found.panels) // columns)
    return [
        Picture(
            "probabilities",
            "The controller's probabilities over time",
            f"How likely each choice is, in the mean over the last {RECENT} proposals that it "
            "was told, as they were written decision by decision.",
            lambda figure: draw_probabilities(figure, found.told, found.panels, columns),
            (max(7.0, 2.2 + 1.7 * columns), height),
        ),
        Picture(
            "entropy",
            "How sure the controller is",
            "The entropy of its decisions, by kind: 1 is chance, 0 no doubt left.",
            lambda figure: draw_entropy(figure, found.told, found.entropies),
        ),
    ]


def probabilities(learner: PolicyGradient, store: Store, config: Any) -> Probabilities:
    """Leads a fresh learner through the log, and looks at its controller on the way."""
    panels, kinds = _panels(learner.space, config)
    total = len(store.trials())
    recent: deque[tuple[int, ...]] = deque(maxlen=RECENT)
    times: list[int] = []
    shares: dict[str, list[Floats]] = {name: [] for name in panels}
    entropies: dict[str, list[float]] = {name: [] for name in kinds}
    told = due = 0
    for trials in retrace(learner, store):
        told += len(trials)
        recent.extend(trial.proposal.actions for trial in trials)
        if told < due and told < total:
            continue
        due = told + max(1, total // POINTS)
        times.append(told)
        log_probs, decisions, real = wants(learner, recent)
        share = np.exp(log_probs)
        for name, (heads, labels) in panels.items():
            chosen = share[real & np.isin(decisions.head.numpy(), heads)][:, : len(labels)]
            shares[name].append(chosen.mean(0) if len(chosen) else np.zeros(len(labels)))
        for name, heads in kinds.items():
            at = real & np.isin(decisions.head.numpy(), heads)
            entropies[name].append(_entropy(log_probs[at], decisions.legal.numpy()[at]))
    return Probabilities(
        np.array(times, np.float64),
        {name: (np.array(shares[name]), labels) for name, (_, labels) in panels.items()},
        {name: np.array(values) for name, values in entropies.items()},
    )


@torch.inference_mode()
def wants(
    learner: PolicyGradient, episodes: Sequence[tuple[int, ...]]
) -> tuple[Floats, Decisions, npt.NDArray[np.bool_]]:
    """Log-probabilities `[n, T, A]` on the way of episodes, and which decisions are real."""
    decisions = learner.decisions(episodes)
    log_probs = learner.controller(decisions.tokens, decisions.head, decisions.legal)
    lengths = np.array([len(actions) for actions in episodes])
    real = np.arange(decisions.head.shape[1]) < lengths[:, None]
    return log_probs.double().numpy(), decisions, real


def _entropy(log_probs: Floats, legal: npt.NDArray[np.bool_]) -> float:
    """The mean over decisions `[m, A]` with a choice, each over that of chance; NaN without any."""
    several = legal.sum(-1) > 1
    log_probs, legal = log_probs[several], legal[several]
    if not len(legal):
        return float("nan")
    terms = -np.exp(log_probs) * np.where(legal, log_probs, 0)
    return float((terms.sum(-1) / np.log(legal.sum(-1))).mean())


def _panels(
    space: Any, config: Any
) -> tuple[dict[str, tuple[list[int], list[str]]], dict[str, list[int]]]:
    """Heads and choices of each panel, and heads of each kind of decision."""
    heads = range(len(space.heads))
    if isinstance(space, CellSpace):
        panels = {}
        for head in heads:
            cell, (block, decision) = head // (5 * space.blocks), divmod(head, 5)
            if decision in (2, 3):
                name = f"{('normal', 'reduction')[cell]} {block % space.blocks + 1}"
                panels[f"{name}, op {decision - 1}"] = ([head], list(config.ops))
        kinds = {
            "operations": [h for h in heads if h % 5 in (2, 3)],
            "what is read": [h for h in heads if h % 5 in (0, 1)],
            "how to combine": [h for h in heads if h % 5 == 4],
        }
        return panels, kinds
    assert isinstance(space, SkipSpace)
    names = [("height", "width", "stride", "filters")[k] for k in space.kinds]
    labels = [[str(option) for option in space.options[k]] for k in space.kinds]
    bits = [h for h in heads if h > len(names)]
    panels = {name: ([1 + i], its) for i, (name, its) in enumerate(zip(names, labels, strict=True))}
    panels["an earlier layer is read"] = (bits, ["no", "yes"])
    return panels, {name: found for name, (found, _) in panels.items()}
