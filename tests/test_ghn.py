"""The search by generated weights: its training, its evaluator, its stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

import evaluator_kit
from nascore import methods, tasks
from nascore.agents.evolution import Evolution
from nascore.evaluators import HypernetEvaluator
from nascore.methods._ghn import FILE
from nascore.networks import Recipe, accuracy, build_net
from nascore.search import AskTell, RunError, Search, Store
from nascore.spaces import Architecture, BlockSpace, Skeleton, SumDagSpace
from nascore.surrogates.hyper_training import (
    HyperTraining,
    load_hypernetwork,
    random_architectures,
)
from nascore.surrogates.hypernetwork import Design
from nascore.trial import Job, Limits, Trial

TASK = tasks.load("digits")
SKELETON = Skeleton(stem_width=4, blocks=1, widths=(8,))
DESIGN = Design(width=8, message_width=8, passes=1, hidden=16, channels=16, kernel=3, fan_in=True)
RECIPE = Recipe(3, 256, "adam", 1e-2, clip=5.0, restarts=0)
BLOCKS = BlockSpace(4)
CONV = BLOCKS.architecture("[(1,1,3,0,0)]")
TWO = BLOCKS.architecture("[(1,1,3,0,0),(2,1,1,1,0)]")
EMPTY = BLOCKS.architecture("[(1,7,0,0,0)]")
WIDE = BLOCKS.architecture("[(1,1,5,0,0),(2,1,5,1,0)]")


def training(**changes: object) -> HyperTraining:
    arguments = {
        "design": DESIGN,
        "task": TASK,
        "space": SumDagSpace(2),
        "skeleton": SKELETON,
        "recipe": RECIPE,
        "meta_batch": 1,
        "seed": 1,
        "device": "cpu",
    }
    return HyperTraining(**{**arguments, **changes})


def equal(one: HyperTraining, other: HyperTraining) -> bool:
    mine, theirs = one.hyper.state_dict(), other.hyper.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in mine.items())


# Training


def test_generated_weights_of_unseen_blocks_get_better_than_chance() -> None:
    trained = training(
        design=replace(DESIGN, width=16, message_width=16, hidden=32, layer_norm=True),
        space=SumDagSpace(2, (("conv", 1), ("conv", 3))),
        recipe=Recipe(8, 64, "adam", 5e-3, clip=5.0, schedule="cosine"),
    )
    larger = Architecture.of("dag", ((1, 3, 1, 0), (1, 1, 1, 1), (1, 3, 1, 1, 2), (5, 0, 1, 3)))
    nets = [SKELETON.expand(a, TASK.shape, 10) for a in (CONV, TWO, larger)]
    losses = [trained.run_epoch() for _ in range(8)]
    assert losses[-1] < 0.9 * losses[0]
    scores = [accuracy(network, TASK, "valid", "cpu").accuracy for network in trained.hyper(nets)]
    drawn = [accuracy(build_net(net), TASK, "valid", "cpu").accuracy for net in nets]
    assert min(scores) > 0.2 > max(drawn)
    assert trained.skipped == 0


def test_a_training_goes_on_exactly(tmp_path: Path) -> None:
    whole = training()
    whole.run_epoch()
    whole.save(tmp_path / "file")
    resumed = training()
    resumed.load(tmp_path / "file")
    assert resumed.epoch == 1
    assert [whole.run_epoch(), whole.run_epoch()] == [resumed.run_epoch(), resumed.run_epoch()]
    assert equal(whole, resumed)
    other = training(seed=2)
    other.run_epoch()
    assert not equal(whole, other)


def test_a_step_sees_as_many_architectures_as_the_meta_batch_has() -> None:
    one, several = training(), training(meta_batch=3)
    assert len(one._networks(0)) == 1
    assert len(several._networks(0)) == 3
    drawn = [next(random_architectures(SumDagSpace(5), 0, number)) for number in range(6)]
    assert len({architecture.hash for architecture in drawn}) == 6
    assert drawn == [next(random_architectures(SumDagSpace(5), 0, n)) for n in range(6)]


def test_the_loss_of_a_step_is_the_mean_over_its_architectures() -> None:
    several = training(meta_batch=3, recipe=replace(RECIPE, clip=None))
    nets, hyper = several._networks(0), several.hyper
    x, y = torch.randn(8, *TASK.shape), torch.arange(8)
    losses = [cross_entropy(network(x), y) for network in hyper(nets)]
    assert len({loss.item() for loss in losses}) == 3
    wanted = torch.autograd.grad(sum(losses) / 3, list(hyper.parameters()))
    torch.testing.assert_close(several._step(nets, x, y), sum(losses).detach() / 3)
    for parameter, gradient in zip(hyper.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_what_cannot_be_built_is_drawn_anew() -> None:
    dull = SumDagSpace(1, (("identity", 0), ("conv", 3)))
    hashes = {next(random_architectures(dull, 0, number)).hash for number in range(20)}
    assert len(hashes) == 2  # so the identity alone is drawn as well
    rows = [training(space=dull)._network(number).rows for number in range(20)]
    assert all((row[1:-3, 0] == 1).any() for row in rows)
    with pytest.raises(ValueError, match="of 100 random architectures not one can be built"):
        training(space=SumDagSpace(1, (("identity", 0),)))._network(0)


def test_a_step_that_is_not_finite_is_left_out() -> None:
    broken = training()
    before = [p.detach().clone() for p in broken.hyper.parameters()]
    labels = torch.zeros(4, dtype=torch.int64)
    broken._step(broken._networks(0), torch.full((4, *TASK.shape), torch.inf), labels)
    assert broken.skipped == 1
    assert all(map(torch.equal, before, broken.hyper.parameters()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"meta_batch": 0}, "meta_batch=0 must be at least 1"),
        ({"recipe": replace(RECIPE, optimizer="sgd")}, "trained by adam, not sgd"),
        ({"design": replace(DESIGN, channels=8)}, "digits has 10 classes, .* makes 8 different"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        training(**change)


def test_a_file_of_another_design_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    training().save(file)
    for act in (
        lambda: training(design=replace(DESIGN, hidden=8)).load(file),
        lambda: load_hypernetwork(file, replace(DESIGN, hidden=8), "cpu"),
    ):
        with pytest.raises(ValueError, match="holds no hypernetwork of this design"):
            act()
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ValueError, match="holds no hypernetwork of this design"):
        training().load(file)


# The evaluator


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    training().save(folder / FILE)
    return folder


EVALUATOR = HypernetEvaluator(
    TASK, SKELETON, DESIGN, FILE, Limits(params=2000), batch=59, device="cpu"
)


def test_evaluator_contract(files: Path) -> None:
    conv, two, empty, wide = evaluator_kit.check(EVALUATOR, [CONV, TWO, EMPTY, WIDE], files)
    for evaluation, block in ((conv, CONV), (two, TWO)):
        net = SKELETON.expand(block, TASK.shape, 10)
        [network] = load_hypernetwork(files / FILE, DESIGN, "cpu")([net])
        score = accuracy(network, TASK, "valid", "cpu", 60)  # 355 images: 59 would leave one over
        assert (evaluation.status, evaluation.fidelity) == ("ok", "hypernet")
        assert evaluation.metrics["generated_accuracy"] == score.accuracy
        assert evaluation.metrics["generated_loss"] == pytest.approx(score.loss, rel=1e-5)
        assert evaluation.metrics["params"] == net.params
        assert evaluation.metrics["macs"] == net.macs
        assert "seconds" in evaluation.metrics
    assert (empty.status, empty.message) == ("invalid", "empty block")
    assert wide.status == "too large"


def test_the_key_names_the_whole_setting() -> None:
    changed = [
        replace(EVALUATOR, task=tasks.load("digits", limit_train=500)),
        replace(EVALUATOR, skeleton=Skeleton.small()),
        replace(EVALUATOR, design=replace(DESIGN, passes=2)),
        replace(EVALUATOR, file="other.pt"),
        replace(EVALUATOR, limits=Limits()),
        replace(EVALUATOR, batch=64),
    ]
    assert len({e.key(CONV) for e in [EVALUATOR, *changed]}) == 1 + len(changed)


def test_weights_that_are_not_finite_are_a_status(tmp_path: Path) -> None:
    broken = training()
    with torch.no_grad():
        broken.hyper.roles.weight.fill_(torch.nan)
    broken.save(tmp_path / FILE)
    [evaluation] = EVALUATOR.evaluate([Job(0, CONV, 0, files=tmp_path)])
    assert evaluation.status == "not finite"
    evaluator_kit.an_evaluation_is_sound(evaluation)


def test_an_evaluator_without_its_file_stops_the_run(tmp_path: Path) -> None:
    for folder, message in ((tmp_path, "put it back"), (None, "needs a folder, not a URL")):
        with pytest.raises(RunError, match=message):
            EVALUATOR.evaluate([Job(0, CONV, 0, files=folder)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 1}, "batch=1 must be at least 2"),
        ({"device": "tpu"}, "device 'tpu'"),
        ({"design": replace(DESIGN, channels=9)}, "digits has 10 classes"),
        ({"skeleton": Skeleton(blocks=1, widths=(4,) * 5)}, "too small for 5 groups"),
    ],
)
def test_a_setting_that_cannot_work_stops_at_once(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(EVALUATOR, **change)


# The stages

TINY = (
    *("dag.nodes=3", "train_nodes=2", "dag.recipe.epochs=1", "dag.skeleton.widths=(4,)"),
    *("dag.skeleton.stem_width=4", "training.epochs=2", "training.batch=512", "test_batch=256"),
    *("design.width=8", "design.passes=1", "design.channels=16", "trials=6", "batch=3", "top=2"),
)


def search(*settings: str, seed: int = 0) -> Search:
    config = methods.with_settings(methods.config("ghn"), [*TINY, *settings])
    return methods.build("ghn", TASK, config, seed)


def test_the_best_by_generated_weights_are_trained_and_have_both_figures() -> None:
    progress = []
    trials = list(search().run(on_progress=lambda *done: progress.append(done)))
    assert progress == [("training the hypernetwork", n, 2) for n in (1, 2)]
    ranked, trained = trials[:6], trials[6:]
    assert [t.number for t in trials] == list(range(8))
    assert {t.evaluation.fidelity for t in ranked} == {"hypernet"}
    assert {t.evaluation.fidelity for t in trained} == {"proxy"}
    assert all("val_accuracy" not in t.metrics for t in ranked)
    best = sorted(ranked, key=lambda t: (-t.reward, t.number))[:2]
    assert [t.architecture for t in trained] == [t.architecture for t in best]
    for before, after in zip(best, trained, strict=True):
        assert after.metrics["generated_accuracy"] == before.metrics["generated_accuracy"]
        assert after.reward == 100 * after.metrics["val_accuracy"]
    config = methods.with_settings(methods.config("ghn"), TINY)
    figures = methods.figures("ghn", config, trials)
    assert figures["mean val_accuracy of the trained"] == pytest.approx(
        sum(t.metrics["val_accuracy"] for t in trained) / 2
    )
    assert methods.figures("ghn", config, ranked) == {}


def plain(trials: Sequence[Trial]) -> list[tuple[object, ...]]:
    """Trials without what a clock says."""
    return [(t.number, t.proposal, evaluator_kit.timeless(t.evaluation), t.reward) for t in trials]


@pytest.fixture(scope="module")
def whole() -> list[Trial]:
    return list(search())


@pytest.mark.parametrize("stop_after", [0, 4, 7])
def test_a_stopped_search_goes_on_exactly(
    tmp_path: Path, whole: list[Trial], stop_after: int
) -> None:
    def stop(label: str, done: int, total: int) -> None:
        if stop_after == 0 and done == 1:
            raise KeyboardInterrupt  # in the training

    with Store.create(tmp_path / "run", search().meta) as store:
        running = search().run(store, on_progress=stop)
        if stop_after == 0:
            with pytest.raises(KeyboardInterrupt):
                list(running)
        else:
            for _ in range(stop_after):
                next(running)
            running.close()
    with Store.open(tmp_path / "run", write=True) as store:
        done = []
        list(search().run(store, on_progress=lambda _, n, __: done.append(n)))
        assert done == ([2] if stop_after == 0 else [])
        assert plain(store.trials()) == plain(whole)
        best = store.best()
    assert best is not None
    assert best.evaluation.fidelity == "proxy"


def test_a_training_ends_when_the_time_is_up(tmp_path: Path) -> None:
    with Store.create(tmp_path / "run", search().meta) as store:
        assert list(search().run(store, time_limit_s=0)) == []
        assert not (tmp_path / "run" / "weights" / FILE).exists()


def test_any_agent_may_search_with_generated_weights() -> None:
    first, rank, _ = search().stages
    agent = Evolution(SumDagSpace(3), 0, population=4, sample=2)
    stage = AskTell(agent, rank.evaluator, rank.reward, 8, batch=2)
    trials = list(Search("evolution", {}, TASK.name, 0, [first, stage]))
    assert len(trials) == 8
    assert all(t.reward == 100 * t.metrics["generated_accuracy"] for t in trials)


def test_a_run_whose_hypernetwork_is_damaged_says_so(tmp_path: Path) -> None:
    with Store.create(tmp_path / "run", search().meta) as store:
        next(search().run(store))
        (tmp_path / "run" / "weights" / FILE).write_bytes(b"no")
        with pytest.raises(RunError, match="holds no hypernetwork of this design"):
            list(search().run(store))


def test_there_are_never_more_trained_than_ranked() -> None:
    assert search("trials=3", "top=5").trials == 6
    with pytest.raises(ValueError, match="top=0 must be at least 1"):
        search("top=0")
