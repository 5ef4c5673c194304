"""What long trainings have: holes, averaged weights, patience, mixed precision, compilation."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch._dynamo
import torch._inductor.config
from torch import Tensor, nn

from nascore import tasks
from nascore.networks import Epoch, Network, Recipe, Score, accuracy, build, fit
from nascore.networks.averages import Averages
from nascore.networks.execution import Execution
from nascore.networks.logits import Logits
from nascore.networks.modules import DropPath
from nascore.spaces import BlockSpace, CellSpace, CellStack, Skeleton
from nascore.tasks import Task

BLOCK = BlockSpace().architecture("[(1,1,3,0,0)]")
TINY = Skeleton(stem_width=6, blocks=1, widths=(8,))
RECIPE = Recipe(3, 64, "adam", 2**-6, restarts=0)


@pytest.fixture(scope="module")
def digits() -> Task:
    return tasks.load("digits", limit_train=256)


def network_for(task: Task, seed: int = 1) -> Network:
    return build(BLOCK, task, TINY, seed)


def equal(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cutout": -1}, "cutout=-1 must be 0 or more"),
        ({"ema": 1.0}, r"ema=1.0 must be in \[0, 1\)"),
        ({"patience": 0}, "patience=0 must be at least 1, or None"),
    ],
)
def test_a_wrong_recipe_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(RECIPE, **change)


def test_the_holes_of_a_recipe_are_the_tasks(digits: Task) -> None:
    """As if the task had them; but it is the same task, so that results compare."""
    with_holes = tasks.load("digits", limit_train=256, augment=replace(digits.augment, cutout=3))
    ours, theirs, without = (network_for(digits) for _ in range(3))
    fit(ours, digits, replace(RECIPE, cutout=3), 1, "cpu")
    fit(theirs, with_holes, RECIPE, 1, "cpu")
    fit(without, digits, RECIPE, 1, "cpu")
    assert equal(ours, theirs)
    assert not equal(ours, without)


def test_a_hole_as_large_as_the_images_is_refused(digits: Task) -> None:
    with pytest.raises(ValueError, match=r"cutout=8 leaves nothing of images of 8x8; set less"):
        fit(network_for(digits), digits, replace(RECIPE, cutout=8), 1, "cpu")


def test_averages_are_those_of_the_formula() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    averages = Averages(network, 0.3)
    wanted = {name: value.double() for name, value in network.state_dict().items()}
    for step in range(1, 7):
        network(torch.randn(8, 3, generator=torch.Generator().manual_seed(step)))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(0.9).add_(0.1 * step)
        averages.update()
        decay = min(0.3, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            wanted[name] = decay * wanted[name] + (1 - decay) * value
    found = averages.network.state_dict()
    assert found.keys() == network.state_dict().keys()
    assert found["1.num_batches_tracked"] == 6  # a count has no average
    for name in ("0.weight", "0.bias", "1.weight", "1.running_mean", "1.running_var"):
        torch.testing.assert_close(found[name].double(), wanted[name])


def test_what_is_validated_and_left_are_the_averages(digits: Task) -> None:
    """Those of a training that is otherwise the same, at each of its epochs."""
    seen: list[Score] = []
    plain, averaged = network_for(digits), network_for(digits)
    first = {name: value.clone() for name, value in plain.state_dict().items()}
    one_step = replace(RECIPE, epochs=1, batch=256, ema=0.9)
    fitted = fit(averaged, digits, one_step, 1, "cpu", on_epoch=lambda e: seen.append(e.valid))
    fit(plain, digits, replace(one_step, ema=0.0), 1, "cpu")
    ours, theirs = averaged.state_dict(), plain.state_dict()
    for name, value in theirs.items():
        if value.is_floating_point():
            torch.testing.assert_close(ours[name], first[name].lerp(value, 9 / 11))
    assert not equal(plain, averaged)
    assert [fitted.valid] == seen == [accuracy(averaged, digits, "valid", "cpu", 256)]


def test_patience_ends_a_training_and_keeps_the_best(digits: Task) -> None:
    recipe = replace(RECIPE, epochs=40, lr=2**-4, patience=2)  # so high that it does not only rise
    seen: list[Epoch] = []
    network = network_for(digits)
    fitted = fit(network, digits, recipe, 2, "cpu", on_epoch=seen.append)
    scores = [epoch.valid for epoch in seen]
    best = max(range(len(scores)), key=lambda i: (scores[i].accuracy, -i))
    assert len(scores) < 40
    assert best == len(scores) - 3  # two epochs came after it
    assert fitted.epochs == len(scores)
    assert fitted.valid == fitted.best == scores[best]
    assert accuracy(network, digits, "valid", "cpu", 64) == scores[best]
    whole = network_for(digits)  # the epochs that a shorter recipe has are the same
    fit(whole, digits, replace(recipe, epochs=best + 1, patience=None), 2, "cpu")
    assert equal(network, whole)


def test_what_an_epoch_tells(digits: Task) -> None:
    seen: list[Epoch] = []
    recipe = replace(RECIPE, epochs=2, drops=(0.5,), batch=256, lr=2**-9)
    task = tasks.load("digits", limit_train=256, augment=tasks.Augment())
    network = network_for(task)
    accuracies: list[float] = []

    def loss(images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        accuracies.append((logits.argmax(1) == labels).double().mean().item())
        return nn.functional.cross_entropy(logits, labels)

    fit(network, task, recipe, 1, "cpu", on_epoch=seen.append, loss=loss)
    assert [epoch.lr for epoch in seen] == [2**-9, 2**-9 * 0.1]
    assert [epoch.accuracy for epoch in seen] == accuracies
    assert all(epoch.images_per_s > 0 and math.isfinite(epoch.loss) for epoch in seen)


class StoppedError(Exception):
    """Stands for a kill between two epochs."""


EVERYTHING = replace(
    RECIPE, epochs=5, ema=0.8, patience=4, cutout=2, clip=1.0, label_smoothing=0.1, batch=32
)


@pytest.mark.parametrize("execution", [Execution(), Execution(amp=True)])
@pytest.mark.parametrize("killed", [1, 2, 4])
def test_resume_is_exact(digits: Task, tmp_path: Path, execution: Execution, killed: int) -> None:
    whole, parts = network_for(digits), network_for(digits)
    unbroken = fit(whole, digits, EVERYTHING, 1, "cpu", execution=execution)

    def stop(epoch: Epoch) -> None:
        if epoch.done == killed + 1:  # so that `killed` are kept
            raise StoppedError

    how = {"checkpoint": tmp_path / "checkpoint.pt", "execution": execution}
    with pytest.raises(StoppedError):
        fit(parts, digits, EVERYTHING, 1, "cpu", on_epoch=stop, **how)
    parts = network_for(digits, seed=99)  # a new process; the file has all that counts
    done: list[int] = []
    resumed = fit(
        parts, digits, EVERYTHING, 1, "cpu", on_epoch=lambda e: done.append(e.done), **how
    )
    assert equal(whole, parts)
    assert (resumed.valid, resumed.best) == (unbroken.valid, unbroken.best)
    assert done[0] == killed + 1
    again = network_for(digits, seed=98)  # killed after the last epoch, before all was written
    assert fit(again, digits, EVERYTHING, 1, "cpu", **how).valid == unbroken.valid
    assert equal(whole, again)


def test_mixed_precision_on_a_cpu(digits: Task) -> None:
    kinds: set[torch.dtype] = set()

    def loss(images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        kinds.add(logits.dtype)
        return nn.functional.cross_entropy(logits, labels)

    recipe = replace(RECIPE, epochs=1)
    exact, mixed = network_for(digits), network_for(digits)
    fit(exact, digits, recipe, 1, "cpu", loss=loss)
    assert kinds == {torch.float32}
    fit(mixed, digits, recipe, 1, "cpu", loss=loss, execution=Execution(amp=True))
    assert kinds == {torch.float32, torch.bfloat16}
    for ours, theirs in zip(mixed.parameters(), exact.parameters(), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0.1)
    assert not equal(mixed, exact)


def test_mixed_precision_that_would_only_be_slow_is_refused(
    digits: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nascore.networks.execution.has_bfloat16", lambda: False)
    with pytest.raises(ValueError, match="this CPU has no instructions for bfloat16"):
        fit(network_for(digits), digits, RECIPE, 1, "cpu", execution=Execution(amp=True))


CELLS = CellSpace(1).architecture("max3(0)+avg3(1) / avg3(0)+max3(1)")
STACK = CellStack(1, 2, stem_width=4, reductions=1, auxiliary=True)


def test_a_compiled_network_is_translated_once(
    digits: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its paths are dropped more often with every step; the translator alone is real."""
    eager = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr("torch.compile", eager)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    recipe = replace(RECIPE, epochs=2, auxiliary=0.4, drop_path_keep=0.6)
    network = build(CELLS, digits, STACK)
    fitted = fit(network, digits, recipe, 1, "cpu", execution=Execution(compiled=True))
    assert fitted.status == "ok"
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert not torch._dynamo.utils.counters["graph_break"]
    keeps = [m.keep for m in network.modules() if isinstance(m, DropPath)]
    assert len(keeps) > 1
    assert all(0.6 < float(keep) < 0.8 for keep in keeps)


