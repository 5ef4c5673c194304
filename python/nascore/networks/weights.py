"""Trained weights in files, which networks with a part in common can read."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from nascore.files import write_whole
from nascore.networks.build import Network


def by_signature(network: Network) -> dict[str, Tensor]:
    """Parameters and batch-norm statistics, named by the part of the network that feeds them."""
    state = {}
    for name, value in network.state_dict(keep_vars=True).items():
        module, _, rest = name.partition(".")
        state[f"{network.signatures[module]}.{rest}"] = value
    return state


def save_weights(network: Network, path: Path) -> None:
    """Writes the weights to `path`, all or nothing. Raises OSError."""
    state = by_signature(network)
    write_whole(
        path,
        safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in state.items()}),
    )


def copy_weights(path: Path, network: Network) -> float:
    """Gives `network` what it has in common with that of `path`; the share of its parameters.

    Raises ValueError where the file is missing or damaged.
    """
    try:
        given = safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"the weights {path} cannot be read: {error}") from error
    copied = parameters = 0
    with torch.no_grad():
        for name, value in by_signature(network).items():
            parameters += value.numel() * value.requires_grad
            if name in given:
                value.copy_(given[name])
                copied += value.numel() * value.requires_grad
    return copied / parameters
