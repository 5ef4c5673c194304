"""A trained model as a folder for the Hugging Face hub."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.utils.benchmark
from torch import Tensor, nn

from nascore.networks.models import CARD, WEIGHTS, member, read_card

CONFIG = "config.json"


def write_hub(
    folder: Path,
    model: nn.Module,
    card: Mapping[str, Any],
    out: Path,
    module: str,
    command: str,
    image: Tensor,
) -> None:
    """Makes `out` of the model's `folder`: config, weights, and a card for people, README.md.

    `nascore.load_model` opens it; the Python file `module` is to be added. The latency of one
    `image` [1, C, H, W] is measured here.
    """
    out.mkdir()
    _copy(folder, out)
    for i in range(len(card["architecture"]) if isinstance(card["architecture"], list) else 0):
        member(out, i).mkdir()
        _copy(member(folder, i), member(out, i))
    text = _readme(folder, model, card, module, command, image)
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
    image: Tensor,
) -> str:
    name, task = folder.resolve().parent.name, card["task"]
    tested = card.get("test_accuracy")
    rows = {
        "Data": f"{task}, {card['classes']} classes, images {tuple(card['shape'])} (C, H, W)",
        "Validation accuracy": f"{card['val_accuracy']:.4f}",
        "Test accuracy": "not measured" if tested is None else f"{tested:.4f}",
        "Parameters": f"{card['params']:,}",
        "Multiply-adds": f"{card['macs']:,} per image",
        "Latency": _latency(model, image),
        "Made with": f"nascore {card['nascore']}, exported with {version('nascore')}",
    }
    scores = {"validation": card["val_accuracy"], "test": tested}
    metrics = [
        {"type": "accuracy", "value": value, "name": part}
        for part, value in scores.items()
        if value is not None
    ]
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"name": task, "type": task},
        "metrics": metrics,
    }
    index = [{"name": name, "results": [result]}]
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    commands = "\n".join([*_commands(folder, card), command])
    return f"""---
library_name: pytorch
pipeline_tag: image-classification
tags: [nascore, neural-architecture-search]
metrics: [accuracy]
model-index: {json.dumps(index)}
# license: yours to choose
---

# {name}

An image classifier whose architecture was found by search and then trained from scratch.

| | |
| --- | --- |
{table}

## Use

With nascore:

```python
import nascore

network = nascore.load_model("FOLDER")  # images are normalised as {CONFIG} says, mean and std
```

Without it, with torch alone:

```python
from {module} import load, normalise

logits = load()(normalise(images))  # uint8 images [n, C, H, W]
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


def _latency(model: nn.Module, image: Tensor) -> str:
    threads = torch.get_num_threads()
    timer = torch.utils.benchmark.Timer(
        "model(image)", globals={"model": model, "image": image}, num_threads=threads
    )
    with torch.inference_mode():
        model(image)
        median = timer.blocked_autorange(min_run_time=0.2).median
    return (
        f"{1000 * median:.2f} ms for one image (median, torch {torch.__version__}, "
        f"threads: {threads}, {_processor()})"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
