"""The training loop: what it computes, how it ends, how it goes on where it stopped."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from nascore import tasks
from nascore.networks import Epoch, Network, Recipe, Score, accuracy, build, build_net, fit
from nascore.spaces import BlockSpace, Skeleton
from nascore.tasks import Task

TINY = Skeleton(stem_width=6, blocks=1, widths=(8, 12))
QUICK = Recipe(3, 64, "adam", 2**-6, drops=(0.5,))


@pytest.fixture(scope="module")
def digits() -> Task:
    return tasks.load("digits")


def network_for(task: Task, seed: int = 1, code: str = "[(1,1,3,0,0),(2,1,3,1,0)]") -> Network:
    return build(BlockSpace().architecture(code), task, TINY, seed)


def states_equal(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_search_recipe_is_the_papers() -> None:
    recipe = Recipe.search()
    assert (recipe.epochs, recipe.batch, recipe.optimizer) == (12, 256, "adam")
    rates = [recipe.lr_at(epoch) for epoch in range(12)]
    assert rates == pytest.approx([1e-3] * 5 + [2e-4] * 5 + [4e-5] * 2)
    assert (recipe.restarts, recipe.restart_factor, recipe.weight_decay) == (3, 0.4, 0)


def test_final_recipe_is_the_papers() -> None:
    recipe = Recipe.final()
    assert (recipe.epochs, recipe.batch, recipe.optimizer) == (300, 128, "sgd")
    assert (recipe.momentum, recipe.weight_decay) == (0.9, 5e-4)
    rates = [recipe.lr_at(epoch) for epoch in (0, 149, 150, 224, 225, 299)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_other_lengths_keep_the_shape_of_the_schedule() -> None:
    rates = [replace(Recipe.final(), epochs=8).lr_at(epoch) for epoch in range(8)]
    assert rates == pytest.approx([0.1] * 4 + [0.01] * 2 + [0.001] * 2)
    cosine = replace(Recipe.final(), schedule="cosine", epochs=4)
    assert [cosine.lr_at(e) for e in range(4)] == pytest.approx(
        [0.1, 0.0853553, 0.05, 0.0146447], rel=1e-5
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs=0 must be at least 1"),
        ({"batch": 1}, "batch=1 must be at least 2"),
        ({"lr": 0.0}, "lr=0.0 must be above 0"),
        ({"lr": math.nan}, "lr=nan must be above 0"),
        ({"momentum": 1.0}, r"momentum=1.0 must be in \[0, 1\)"),
        ({"weight_decay": -1.0}, "weight_decay=-1.0 must be 0 or more"),
        ({"drops": (0.5, 150)}, "must be fractions of the epochs"),
        ({"drop_factor": 0}, r"drop_factor=0 must be in \(0, 1\]"),
        ({"restarts": -1}, "restarts=-1 must be 0 or more"),
        ({"restart_factor": 2}, r"restart_factor=2 must be in \(0, 1\]"),
        ({"validate_last": 0}, "validate_last=0 must be at least 1"),
        ({"threads": 0}, "threads=0 must be at least 1"),
        ({"drops": (0.3, 0.6), "levels": (0.5,)}, "must be as many as drops, or none"),
        ({"drops": (0.5,), "levels": (0.0,)}, "must be fractions of lr"),
        ({"init": "xaver"}, "unknown init 'xaver'; did you mean 'xavier'"),
        ({"optimizer": "adan"}, "unknown optimizer 'adan'; did you mean 'adam'"),
        ({"schedule": "cosin"}, "unknown schedule 'cosin'; did you mean 'cosine'"),
    ],
)
def test_a_wrong_recipe_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(QUICK, **change)


def test_fit_learns_and_says_how_well(digits: Task) -> None:
    network = network_for(digits)
    threads = torch.get_num_threads()
    fitted = fit(network, digits, replace(QUICK, epochs=6), seed=1, device="cpu")
    assert (fitted.status, fitted.message, fitted.epochs) == ("ok", "", 6)
    assert fitted.valid == accuracy(network, digits, "valid", "cpu", batch=64)
    assert fitted.valid.accuracy > 0.9
    assert fitted.valid.loss < 0.5
    assert fitted.seconds > 0
    assert fitted.images_per_s > 6 * 1000 / fitted.seconds  # more than 1,000 images an epoch
    assert torch.get_num_threads() == threads


def test_the_best_of_the_last_epochs(digits: Task) -> None:
    recipe = replace(QUICK, epochs=6, lr=2.0**-4, drops=())  # so high that it does not only rise
    scores: list[Score] = []
    fit(network_for(digits), digits, recipe, 5, "cpu", on_epoch=lambda e: scores.append(e.valid))
    assert max(scores[-3:]) != scores[-1]
    for last in (1, 3, 9):
        changed = replace(recipe, validate_last=last)
        fitted = fit(network_for(digits), digits, changed, 5, "cpu")
        assert (fitted.valid, fitted.best) == (scores[-1], max(scores[-last:]))


def test_one_step_is_the_optimizers(digits: Task) -> None:
    """One epoch of one batch against a step written by hand."""
    task = tasks.load("digits", limit_train=40, augment=tasks.Augment())
    for recipe, optimizer in (
        (Recipe(1, 64, "adam", 0.01, restarts=0), lambda p: torch.optim.Adam(p, 0.01)),
        (
            Recipe(1, 64, "sgd", 0.01, weight_decay=0.1, restarts=0),
            lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, weight_decay=0.1),
        ),
    ):
        ours, theirs = network_for(task), network_for(task)
        fit(ours, task, recipe, 1, "cpu")
        images, labels = task.split("train")
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (task.mean, task.std))
        x = (torch.tensor(images) / 255 - mean) / std
        step = optimizer(theirs.parameters())
        F.cross_entropy(theirs(x), torch.tensor(labels)).backward()
        step.step()
        for name, value in theirs.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-3, atol=2e-4)


def test_fit_repeats_itself_and_heeds_the_seed(digits: Task) -> None:
    recipe = replace(QUICK, epochs=1)
    networks = [network_for(digits) for _ in range(3)]
    for network, seed in zip(networks, (5, 5, 6), strict=True):
        fit(network, digits, recipe, seed, "cpu")
    assert states_equal(networks[0], networks[1])
    assert not states_equal(networks[0], networks[2])


def test_a_start_no_better_than_chance_is_repeated_with_a_lower_rate(digits: Task) -> None:
    """The second attempt is exactly a training with the lower rate from the same weights."""
    high = replace(QUICK, lr=2.0**60, restart_factor=2.0**-66)
    ours, theirs = network_for(digits), network_for(digits)
    restarted = fit(ours, digits, high, 1, "cpu")
    assert restarted.status == "ok"
    assert restarted.epochs == QUICK.epochs + 1
    assert restarted.valid == fit(theirs, digits, QUICK, 1, "cpu").valid
    assert states_equal(ours, theirs)


def test_restarts_end(digits: Task) -> None:
    hopeless = replace(QUICK, lr=1e30, restart_factor=1.0, restarts=2)
    fitted = fit(network_for(digits), digits, hopeless, 1, "cpu")
    assert (fitted.status, fitted.epochs, fitted.valid) == ("not finite", 3, None)
    assert "in epoch 1" in fitted.message


def test_time_limit(digits: Task) -> None:
    fitted = fit(network_for(digits), digits, QUICK, 1, "cpu", time_limit_s=1e-3)
    assert (fitted.status, fitted.message, fitted.valid) == ("timed out", "in epoch 1", None)
    assert fitted.epochs == 0
    assert fitted.images_per_s > 0


class Failing(nn.Module):
    """A network that fails in its second forward pass."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(10))
        self.error = error
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        if self.passes == 1:
            return x.flatten(1)[:, :10] * self.weight
        if self.error is None:
            return x.new_zeros(1 << 55)
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        None,  # what the CPU's allocator really says
        MemoryError("no memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_out_of_memory_is_a_status(digits: Task, error: Exception | None) -> None:
    fitted = fit(Failing(error), digits, QUICK, 1, "cpu")
    assert (fitted.status, fitted.valid) == ("out of memory", None)
    assert fitted.message


def test_other_errors_are_raised(digits: Task) -> None:
    threads = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="a bug"):
        fit(Failing(RuntimeError("a bug")), digits, QUICK, 1, "cpu")
    assert torch.get_num_threads() == threads


