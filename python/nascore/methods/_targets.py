"""Costs in the reward of any method that has one."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace
from typing import Any

from nascore.evaluators.latency import Timed
from nascore.search import Constrained, Search, Targets

# In a worker an evaluation waits for the trainings beside it to end, up to twice, and for other
# networks to be timed.
_WITH_WAITING = 4


def with_targets(search: Search, targets: Targets) -> Search:
    """`search`, of which all rewards follow the costs that `targets` names; in place of it.

    With a target of latency each network is timed after its training, while no other candidate
    is trained on that machine. Times differ from one measurement to the next, so then neither the
    number of workers nor a seed fixes the history; a resumed run goes by what it measured. Raises
    ValueError for a method whose reward no such cost can change.
    """
    stages = [_aimed(search, stage, targets) for stage in search.stages]
    return replace(search, stages=stages, targets=asdict(targets))


def _aimed(search: Search, stage: Any, targets: Targets) -> Any:
    if not stage.trials:  # it trains what others are scored with
        return stage
    if not hasattr(stage, "reward"):
        reason = "learns from no reward that a target could change"
        if "max_params" in search.config:
            reason = "has a reward of its own for size; set its max_params instead of a target"
        raise ValueError(f"{search.method} {reason}")
    stage = copy.copy(stage)
    stage.reward = Constrained(stage.reward, targets)
    agent: Any = getattr(stage, "agent", None)
    if hasattr(agent, "reward"):  # it predicts rewards of what is never built
        if targets.latency_ms is not None:
            raise ValueError(
                f"latency_ms={targets.latency_ms:g}: {search.method} predicts most rewards, and no "
                "latency can be measured there; use max_macs or max_params"
            )
        stage.agent = copy.copy(agent)
        stage.agent.reward = Constrained(agent.reward, targets)
    if targets.latency_ms is not None:
        recipe = getattr(stage.evaluator, "recipe", None)
        threads = 1 if recipe is None else recipe.threads
        limit = stage.deadline_s
        timed = Timed(stage.evaluator, targets.device, targets.batch, threads, limit)
        stage.evaluator = timed
        stage.deadline_s = None if limit is None else _WITH_WAITING * limit
    return stage
