"""The stage of every agent that proposes and is told: ask, evaluate, reward, tell."""

from __future__ import annotations

import io
import math
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from itertools import groupby
from queue import Empty, SimpleQueue
from typing import Any

import torch

from nascore.search.folder import RunError
from nascore.search.loop import Run
from nascore.search.store import Asked, Event, Store
from nascore.search.weights import Weights
from nascore.trial import Agent, Evaluation, Evaluator, Job, Proposal, Reward, Trial, WeightsRef


class AskTell:
    """A stage of `trials` trials, asked for in groups of `batch`.

    In fixed order the group that starts with trial i is asked for when exactly the trials below
    i - in_flight were told, each group at once; `in_flight` is a multiple of `batch`. A proposal
    whose evaluation key and start an earlier trial had takes that trial's result. `deadline_s` is
    each evaluation's time; the agent's state is kept every `snapshot_every` trials. A run begins
    with the state that the agent has now. When a run's time is up, what ended is told as one group.
    Proposals may start from the trained weights of the `keep_weights` told trials of the highest
    reward, of equals the first; those alone are kept.
    """

    def __init__(
        self,
        agent: Agent,
        evaluator: Evaluator,
        reward: Reward,
        trials: int,
        *,
        batch: int = 1,
        in_flight: int = 0,
        deadline_s: float | None = None,
        snapshot_every: int = 256,
        keep_weights: int = 0,
    ) -> None:
        if trials < 1:
            raise ValueError(f"trials={trials}: a search needs at least one trial")
        if batch < 1:
            raise ValueError(f"batch={batch}: a group has at least one trial")
        if in_flight < 0 or in_flight % batch:
            raise ValueError(
                f"in_flight={in_flight} must be a multiple of batch={batch}, or 0: "
                "trials are told in whole groups"
            )
        if keep_weights < 0:
            raise ValueError(f"keep_weights={keep_weights} must be 0 or more")
        self.agent = agent
        self.evaluator = evaluator
        self.reward = reward
        self.trials = trials
        self.batch = batch
        self.in_flight = in_flight
        self.deadline_s = deadline_s
        self.snapshot_every = snapshot_every
        self.keep_weights = keep_weights
        self._fresh = _dumps(agent.state_dict())  # so that a search can be run again

    def run(self, run: Run) -> Iterator[Trial]:
        """Starts, or goes on from the log; raises RunError when the agent contradicts the log."""
        after, state = run.store.last_snapshot(run.stage) or (0, self._fresh)
        self.agent.load_state_dict(_loads(state))
        for event in run.store.log(run.stage, after):
            _follow(self.agent, event, run.store)
        weights = Weights(run.files, self.keep_weights) if self.keep_weights else None
        yield from _Session(self, run, weights).trials()