def untimed(epoch: Epoch) -> Epoch:
    return epoch._replace(images_per_s=0.0)


class StoppedError(Exception):
    """Stands for a kill between two epochs."""


@pytest.mark.parametrize(("optimizer", "factor"), [("adam", 2.0**-66), ("sgd", 2.0**-64)])
def test_resume_is_exact(digits: Task, tmp_path: Path, optimizer: str, factor: float) -> None:
    recipe = replace(QUICK, optimizer=optimizer, epochs=4, lr=2.0**60, restart_factor=factor)
    whole, parts = network_for(digits), network_for(digits)
    seen: list[Epoch] = []
    unbroken = fit(whole, digits, recipe, 1, "cpu", on_epoch=seen.append)
    assert unbroken.epochs == 5  # one restart, which the resumed training must know of

    again: list[Epoch] = []

    def stop_after_each(epoch: Epoch) -> None:
        again.append(epoch)
        if len(again) in (2, 4):
            raise StoppedError

    file = tmp_path / "checkpoint.pt"
    for _ in range(2):
        with pytest.raises(StoppedError):
            fit(parts, digits, recipe, 1, "cpu", checkpoint=file, on_epoch=stop_after_each)
        parts = network_for(digits, seed=99)  # a new process; the file has all that counts
    done = fit(parts, digits, recipe, 1, "cpu", checkpoint=file, on_epoch=again.append)
    assert states_equal(whole, parts)
    assert done.valid == unbroken.valid
    assert done.epochs == unbroken.epochs
    assert [e.done for e in seen] == [1, 2, 3, 4]
    # Each kill came when an epoch had been told and not yet kept, so it was done again.
    order = [seen[i] for i in (0, 1, 1, 2, 2, 3)]
    assert [e._replace(images_per_s=0) for e in again] == [
        e._replace(images_per_s=0) for e in order
    ]
    assert fit(parts, digits, recipe, 1, "cpu", checkpoint=file).valid == unbroken.valid


