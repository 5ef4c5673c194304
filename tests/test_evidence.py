"""The comparison with chance on digits: what it holds equal, what it measures."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nascore import methods, tasks
from nascore.agents.random import Random
from nascore.search import AskTell, Search
from nascore.trial import Evaluation, Job, Proposal, Trial
from toys import ToyEvaluator

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import evidence
import evidence_digits

CODES = ("SM", "C(4,1),SM", "C(4,3),SM", "C(4,5),SM", "C(8,1),SM", "C(8,3),SM")


@pytest.mark.parametrize("method", evidence_digits.METHODS)
def test_a_rival_differs_in_the_agent_alone(method: str) -> None:
    [ours] = evidence_digits.search(method, 8, 3, by_chance=False).stages
    rival = evidence_digits.search(method, 8, 3, by_chance=True)
    [theirs] = rival.stages
    assert isinstance(ours, AskTell)
    assert isinstance(theirs, AskTell)
    assert rival.method == f"{method}-by-chance"
    assert type(theirs.agent) is Random
    assert type(ours.agent) is not Random
    same = ("trials", "batch", "in_flight", "deadline_s", "evaluator")
    assert [getattr(theirs, name) for name in same] == [getattr(ours, name) for name in same]
    found = Evaluation({"val_accuracy": 0.5, "macs": 1e6, "density": 1.0}, "proxy")
    # What either proposes, the other could have, for the same reward.
    for agent, other in ((ours.agent, theirs.agent), (theirs.agent, ours.agent)):
        for proposal in agent.ask(5):
            assert other.space.actions(proposal.architecture)
            job = Job(0, proposal.architecture, 0)
            assert theirs.reward(job, found) == ours.reward(job, found)


def trial(number: int, code: str, reward: float, repeat_of: int | None = None) -> Trial:
    space = methods.config("metaqnn").space(tasks.load("digits"))
    architecture = space.architecture(code)
    evaluation = Evaluation({"val_accuracy": reward / 2, "seconds": 60.0}, "proxy")
    proposal = Proposal(architecture, space.actions(architecture))
    return Trial(number, proposal, evaluation, reward, repeat_of)


def test_figures() -> None:
    rewards = (0.1, 0.9, 0.2, 0.3, 0.1, 0.5)
    trials = [trial(i, code, r) for i, (code, r) in enumerate(zip(CODES, rewards, strict=True))]
    trials += [trial(6, CODES[0], 0.1, repeat_of=0), trial(7, CODES[5], 0.5, repeat_of=5)]
    trials[3] = replace(trials[3], evaluation=Evaluation({}, "proxy", "too large"), reward=2.0)
    best, accuracy, late, distinct, minutes = evidence_digits.figures(trials)
    assert (best, accuracy, distinct, minutes) == (0.9, 45.0, 6, 5)
    assert late == pytest.approx(0.3)


def test_paired() -> None:
    one, other = np.array([3.0, 2.0, 5.0, 4.0]), np.array([1.0, 2.0, 2.0, 5.0])
    # The differences 2, 0, 3, -1: mean 1, standard error 0.9129, times 3.182.
    assert evidence.paired(one, other) == "1.00 ± 2.91, 2:1, p = 1"
    assert evidence.paired(other, one) == "-1.00 ± 2.91, 1:2, p = 1"


def test_a_stopped_search_goes_on_and_a_finished_one_is_only_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = ("metaqnn", 24, 1, True)
    true = evidence_digits.search

    def run(folder: str, faults: dict[int, str]) -> list[Trial]:
        def free(*plan: object) -> Search:
            built = true(*plan)
            built.stages[0].evaluator = ToyEvaluator(faults=faults)
            return built

        monkeypatch.setattr(evidence_digits, "search", free)
        return evidence_digits.history(tmp_path / folder, *plan)

    with pytest.raises(FileNotFoundError):
        run("stopped", dict.fromkeys(range(13, 24), "raise"))
    whole = run("whole", {})
    assert len(whole) == 24
    assert run("stopped", dict.fromkeys(range(13), "raise")) == whole
    assert run("stopped", dict.fromkeys(range(24), "raise")) == whole