class _Session:
    """One stage at work on one run: what is asked, running, finished and told."""

    def __init__(self, stage: AskTell, run: Run, weights: Weights | None) -> None:
        self.stage = stage
        self.run = run
        self.weights = weights
        self.starts: dict[int, WeightsRef] = {}  # of the trials that are not told
        self.asked = run.store.asked(run.stage)
        self.untold = 0
        self.since_snapshot = 0
        self.first_of_key = run.store.keys()
        self.todo: deque[Asked] = deque()
        self.running: dict[int, tuple[Asked, Future[Evaluation]]] = {}
        self.done: SimpleQueue[int] = SimpleQueue()  # filled by the executor's threads
        self.repeats: dict[int, list[Asked]] = {}  # by the unfinished trial that they wait for
        self.finished: dict[int, Trial] = {}  # but not told
        self.groups: deque[list[int]] = deque()  # what is told at once, the next one first
        self._take(run.store.pending(run.stage))
        if weights:  # a kill may have come between telling and letting go
            told = [t for event in run.store.log(run.stage) for t in event.told]
            weights.told(told, self.starts.values())

    def trials(self) -> Iterator[Trial]:
        try:
            while (self.untold or self.asked < self.stage.trials) and self.run.left_s() > 0:
                if self._may_ask():
                    self._ask()
                elif self.groups and all(n in self.finished for n in self.groups[0]):
                    yield from self._tell(self.groups.popleft())
                elif self.todo:
                    self._submit(self.todo.popleft())
                    self._collect(0)
                else:
                    self._collect(self.run.left_s())
            # Unless all is done, the time is up: what runs may end, and what ended is told.
            for _, future in list(self.running.values()):
                future.cancel()
            while self.running:
                self._collect(threading.TIMEOUT_MAX)
            if self.finished:
                yield from self._tell(sorted(self.finished))
            if self.since_snapshot and not self.untold and self.asked == self.stage.trials:
                self._snapshot()  # of the end, which reports show
        except (KeyboardInterrupt, GeneratorExit):
            while self._collect(0):
                pass
            raise
        finally:
            for _, future in self.running.values():
                future.cancel()

    def _may_ask(self) -> bool:
        if self.asked == self.stage.trials:
            return False
        if self.run.order == "fixed":
            return self.untold <= self.stage.in_flight
        wanted = max(self.stage.in_flight + 1, self.run.executor.workers)
        # What waits for a running trial that it repeats keeps no worker busy, so others are asked
        # for; but an agent that proposes nothing else must hear of it at last.
        waiting = sum(map(len, self.repeats.values()))
        return self.untold - min(waiting, wanted) < wanted

    def _ask(self) -> None:
        store, evaluator = self.run.store, self.stage.evaluator
        n = min(self.stage.batch, self.stage.trials - self.asked)
        proposals = self.stage.agent.ask(n)
        keys = [evaluator.key(proposal.architecture) for proposal in proposals]
        for i, start in enumerate(map(self._start, proposals)):
            if start is not None:
                keys[i] += f"-{start}"
        firsts = [self.first_of_key.setdefault(k, i) for i, k in enumerate(keys, store.next_number)]
        repeats = [None if f == i else f for i, f in enumerate(firsts, store.next_number)]
        self._take(store.ask(self.run.stage, proposals, keys, repeats))
        self.asked += n

    def _take(self, asked: Sequence[Asked]) -> None:
        """Gives what was asked and not told its place in the queues."""
        self.untold += len(asked)
        self.starts |= {a.number: ref for a in asked if (ref := self._start(a.proposal))}
        if self.run.order == "fixed":
            events = groupby(asked, lambda a: a.event)
            self.groups.extend([a.number for a in group] for _, group in events)
        for a in asked:
            if a.trial is not None:
                self._queue_to_tell(a.trial)
            elif a.repeat_of is None:
                self.todo.append(a)
            elif (evaluation := self.run.store.evaluation(a.repeat_of)) is not None:
                self._finish([a], evaluation)
            else:
                self.repeats.setdefault(a.repeat_of, []).append(a)

    def _start(self, proposal: Proposal) -> WeightsRef | None:
        """The weights that a proposal wants to start from."""
        number = proposal.init_from
        if number is None:
            return None
        evaluation = self.run.store.evaluation(number)
        if self.weights is None or evaluation is None or evaluation.weights is None:
            raise ValueError(f"a proposal wants the weights of trial {number}, which left none")
        return evaluation.weights

    def _job(self, asked: Asked) -> Job:
        return self.run.job(
            asked.number,
            asked.proposal.architecture,
            self.stage.deadline_s,
            self.starts.get(asked.number),
            self.weights.path if self.weights else None,
        )

    def _submit(self, asked: Asked) -> None:
        number = asked.number
        future = self.run.executor.submit(self.stage.evaluator, self._job(asked))
        self.running[number] = (asked, future)
        future.add_done_callback(lambda _: self.done.put(number))

    def _collect(self, wait_s: float) -> bool:
        """Waits for a result and records it; false when none came in time."""
        try:
            number = self.done.get(timeout=wait_s)
        except Empty:
            return False
        asked, future = self.running.pop(number)
        if future.cancelled():  # as the time is up, or by an executor that lost it
            self.todo.append(asked)
        else:
            evaluation = future.result()
            self._finish([asked, *self.repeats.pop(number, ())], evaluation)
        return True

    def _finish(self, group: Sequence[Asked], evaluation: Evaluation) -> None:
        trials = []
        for a in group:
            found = _with_prediction(evaluation, a.proposal)
            reward = self.stage.reward(self._job(a), found)
            if not math.isfinite(reward):
                raise ValueError(f"trial {a.number} has reward {reward}; a reward must be finite")
            trials.append(Trial(a.number, a.proposal, found, reward, a.repeat_of))
        self.run.store.finish(trials)
        for trial in trials:
            self._queue_to_tell(trial)
            self.run.on_result(trial)

    def _queue_to_tell(self, trial: Trial) -> None:
        self.finished[trial.number] = trial
        if self.run.order == "arrival":
            self.groups.append([trial.number])

    def _tell(self, numbers: Sequence[int]) -> Iterator[Trial]:
        trials = [self.finished.pop(number) for number in numbers]
        self.run.store.tell(trials)
        self.stage.agent.tell(trials)
        for number in numbers:
            self.starts.pop(number, None)
        if self.weights:
            self.weights.told(trials, self.starts.values())
        self.untold -= len(trials)
        self.since_snapshot += len(trials)
        if self.since_snapshot >= self.stage.snapshot_every:
            self._snapshot()
        yield from trials

    def _snapshot(self) -> None:
        self.run.store.snapshot(self.run.stage, _dumps(self.stage.agent.state_dict()))
        self.since_snapshot = 0