TORCHS_OWN = "ignore:.torch.jit.script_method.:DeprecationWarning"


@pytest.mark.slow
@pytest.mark.filterwarnings(TORCHS_OWN)
def test_a_compiled_training_computes_the_same(digits: Task) -> None:
    plain, fast = network_for(digits), network_for(digits)
    first = fit(plain, digits, RECIPE, 1, "cpu")
    second = fit(fast, digits, RECIPE, 1, "cpu", execution=Execution(compiled=True))
    assert second.valid == pytest.approx(first.valid, rel=0.02)
    assert torch._dynamo.utils.counters["inductor"]


@pytest.mark.filterwarnings(TORCHS_OWN)
def test_no_compiler(digits: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("/nowhere/g++",))
    monkeypatch.setattr(torch._inductor.config, "fx_graph_cache", False)
    with pytest.raises(ValueError, match=r"compile: torch cannot compile .* it needs a C\+\+ comp"):
        fit(network_for(digits), digits, RECIPE, 1, "cpu", execution=Execution(compiled=True))


@pytest.mark.parametrize("sides", [(1, 1), (1,)])
@pytest.mark.parametrize("draw", [lambda keep: keep, torch.tensor])
def test_dropped_paths_keep_the_mean(
    draw: Callable[[float], object], sides: tuple[int, ...]
) -> None:
    path = build(CELLS, tasks.load("digits"), STACK).train()
    [first, *_] = [m for m in path.modules() if isinstance(m, DropPath)]
    x = torch.ones(20_000, 1, *sides)  # images, signals
    first.keep = draw(0.8)
    torch.manual_seed(1)
    y = first(x)
    torch.testing.assert_close(y.unique(), torch.tensor([0.0, 1.25]))
    assert y.shape == x.shape
    assert y.mean().item() == pytest.approx(1, abs=0.01)
    first.eval()
    assert first(x) is x


def test_what_training_asks_a_network_for(digits: Task) -> None:
    with_head = build(CELLS, digits, STACK)
    images = torch.randn(2, 1, 8, 8)
    for auxiliary, alone, logits, partial in (
        (True, False, 2, False),
        (False, False, 1, True),
        (True, True, 1, True),
    ):
        asked = Logits(with_head, auxiliary, alone)
        assert len(asked(images)) == logits
        assert asked.partial == partial