def test_a_foreign_checkpoint_is_refused(digits: Task, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pt"
    once = replace(QUICK, epochs=1)
    fit(network_for(digits), digits, once, 1, "cpu", checkpoint=file)
    wider = network_for(digits, code="[(1,1,3,0,0),(2,1,3,0,0)]")
    with pytest.raises(ValueError, match=r"checkpoint.pt is not a checkpoint of this training"):
        fit(wider, digits, once, 1, "cpu", checkpoint=file)
    for torn in (file.read_bytes()[:1000], b""):
        file.write_bytes(torn)
        with pytest.raises(ValueError, match="delete it to train from the start"):
            fit(network_for(digits), digits, once, 1, "cpu", checkpoint=file)


def test_accuracy_is_that_of_the_part(digits: Task) -> None:
    network = network_for(digits).train()
    images, labels = (torch.tensor(array) for array in digits.split("test"))
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (digits.mean, digits.std))
    with torch.no_grad():
        logits = network.eval()((images / 255 - mean) / std)
    network.train()
    for batch in (7, 1000):
        score = accuracy(network, digits, "test", "cpu", batch)
        assert score.accuracy == (logits.argmax(1) == labels).double().mean().item()
        assert score.loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert network.training


def test_more_classes_than_outputs(digits: Task) -> None:
    few = TINY.expand(BlockSpace().architecture("[(1,1,1,0,0)]"), digits.shape, 4)
    message = "the network has 4 outputs, digits has 10 classes"
    with pytest.raises(ValueError, match=message):
        fit(build_net(few), digits, QUICK, 1, "cpu")
    with pytest.raises(ValueError, match=message):
        accuracy(build_net(few), digits, "valid", "cpu")


def test_an_unusable_device_is_named(digits: Task) -> None:
    for device in ("meta", "tpu", "cuda:one"):
        with pytest.raises(ValueError, match=f"device '{device}': known are 'auto', 'cpu', 'cuda'"):
            accuracy(network_for(digits), digits, "valid", device)
    with pytest.raises(ValueError, match=r"device 'cuda:99': torch finds . GPUs; use 'auto'"):
        fit(network_for(digits), digits, QUICK, 1, "cuda:99")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_fit_on_a_gpu(digits: Task) -> None:
    network = network_for(digits)
    fitted = fit(network, digits, replace(QUICK, epochs=6), seed=1, device="cuda")
    assert fitted.status == "ok"
    assert fitted.valid.accuracy > 0.9
    assert next(network.parameters()).device.type == "cuda"