def last_state(store: Store, stage: int = 0) -> Any:
    """The last kept state of a stage's agent, a dictionary; None where there is none yet."""
    kept = store.last_snapshot(stage)
    return _loads(kept[1]) if kept else None


def restore(agent: Agent, store: Store, stage: int = 0) -> None:
    """Brings a fresh agent to where the log of a stage ends, by its last kept state.

    Raises RunError when the agent contradicts the log.
    """
    after, state = store.last_snapshot(stage) or (0, None)
    if state is not None:
        agent.load_state_dict(_loads(state))
    for event in store.log(stage, after):
        _follow(agent, event, store)


def retrace(agent: Agent, store: Store, stage: int = 0) -> Iterator[Sequence[Trial]]:
    """Leads a fresh agent through the whole log of a stage; yields what it is told, each time.

    Raises RunError when the agent contradicts the log.
    """
    for event in store.log(stage):
        _follow(agent, event, store)
        if event.told:
            yield event.told


def _follow(agent: Agent, event: Event, store: Store) -> None:
    if event.told:
        agent.tell(event.told)
    elif not _same(agent.ask(len(event.asked)), event.asked):
        raise RunError(
            f"run {store.name} cannot go on: the agent no longer proposes what the "
            "log says, so its version, its seed or its settings are not the same"
        )


def _same(proposed: Sequence[Proposal], logged: Sequence[Proposal]) -> bool:
    """Whether they are the same decisions; log_prob and prediction may round otherwise here."""
    return [(p.architecture, p.actions, p.init_from) for p in proposed] == [
        (p.architecture, p.actions, p.init_from) for p in logged
    ]


def _with_prediction(evaluation: Evaluation, proposal: Proposal) -> Evaluation:
    """What was measured, beside it what was expected of this proposal, not of an equal one."""
    if evaluation.fidelity == "predicted":  # it was the measurement
        return evaluation
    metrics = {n: v for n, v in evaluation.metrics.items() if n != "predicted_accuracy"}
    if proposal.prediction is not None:
        metrics["predicted_accuracy"] = proposal.prediction
    return replace(evaluation, metrics=metrics)


def _dumps(state: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def _loads(state: bytes) -> Any:
    return torch.load(io.BytesIO(state), weights_only=True)
