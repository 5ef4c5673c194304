"""The folder of a trained model, and the network that it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from nascore.files import write_whole
from nascore.networks.build import Network, build_net
from nascore.networks.ensemble import Ensemble
from nascore.spaces import SKELETONS, Architecture

CARD, WEIGHTS = "model.json", "model.safetensors"


def load_model(path: str | Path) -> Network | Ensemble:
    """The network that `retrain` left in the folder `path`, on the CPU, in evaluation mode.

    An ensemble gives the mean of its members' probabilities, as logarithms. Images are to be
    normalised by the mean and std of `model.json`. Raises ValueError for a folder that is not a
    finished, intact model.
    """
    path = Path(path)
    card = read_card(path)
    if isinstance(card.get("architecture"), list):
        members = [load_model(member(path, i)) for i in range(len(card["architecture"]))]
        return Ensemble(members).eval()
    if not (path / WEIGHTS).exists():
        raise ValueError(f"{path} has no {WEIGHTS}: its training is not finished; run it again")
    try:
        architecture = Architecture.from_json(card["architecture"])
        skeleton = SKELETONS[architecture.space](**card["skeleton"])
        network = build_net(skeleton.expand(architecture, tuple(card["shape"]), card["classes"]))
        network.load_state_dict(safetensors.torch.load_file(path / WEIGHTS))
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{path} is corrupt, or not a model of nascore: {error}") from error
    return network.eval()


def member(out: Path, i: int) -> Path:
    return out / f"member-{i + 1}"


def note(path: Path, **facts: str) -> None:
    """Adds to what the model's card says."""
    write_whole(path / CARD, json.dumps(read_card(path) | facts, indent=1).encode())


def read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads((path / CARD).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} is not the folder of a model: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path / CARD} is corrupt: {error}") from error
    if not isinstance(card, dict) or "nascore" not in card:
        raise ValueError(f"{path / CARD} was not written by nascore")
    return card
