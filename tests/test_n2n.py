"""N2N as a whole: teachers of all kinds, what its stages leave, transfer, retraining."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import method_kit
from cli_kit import nascore as command
from nascore import load_model, methods, tasks
from nascore.agents.random import Random
from nascore.methods import n2n
from nascore.methods._n2n import TEACHER, Compress, rank
from nascore.methods._n2n import reward as stage_reward
from nascore.methods.n2n import Config
from nascore.networks.distillation import read_card, save_teacher
from nascore.networks.imported import imported
from nascore.networks.teachers import ResNet
from nascore.search import Compression, Search, Store
from nascore.spaces import WholeNet
from nascore.spaces.compression import RemovalSpace
from nascore.trial import Evaluation, Job, Proposal, Trial
from toys import ToyEvaluator

QUICK = ("trials=9", "batch=3", "blocks=(1,1)", "widths=(4,8)", *method_kit.QUICK["n2n"])


class Plain(nn.Module):
    """A network of a user's own."""

    def __init__(self, classes: int = 10, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 14, 3, padding=1)
        self.activation = activation or nn.ReLU()
        self.head = nn.Linear(14, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.activation(self.two(self.activation(self.one(x))))
        return self.head(x.mean((2, 3)))


def config(*settings: str) -> Config:
    return methods.with_settings(methods.config("n2n"), [*QUICK, *settings])


def run(arguments: list[object]) -> str:
    done = command(*arguments)
    assert done.status == 0, done.err
    return done.out


@pytest.mark.parametrize("seed", range(3))
def test_the_small_preset_learns_where_size_alone_pays(seed: int) -> None:
    """By rewards C (2 - C) A / A_teacher, as large as in life, in as many iterations."""
    small = n2n.small()
    teacher = imported(ResNet(1, 10, (2, 2, 2, 2), (8, 16, 32, 64)), (1, 32, 32))[0]
    compress = Compress("removal", None, small, seed, 0, None)  # type: ignore[arg-type]
    agent, whole = compress.agent(teacher), WholeNet().expand(teacher, (1, 32, 32), 10).params
    noise, sizes = np.random.default_rng(seed), []
    for _ in range(24):
        told = []
        for proposal in agent.ask(small.batch):
            net = WholeNet().expand(proposal.architecture, (1, 32, 32), 10)
            share = 1 - net.params / whole
            reward = share * (2 - share) * 0.57 + 0.02 * noise.standard_normal()
            told.append(SimpleNamespace(number=0, proposal=proposal, reward=reward))
            sizes.append(net.params)
        agent.tell(told)  # type: ignore[arg-type]
    assert np.mean(sizes[-30:]) < 0.75 * np.mean(sizes[:30])


def test_from_the_command_line(tmp_path: Path) -> None:
    options = [part for setting in QUICK for part in ("--set", setting)]
    begin = ["search", "n2n", "--task", "digits", "--limit-train", 300, *options]
    run([*begin, "--out", tmp_path / "run"])
    failed = command(*begin, "--out", tmp_path / "no", "--teacher", tmp_path)
    assert failed.status == 2
    assert "is not the folder of a model" in failed.err
    out = run(["retrain", tmp_path / "run", "--epochs", 2])
    assert "Test accuracy" in out
    student = load_model(tmp_path / "run" / "model")
    assert student(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    card = (tmp_path / "run" / "model" / "model.json").read_text()
    assert '"distillation"' in card
    assert '"space": "net"' in card
    # A finished model is a teacher as well, and its students are smaller than it.
    task = tasks.load("digits", limit_train=300)
    model = config("trials=6", f"teacher={tmp_path / 'run' / 'model'}")
    trials = list(methods.build("n2n", task, model))
    params = sum(p.numel() for p in student.parameters())
    assert all(t.metrics["params"] < params for t in trials if t.evaluation.ok)
    # What one run learned, another one begins with.
    begun = n2n.build(task, config(f"transfer={tmp_path / 'run'}"), 1)
    fresh = n2n.build(task, config(), 1)
    chances = [[t.proposal.log_prob for t in list(search)[:3]] for search in (begun, fresh)]
    assert chances[0] != chances[1]
    with pytest.raises(ValueError, match=r"transfer: .*holds no policy"):
        n2n.build(task, config(f"transfer={tmp_path / 'nowhere'}"), 1)


def test_any_module_is_a_teacher(tmp_path: Path) -> None:
    task = tasks.load("digits", limit_train=300)
    module = Plain()
    search = n2n.build(task, config("trials=6"), 1, module)
    assert search.config["teacher"].startswith("module ")
    trials = list(search)
    assert [t.number for t in trials] == list(range(search.trials))
    params = sum(p.numel() for p in module.parameters())
    assert all(t.metrics["params"] < params for t in trials if t.evaluation.ok)
    assert trials[-1].evaluation.fidelity == "full"
    with pytest.raises(ValueError, match="gives 7 logits; digits has 10"):
        n2n.build(task, config(), 0, Plain(7))
    with pytest.raises(ValueError, match="layer 'activation' is Softplus"):
        n2n.build(task, config(), 0, Plain(activation=nn.Softplus()))


def test_a_teacher_that_had_no_time_goes_on(tmp_path: Path) -> None:
    task = tasks.load("digits", limit_train=300)
    unbroken = [t.reward for t in n2n.build(task, config("trials=3"), 1)]
    search = n2n.build(task, config("trials=3"), 1)
    with Store.create(tmp_path, search.meta) as store:
        assert list(search.run(store, time_limit_s=0)) == []
        assert not (tmp_path / "weights" / TEACHER).exists()
        assert [t.reward for t in search.run(store)] == unbroken


def test_a_run_goes_on_in_any_of_its_stages(tmp_path: Path) -> None:
    def search() -> Search:
        built = n2n.build(task, config("trials=9", "students=2"), 1)
        for stage in built.stages[1:]:
            stage.evaluator = ToyEvaluator()
        return built

    task = tasks.load("digits", limit_train=300)
    unbroken = method_kit.timeless(search())
    for stop in (4, 7, 9, 10):  # in removal, in shrinkage, before the end, and in it
        with Store.create(tmp_path / str(stop), search().meta) as store:
            stopped = search().run(store)
            for _ in range(stop):
                next(stopped)
            stopped.close()
            list(search().run(store))
            assert method_kit.timeless(store.trials()) == unbroken


def test_who_is_best_does_not_depend_on_when_it_came(tmp_path: Path) -> None:
    limited = config("max_params=500", "anneal=15")
    architecture, network = imported(Plain(), (1, 8, 8))
    card = {"params": 1000, "val_accuracy": 0.5}
    save_teacher(tmp_path / TEACHER, architecture, network, card)
    run = SimpleNamespace(files=tmp_path)  # of a run no more is asked here
    reward = stage_reward(limited, run, 0)

    def trial(number: int, params: float) -> Trial:
        found = Evaluation({"params": params, "val_accuracy": 0.5}, "proxy")
        given = reward(Job(number, architecture, 0), found)
        return Trial(number, Proposal(architecture, ()), found, given)

    large, larger, small = trial(0, 510), trial(1, 900), trial(70, 499)
    assert large.reward > small.reward - 0.02  # limits come into force slowly
    assert trial(70, 510).reward < small.reward - 1
    assert sorted([small, large, larger], key=rank(limited, run)) == [larger, large, small]


def test_a_teacher_sees_images_as_it_learnt_them(tmp_path: Path) -> None:
    task = tasks.load("digits", limit_train=300)
    module = Plain().eval()
    told = ("teacher_mean=(0.1,)", "teacher_std=(0.7,)", "trials=3")
    search = n2n.build(task, config(*told), 1, module)
    with Store.create(tmp_path, search.meta) as store:
        list(search.run(store))
    lesson = n2n.taught(config(*told), tmp_path, task)
    pixels = torch.rand(5, *task.shape)
    ours, its = ((pixels - m) / s for m, s in ((task.mean[0], task.std[0]), (0.1, 0.7)))
    with torch.no_grad():
        wanted = module(its)
        assert lesson(ours, wanted, torch.zeros(5).long()) < 1e-8
        assert lesson(its, wanted, torch.zeros(5).long()) > 1e-6
    images, labels = task.split("valid")
    with torch.no_grad():
        right = module((torch.from_numpy(images) / 255 - 0.1) / 0.7).argmax(1).numpy() == labels
    card = read_card(tmp_path / "weights" / TEACHER)
    assert card["val_accuracy"] == pytest.approx(right.mean())
    for wrong in (told[:1], ("teacher_mean=(0.1,0.2)", told[1]), (told[0], "teacher_std=(0.0,)")):
        with pytest.raises(ValueError, match=r"^teacher_mean=.*has images of 1 channels"):
            n2n.build(task, config(*wrong), 1, module)
    with pytest.raises(ValueError, match="this one is to be trained on digits"):
        n2n.build(task, config(*told), 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"removal": 0.0}, "removal"),
        ({"students": 0}, "students"),
        ({"anneal": -1}, "anneal"),
        ({"min_width": 0}, "min_width"),
    ],
)
def test_bad_settings(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}="):
        replace(Config(), **change)


