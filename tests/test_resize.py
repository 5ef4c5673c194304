"""Images at another size."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from nascore import tasks
from task_kit import paint


def whole(task: tasks.Task) -> np.ndarray:
    return np.concatenate([task.split(part)[0] for part in ("train", "valid", "test")])


@pytest.mark.parametrize("size", [4, 8, 13, 32])
def test_images_are_those_that_pillow_makes(size: int) -> None:
    """Bilinear, antialiased where they shrink; to 1 of 255, since pillow works in integers."""
    before, after = tasks.load("digits"), tasks.load("digits", image_size=size)
    assert after.shape == (1, size, size)
    for part in ("train", "test"):
        (old, labels), (new, same_labels) = before.split(part), after.split(part)
        assert np.array_equal(labels, same_labels)
        for i in range(0, len(old), 50):
            image = Image.fromarray(old[i, 0]).resize((size, size), Image.Resampling.BILINEAR)
            difference = np.asarray(image).astype(int) - new[i, 0]
            assert abs(difference).max() <= 1
    assert (after.fingerprint == before.fingerprint) == (size == 8)


def test_the_shorter_side_is_the_size(tmp_path) -> None:
    paint(tmp_path / "set", {"a": 6, "b": 6}, 12, 18, 3)
    task = tasks.load(tmp_path / "set", image_size=6)
    assert task.shape == (3, 6, 9)
    done: list[tuple[int, int]] = []
    task = tasks.load(tmp_path / "set", image_size=24, progress=lambda *at: done.append(at))
    assert task.shape == (3, 24, 36)
    assert done == [(12, 12)]  # decoded before
    assert whole(task).std() > 0
    assert tasks.load(tmp_path / "set", image_size=24).fingerprint == task.fingerprint


def test_a_size_that_is_none() -> None:
    with pytest.raises(ValueError, match="image_size=0 must be at least 1 pixel"):
        tasks.load("digits", image_size=0)
