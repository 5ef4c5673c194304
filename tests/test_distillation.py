"""Losses of students, the file of a teacher, and the evaluator between them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import evaluator_kit
import method_kit
from nascore import methods, tasks
from nascore.agents.compression import ActorCritic
from nascore.evaluators.distill import DistillEvaluator
from nascore.networks import Recipe, build_net
from nascore.networks.distillation import (
    Distillation,
    Taught,
    load_teacher,
    read_card,
    save_teacher,
)
from nascore.networks.imported import imported
from nascore.networks.teachers import ResNet
from nascore.search import RunError
from nascore.spaces import WholeNet
from nascore.spaces.compression import RemovalSpace
from nascore.trial import Job

TEACHER, NETWORK = imported(ResNet(1, 10, (1, 1), (4, 8)), (1, 8, 8))
LABELS = torch.tensor([0, 1, 2])


@pytest.mark.parametrize("loss", ["logits", "soft"])
def test_a_student_that_is_its_teacher_has_no_loss(loss: str) -> None:
    logits = torch.randn(3, 10)
    assert Distillation(loss)(logits, logits, LABELS).item() == pytest.approx(0, abs=1e-6)
    assert Distillation(loss)(logits, logits + torch.randn(3, 10), LABELS) > 0.01


def test_losses_are_what_they_say() -> None:
    logits, wanted = torch.randn(3, 10), torch.randn(3, 10)
    regression = Distillation()(logits, wanted, LABELS)
    assert regression == pytest.approx(((logits - wanted) ** 2).mean().item())
    hard = torch.nn.functional.cross_entropy(logits, LABELS)
    assert Distillation(hard=1.0)(logits, wanted, LABELS) == pytest.approx(hard.item())
    mixed = Distillation(hard=0.25)(logits, wanted, LABELS)
    assert mixed == pytest.approx(0.75 * regression.item() + 0.25 * hard.item())
    p, log_q = (wanted / 4).softmax(1), (logits / 4).log_softmax(1)
    soft = 16 * (p * (p.log() - log_q)).sum(1).mean()
    assert Distillation("soft", 4.0)(logits, wanted, LABELS) == pytest.approx(soft.item(), rel=1e-4)


@pytest.mark.parametrize(
    "change", [{"loss": "both"}, {"temperature": 0.0}, {"hard": 1.5}, {"hard": -0.1}]
)
def test_bad_settings(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        Distillation(**change)


def test_no_gradient_reaches_the_teacher() -> None:
    student = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    teacher = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    images = torch.randn(3, 1, 8, 8)
    Taught(teacher, Distillation())(images, student(images), LABELS).backward()
    assert all(p.grad is not None for p in student.parameters())
    assert all(p.grad is None for p in teacher.parameters())


def evaluator(**changes: object) -> DistillEvaluator:
    task = tasks.load("digits", limit_train=300)
    return DistillEvaluator(task, WholeNet(), Recipe(1, 64, "adam", 0.01, restarts=0), **changes)


def test_a_teacher_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "teacher.safetensors"
    save_teacher(path, TEACHER, NETWORK, {"params": 3})
    assert read_card(path)["params"] == 3
    again = load_teacher(path, (1, 8, 8), 10)
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(again(images), NETWORK(images))
    assert not any(p.requires_grad for p in again.parameters())
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="holds no teacher"):
        read_card(path)


def test_students_are_trained_and_refused(tmp_path: Path, monkeypatch) -> None:
    save_teacher(tmp_path / "teacher.safetensors", TEACHER, NETWORK, {})
    space = RemovalSpace(TEACHER)
    small = space.architecture([size - 1 for size in space.heads])
    params = WholeNet().expand(TEACHER, (1, 8, 8), 10).params
    judge = evaluator(parent_params=params)
    found = judge.evaluate([Job(i, a, 1, files=tmp_path) for i, a in enumerate((small, TEACHER))])
    assert [e.status for e in found] == ["ok", "invalid"]
    assert found[1].message == "the student is not smaller than its parent"
    for one in found:
        evaluator_kit.an_evaluation_is_sound(one)
    [wide] = evaluator(max_linear=7).evaluate([Job(0, small, 1, files=tmp_path)])
    assert wide.message == "a linear layer has more than 7 inputs"
    other = evaluator(distillation=Distillation(hard=1.0)).evaluate(
        [Job(0, small, 1, files=tmp_path)]
    )
    assert other[0].metrics["val_loss"] != found[0].metrics["val_loss"]
    keys = {judge.key(small), evaluator().key(small), judge.key(TEACHER)}
    assert len(keys) == 3
    with pytest.raises(RunError, match="holds no teacher"):
        judge.evaluate([Job(0, small, 1, files=tmp_path / "nowhere")])
    with pytest.raises(RunError, match="run's folder"):
        judge.evaluate([Job(0, small, 1)])


def test_a_vgg_is_compressed_by_an_actor_and_a_critic_with_soft_targets_and_labels() -> None:
    settings = (
        *("teacher=vgg", "blocks=(1,1)", "widths=(12,16)", "trials=6", "batch=3"),
        *("learner=actor_critic", "distillation.loss=soft", "distillation.temperature=4"),
        *("distillation.hard=0.3", *method_kit.QUICK["n2n"]),
    )
    config = methods.with_settings(methods.config("n2n"), settings)
    search = methods.build("n2n", tasks.load("digits", limit_train=300), config, 1)
    teach, removal, shrinkage, final = search.stages
    assert "max_pool" in str(build_net(WholeNet().expand(teach.architecture, (1, 8, 8), 10)))
    assert isinstance(removal.agent(teach.architecture), ActorCritic)
    assert isinstance(shrinkage.agent(teach.architecture), ActorCritic)
    for stage in (removal, shrinkage, final):
        assert stage.evaluator.distillation == Distillation("soft", 4.0, 0.3)
    trials = list(search)
    assert [t.number for t in trials] == list(range(search.trials))
    good = [t for t in trials if t.evaluation.ok]
    assert any(t.evaluation.fidelity == "proxy" for t in good)
    assert trials[-1].evaluation.ok
    assert trials[-1].evaluation.fidelity == "full"
