"""Batches for training: augmentation against loops, epochs as functions of their seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nascore import tasks
from nascore.tasks import Augment, augment_batch, batches, in_order
from task_kit import pixels

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def images(n: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(pixels(n, *shape))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shifted(image: np.ndarray, pad: int) -> dict[bytes, tuple[int, int]]:
    """Every crop `[C, H, W]` of `image` with a black border of `pad` pixels, and its offset."""
    _, height, width = image.shape
    framed = np.pad(image, ((0, 0), (pad, pad), (pad, pad)))
    return {
        framed[:, y : y + height, x : x + width].tobytes(): (y, x)
        for y in range(2 * pad + 1)
        for x in range(2 * pad + 1)
    }


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 7)])
@pytest.mark.parametrize("pad", [0, 1, 3])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_every_image_is_shifted_and_mirrored_by_its_own_draw(
    shape: tuple[int, ...], pad: int, flip: bool, dtype: torch.dtype
) -> None:
    before = images(200, *shape)
    after = augment_batch(before.to(dtype), Augment(pad, flip), generator())
    assert (after.dtype, after.shape) == (dtype, before.shape)
    offsets, mirrored = set(), 0
    for old, new in zip(before.numpy(), after.to(torch.uint8).numpy(), strict=True):
        straight = shifted(old, pad).get(new.tobytes())
        turned = shifted(np.ascontiguousarray(old[:, :, ::-1]), pad).get(new.tobytes())
        found = straight or turned
        assert found is not None
        assert flip or straight is not None
        mirrored += straight is None
        offsets.add(found)
    assert len(offsets) > 0.9 * (2 * pad + 1) ** 2
    assert 70 < mirrored < 130 if flip else mirrored == 0


@pytest.mark.parametrize("size", [1, 4, 5, 20])
def test_cutout_is_a_square_around_a_pixel(size: int) -> None:
    before = torch.full((300, 2, 8, 6), 9, dtype=torch.uint8)
    after = augment_batch(before, Augment(cutout=size), generator(), torch.tensor([50.0, 60.0]))
    expected = {
        (y, x): np.fromfunction(
            lambda _, r, c, y=y, x=x: (
                (r >= y - size // 2)
                & (r < y - size // 2 + size)
                & (c >= x - size // 2)
                & (c < x - size // 2 + size)
            ),
            (2, 8, 6),
        )
        for y in range(8)
        for x in range(6)
    }
    fill = np.broadcast_to(np.uint8([50, 60]).reshape(2, 1, 1), (2, 8, 6))
    wanted = {np.where(hole, fill, np.uint8(9)).tobytes() for hole in expected.values()}
    got = {image.tobytes() for image in after.numpy()}
    assert got <= wanted
    assert len(got) > 0.9 * len(wanted)
    assert (before == 9).all()


@pytest.mark.parametrize("field", ["pad", "cutout"])
def test_augmentation_is_not_negative(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}=-1 pixels"):
        Augment(**{field: -1})


def numbered(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose pixels are all equal to their row, with the row for a label."""
    rows = torch.arange(n)
    return rows.to(torch.uint8)[:, None, None, None].expand(n, 3, 4, 4).contiguous(), rows


@pytest.mark.parametrize(("drop_last", "sizes"), [(True, [32, 32, 32]), (False, [32, 32, 32, 4])])
@pytest.mark.parametrize("span", [1, 64 * 48, 1 << 20])
def test_an_epoch_is_a_normalised_permutation(
    drop_last: bool, sizes: list[int], span: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nascore.tasks.epochs._SPAN_CPU", span)
    x, y = numbered(100)
    seen = []
    for inputs, labels in batches(x, y, 32, 0, 0, None, MEAN, STD, drop_last):
        assert inputs.dtype == torch.float32
        for channel in range(3):
            expected = (labels[:, None, None] / 255 - MEAN[channel]) / STD[channel]
            torch.testing.assert_close(inputs[:, channel], expected.expand(-1, 4, 4))
        seen.append(labels)
    assert [len(labels) for labels in seen] == sizes
    rows = torch.cat(seen)
    assert len(rows.unique()) == len(rows)
    assert (rows != rows.sort().values).any()


def epoch(seed: int, number: int) -> torch.Tensor:
    x, y = images(64, 3, 8, 8), torch.arange(64)
    augment = Augment(pad=2, flip=True, cutout=3)
    return torch.cat([b for b, _ in batches(x, y, 16, seed, number, augment, MEAN, STD)])


def test_an_epoch_is_a_function_of_seed_and_number() -> None:
    assert epoch(5, 3).equal(epoch(5, 3))
    different = [epoch(5, 3), epoch(5, 4), epoch(6, 3), epoch(2**40 + 5, 3)]
    for i, one in enumerate(different):
        assert not any(one.equal(other) for other in different[:i])


def test_a_hole_has_the_mean_colour() -> None:
    x, y = torch.zeros((8, 3, 4, 4), dtype=torch.uint8), torch.arange(8)
    ((inputs, _),) = batches(x, y, 8, 0, 0, Augment(cutout=8), MEAN, STD)
    assert inputs.abs().min(dim=1).values.min() < 0.01


def test_a_batch_larger_than_the_data_is_the_data() -> None:
    x, y = numbered(10)
    assert [len(labels) for _, labels in batches(x, y, 64, 0, 0, None, MEAN, STD)] == [10]


def test_evaluation_sees_all_images_in_order() -> None:
    x, y = numbered(10)
    seen = list(in_order(x, y, 4, MEAN, STD))
    assert torch.cat([labels for _, labels in seen]).equal(y)
    expected = (y / 255 - MEAN[1]) / STD[1]
    torch.testing.assert_close(torch.cat([inputs for inputs, _ in seen])[:, 1, 0, 0], expected)


def test_a_train_part_becomes_normal() -> None:
    task = tasks.load("digits", augment=Augment())
    x, y = tasks.resident(task, "train", "cpu")
    assert (x.dtype, y.dtype) == (torch.uint8, torch.int64)
    epoch = batches(x, y, 64, 0, 0, None, task.mean, task.std, drop_last=False)
    inputs = torch.cat([inputs for inputs, _ in epoch])
    assert inputs.mean().item() == pytest.approx(0, abs=1e-5)
    assert inputs.std().item() == pytest.approx(1, abs=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_device_makes_its_own_batches() -> None:
    x, y = images(64, 3, 8, 8).cuda(), torch.arange(64).cuda()
    augment = Augment(pad=2, flip=True, cutout=3)
    first, again = (list(batches(x, y, 16, 0, 0, augment, MEAN, STD)) for _ in range(2))
    for (inputs, labels), (same, as_well) in zip(first, again, strict=True):
        assert inputs.is_cuda
        assert inputs.equal(same)
        assert labels.equal(as_well)
