"""A trained model as a folder for the Hugging Face hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nascore.machine import processor
from nascore.networks.latency import latency_ms
from nascore.networks.models import CARD, WEIGHTS, member, read_card

CONFIG = "config.json"


def write_hub(
    folder: Path,
    model: nn.Module,
    card: Mapping[str, Any],
    out: Path,
    module: str,
    command: str,
) -> None:
    """Makes `out` of the model's `folder`: config, weights, and a card for people, README.md.

    `nascore.load_model` opens it; the Python file `module` is to be added. The latency of one
    image is measured here.
    """
    out.mkdir()
    _copy(folder, out)
    for i in range(len(card["architecture"]) if isinstance(card["architecture"], list) else 0):
        member(out, i).mkdir()
        _copy(member(folder, i), member(out, i))
    text = _readme(folder, model, card, module, command)
    (out / "README.md").write_text(text, encoding="utf-8")


def _copy(folder: Path, out: Path) -> None:
    config = {"model_type": "nascore", "architectures": ["Network"], **read_card(folder)}
    (out / CONFIG).write_text(json.dumps(config, indent=1), encoding="utf-8")
    shutil.copyfile(folder / CARD, out / CARD)
    if (folder / WEIGHTS).exists():  # an ensemble's are its members'
        shutil.copyfile(folder / WEIGHTS, out / WEIGHTS)


def _readme(
    folder: Path,
    model: nn.Module,
    card: Mapping[str, Any],
    module: str,
    command: str,
) -> str:
    name, task = folder.resolve().parent.name, card["task"]
    tested = card.get("test_accuracy")
    signals = len(card["shape"]) == 2
    what, sides = ("signals", "(C, L)") if signals else ("images", "(C, H, W)")
    rows = {
        "Data": f"{task}, {card['classes']} classes, {what} {tuple(card['shape'])} {sides}",
        "Validation accuracy": f"{card['val_accuracy']:.4f}",
        "Test accuracy": "not measured" if tested is None else f"{tested:.4f}",
        "Parameters": f"{card['params']:,}",
        "Multiply-adds": f"{card['macs']:,} per {'signal' if signals else 'image'}",
        "Latency": _latency(model, card["shape"]),
        "Made with": f"nascore {card['nascore']}, exported with {version('nascore')}",
    }
    scores = {"validation": card["val_accuracy"], "test": tested}
    metrics = [
        {"type": "accuracy", "value": value, "name": part}
        for part, value in scores.items()
        if value is not None
    ]
    result = {
        "task": {"type": "time-series-classification" if signals else "image-classification"},
        "dataset": {"name": task, "type": task},
        "metrics": metrics,
    }
    index = [{"name": name, "results": [result]}]
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    commands = "\n".join([*_commands(folder, card), command])
    # The hub knows no pipeline of signals.
    pipeline = "" if signals else "pipeline_tag: image-classification\n"
    given = "signals))  # [n, C, L]" if signals else "images))  # uint8 images [n, C, H, W]"
    return f"""---
library_name: pytorch
{pipeline}tags: [nascore, neural-architecture-search]
metrics: [accuracy]
model-index: {json.dumps(index)}
# license: yours to choose
---

# {name}

A classifier of {what} whose architecture was found by search and then trained from scratch.

| | |
| --- | --- |
{table}

## Use

With nascore:

```python
import nascore

network = nascore.load_model("FOLDER")  # takes what is normalised as {CONFIG} says, mean and std
```

Without it, with torch alone:

```python
from {module} import load, normalise

logits = load()(normalise({given}
```

## How it was made

```
{commands}
```

The recipe, the skeleton, the seed ({card["seed"]}) and the architecture stand in `{CONFIG}`.
"""


def _commands(folder: Path, card: Mapping[str, Any]) -> list[str]:
    """Those that searched and trained, as far as the run and the model kept them."""
    commands = []
    try:
        run = json.loads((folder.resolve().parent / CONFIG).read_text(encoding="utf-8"))
        if "command" in run:
            commands.append(run["command"])
    except (OSError, ValueError):
        pass  # a model need not lie in a run
    return [*commands, *([card["command"]] if "command" in card else [])]


def _latency(model: nn.Module, shape: Sequence[int]) -> str:
    threads = torch.get_num_threads()
    return (
        f"{latency_ms(model, shape, 'cpu', n_threads=threads):.2f} ms for one "
        f"{'signal' if len(shape) == 2 else 'image'} "
        f"(median, torch {torch.__version__}, threads: {threads}, {processor()})"
    )
