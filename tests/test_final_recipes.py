"""How the winner of each method is trained: what its paper says, and nothing beyond."""

from __future__ import annotations

from typing import Any

import pytest

from nascore import methods
from nascore.networks import Recipe

BLOCKQNN = {
    "epochs": 300,
    "batch": 128,
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "schedule": "drops",
    "drops": (0.5, 0.75),
    "drop_factor": 0.1,
}
NASNET = {
    "epochs": 600,
    "batch": 32,
    "optimizer": "sgd",
    "lr": 0.025,
    "momentum": 0.9,
    "clip": 5.0,
    "weight_decay": 5e-4,
    "schedule": "cosine",
    "auxiliary": 0.4,
    "drop_path_keep": 0.6,
    "drop_path_depth": True,
    "cutout": 16,
}
PAPERS: dict[str, dict[str, Any]] = {
    "alphax": BLOCKQNN,  # of its space, as the next two
    "evolution": BLOCKQNN,
    "random": BLOCKQNN,
    "blockqnn": BLOCKQNN,  # Zhong et al., 2018
    "faster_blockqnn": BLOCKQNN,
    "irlas": BLOCKQNN,
    "ghn": {  # Zhang et al., 2019: cutout; the rest DARTS's
        "epochs": 600,
        "batch": 96,
        "optimizer": "sgd",
        "lr": 0.025,
        "momentum": 0.9,
        "weight_decay": 3e-4,
        "schedule": "cosine",
        "clip": 5.0,
        "cutout": 16,
    },
    "maskconnect": {**BLOCKQNN},  # choices
    "metaqnn": {  # Baker et al., 2017
        "epochs": 300,
        "optimizer": "sgd",
        "lr": 0.025,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "drops": (40 / 300, 80 / 300, 240 / 300),
        "levels": (0.5, 1e-4 / 0.025, 1e-5 / 0.025),
    },
    "n2n": {"optimizer": "adam"},  # the teacher's logits are what it learns
    "nas_rl": {"optimizer": "sgd", "nesterov": True, "weight_decay": 1e-4},  # Zoph & Le, 2017
    "nasnet": NASNET,  # Zoph et al., 2018
}


@pytest.mark.parametrize("method", methods.names())
def test_the_recipe_is_the_papers(method: str) -> None:
    recipe: Recipe = methods.config(method, "paper").final
    found = {name: getattr(recipe, name) for name in PAPERS[method]}
    assert found == PAPERS[method]


def test_cells_are_trained_so_by_any_method() -> None:
    config = methods.with_settings(methods.config("alphax", "paper"), ["space=cell"])
    assert {name: getattr(config.final, name) for name in NASNET} == NASNET
    assert config.final_skeleton.auxiliary


@pytest.mark.parametrize("method", methods.names())
@pytest.mark.parametrize("preset", methods.PRESETS)
def test_what_no_paper_asks_for_is_off(method: str, preset: str) -> None:
    """Averaged weights are in no paper's training on CIFAR-10; small images bear no holes."""
    recipe: Recipe = methods.config(method, preset).final
    assert (recipe.ema, recipe.patience, recipe.label_smoothing) == (0.0, None, 0.0)
    assert recipe.cutout == 0 or preset == "paper"