def test_blocks_and_widths_go_together() -> None:
    with pytest.raises(ValueError, match="needs as many widths"):
        n2n.build(tasks.load("digits"), config("widths=(4,8,16)"), 0)


# Policies with a reward that costs nothing: students as accurate as the teacher, of true sizes.
def teacher(*blocks: int) -> tuple[Compress, object, int]:
    task = tasks.load("digits")
    widths = f"widths=({','.join('8' for _ in blocks)},)"
    settings = config(f"blocks=({','.join(map(str, blocks))},)", widths, "units=30", "batch=5")
    search: Search = n2n.build(task, settings, 0)
    teach, compress = search.stages[:2]
    params = WholeNet().expand(teach.architecture, task.shape, task.classes).params
    return compress, teach.architecture, params


def rewards(agent, params: int, iterations: int) -> np.ndarray:
    judge, found = Compression(params, 1.0), []
    for number in range(iterations):
        trials = []
        for proposal in agent.ask(5):
            net = WholeNet().expand(proposal.architecture, (1, 8, 8), 10)
            smaller = net.params < params
            metrics = {"params": float(net.params), "val_accuracy": 1.0}
            found_one = Evaluation(metrics, "proxy", "ok" if smaller else "invalid")
            trials.append(Trial(number, proposal, found_one, judge(None, found_one)))
        agent.tell(trials)
        found.append(np.mean([t.reward for t in trials]))
    return np.array(found)


def agent_of(compress: Compress, parent, seed: int):
    return replace(compress, seed=seed).agent(parent)


def test_rewards_rise_above_those_of_random_actions() -> None:
    compress, parent, params = teacher(2)
    learned = rewards(agent_of(compress, parent, 0), params, 40)

    chance = rewards(Random(RemovalSpace(parent), 0), params, 40)
    assert learned[-10:].mean() > learned[:10].mean() + 0.05
    assert learned[-10:].mean() > chance.mean() + 0.05


def test_rewards_of_students_that_are_trained_rise_above_those_of_chance() -> None:
    def rewards(lr: float) -> list[float]:
        settings = [
            *("trials=80", "batch=4", "removal=1.0", "widths=(12,16)", "units=30"),
            *("recipe.batch=64", "teacher_recipe.epochs=8", "final.epochs=1", "students=1"),
        ]
        wanted = config(*settings, f"removal_lr={lr}")
        history = list(methods.build("n2n", tasks.load("digits"), wanted, seed=2))
        return [trial.reward for trial in history[:80]]

    learned, chance = rewards(0.01), rewards(0.0)
    assert np.mean(learned[40:]) > np.mean(learned[:40])
    assert np.mean(learned[40:]) > np.mean(chance[40:])


def test_a_policy_that_was_trained_begins_better_on_a_larger_teacher() -> None:
    compress, small, params = teacher(1)
    larger, large, its_params = teacher(2)
    differences = []
    for seed in range(3):
        taught = agent_of(compress, small, seed)
        rewards(taught, params, 40)
        fresh, begun = agent_of(larger, large, seed), agent_of(larger, large, seed)
        begun.controller.load_state_dict(taught.controller.state_dict())
        gain = rewards(begun, its_params, 10).mean() - rewards(fresh, its_params, 10).mean()
        differences.append(gain)
    assert min(differences) > 0


def test_teachers_of_one_kind_have_one_form() -> None:
    _, architecture, params = teacher(2)
    module = ResNet(1, 10, (2,), (8,))
    assert params == sum(p.numel() for p in module.parameters())
    assert architecture.space == "net"
