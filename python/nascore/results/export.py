"""A trained model as a file or a folder that others run, compared with it before it is kept."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from nascore import tasks
from nascore.names import unknown
from nascore.networks.build import Network
from nascore.networks.ensemble import Ensemble
from nascore.networks.models import CARD, load_model, read_card
from nascore.results.hub import write_hub
from nascore.results.source import write_source
from nascore.tasks import Task, in_order

Format = Literal["source", "pt2", "onnx", "hub"]
TOLERANCE = 1e-4  # of the largest logit
_BATCHES = (1, 2, 29)  # images at a time, of the validation part
_SUFFIXES = {"source": ".py", "pt2": ".pt2", "onnx": ".onnx"}

# Run by a Python that finds neither this package nor safetensors.
_ALONE = """
import importlib.util, sys
sys.modules.update(dict.fromkeys(("nascore", "safetensors")))
import torch
source, given, answers = sys.argv[1:]
spec = importlib.util.spec_from_file_location("exported", source)
exported = importlib.util.module_from_spec(spec)
spec.loader.exec_module(exported)
network = exported.load()
with torch.inference_mode():
    batches = torch.load(given, weights_only=True)
    torch.save([network(exported.normalise(batch)) for batch in batches], answers)
"""


@dataclass(frozen=True)
class Exported:
    """A finished export: `difference` to the model, of its largest logit, on so many `images`."""

    path: Path
    difference: float
    images: int


def export(
    path: str | Path,
    format: Format,  # noqa: A002  # what it is called everywhere
    out: str | Path | None = None,
    task: Task | None = None,
    command: str | None = None,
) -> Exported:
    """Writes the model in `path`, a folder of `retrain` or a run with one, for use elsewhere.

    "source" is one Python file that needs torch alone, its weights beside it; "pt2" a program of
    `torch.export`, "onnx" one of ONNX, both for any batch; "hub" a folder as Hugging Face has them,
    whose README names `command`. By default it is `path`/export/NAME. It is run on validation
    images of `task`, which is the model's own by default, and nothing is left where it differs from
    the model by more than 1e-4 of the largest logit. Raises ValueError there, and for a `path`
    without a trained model; ImportError where an extra package is missing.
    """
    if format not in get_args(Format):
        raise unknown("format", format, get_args(Format))
    folder = find_model(path)
    model, card = load_model(folder), read_card(folder)
    raw = _images(card, task)
    batches = [next(_normalised(batch, card)) for batch in raw]
    name = re.sub(r"\W", "_", folder.resolve().name)
    default = Path(path) / "export" / ("hub" if format == "hub" else f"{name}{_SUFFIXES[format]}")
    out = Path(out) if out is not None else default
    if format == "source" and out.suffix != ".py":
        raise ValueError(f"out={out}: name a file that ends in .py")
    if format == "hub" and out.exists() and not (out / "config.json").exists():
        raise ValueError(f"out={out} is there already, and is no exported folder; name another")
    command = command or f"nascore.export({str(path)!r}, {format!r})"
    with torch.inference_mode():
        expected = [model(batch) for batch in batches]
    with _beside(out) as scratch:
        made = scratch / out.name
        if format == "source":
            _write_source(model, card, made)
            answers = _run_alone(made, raw, scratch)
        elif format == "pt2":
            _save(lambda: torch.export.save(_traced(model, batches[-1]), made))
            answers = _answers(torch.export.load(made).module(), batches)
        elif format == "onnx":
            answers = _onnx(model, batches, made)
        else:
            write_hub(folder, model, card, made, name, command)
            _write_source(model, card, made / f"{name}.py")
            answers = _run_alone(made / f"{name}.py", raw, scratch)
            difference(expected, answers)
            answers = _answers(load_model(made), batches)
        found = difference(expected, answers)
        _keep(made, out)
    return Exported(out, found, sum(map(len, raw)))


def find_model(path: str | Path) -> Path:
    """The folder of a model: `path`, or `model` in the run `path`; ValueError if not trained."""
    path = Path(path)
    if (path / CARD).exists():
        return path
    if (path / "model" / CARD).exists():
        return path / "model"
    if (path / "run.db").exists():
        raise ValueError(f"{path} has no trained model yet; first:  nascore retrain {path}")
    raise ValueError(f"{path} is neither the folder of a model nor that of a run")


def difference(expected: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """The largest, of the largest logit; ValueError where it is above the tolerance."""
    if [each.shape for each in expected] != [each.shape for each in found]:
        raise ValueError("the export gives logits of another shape than the model")
    largest = max(float(each.abs().max()) for each in expected)
    pairs = zip(expected, found, strict=True)
    worst = torch.stack([(a - b).abs().max() for a, b in pairs]).max() / max(largest, 1e-30)
    if not float(worst) <= TOLERANCE:  # not a number is no agreement either
        raise ValueError(
            f"the export differs from the model by {float(worst):.1e} of the largest logit, more "
            f"than {TOLERANCE:.0e}: nothing was written"
        )
    return float(worst)


def _images(card: dict[str, Any], task: Task | None) -> list[Tensor]:
    """Batches of uint8 images [n, C, H, W], or signals, of the validation part."""
    if task is None:
        try:
            task = tasks.load(card["task"], seed=card["seed"])
            _, *sides = card["shape"]
            square = len(sides) == 2 and sides[0] == sides[1]
            if task.shape != tuple(card["shape"]) and square:  # it was trained on others
                task = tasks.load(card["task"], seed=card["seed"], image_size=sides[0])
        except (ValueError, OSError) as error:
            raise ValueError(
                f"the model was trained on {card['task']!r}, whose images are not found: {error}; "
                "give them as task"
            ) from error
    if list(task.shape) != list(card["shape"]):
        raise ValueError(
            f"{task.name} has images of shape {task.shape}; the model takes {tuple(card['shape'])}"
        )
    images, _ = task.split("valid")
    chosen = torch.from_numpy(images[: sum(_BATCHES)].copy())
    return [part for part in torch.split(chosen, _sizes(len(chosen))) if len(part)]


def _sizes(n: int) -> list[int]:
    sizes: list[int] = []
    for size in _BATCHES:
        sizes.append(min(size, n - sum(sizes)))
    return sizes


def _normalised(images: Tensor, card: dict[str, Any]) -> Iterator[Tensor]:
    labels = torch.zeros(len(images))
    return (x for x, _ in in_order(images, labels, len(images), card["mean"], card["std"]))


def _answers(run: Callable[[Tensor], Tensor], batches: Sequence[Tensor]) -> list[Tensor]:
    with torch.inference_mode():
        return [run(batch) for batch in batches]


def _write_source(model: Network | Ensemble, card: dict[str, Any], path: Path) -> None:
    members = model.members if isinstance(model, Ensemble) else [model]
    networks = [each for each in members if isinstance(each, Network)]
    text, state = write_source(networks, card, _note(card, path.stem))
    path.write_text(text, encoding="utf-8")
    torch.save(state, path.with_suffix(".pt"))


def _note(card: dict[str, Any], name: str) -> str:
    shape = ", ".join(map(str, card["shape"]))
    given = "images))  # uint8" if len(card["shape"]) == 3 else "signals))  #"
    lines = [
        f"A network that nascore {card['nascore']} found and trained on {_plain(card['task'])}.",
        "",
        f"Validation accuracy {card['val_accuracy']:.4f}, test accuracy {_tested(card)}; "
        f"{card['params']:,} parameters.",
        "It needs torch alone:",
        "",
        f"    from {name} import load, normalise",
        "",
        f"    logits = load()(normalise({given} [n, {shape}]",
        "",
    ]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Fit for a docstring."""
    return text.replace("\\", "/").replace('"', "'")


def _tested(card: dict[str, Any]) -> str:
    return f"{card['test_accuracy']:.4f}" if "test_accuracy" in card else "not measured"


def _run_alone(source: Path, raw: Sequence[Tensor], scratch: Path) -> list[Tensor]:
    """The logits that a fresh Python gives, in which there is no nascore."""
    given, answers = scratch / "given", scratch / "answers"
    torch.save([*raw], given)
    command = [sys.executable, "-I", "-c", _ALONE, *map(str, (source, given, answers))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    shutil.rmtree(source.parent / "__pycache__", ignore_errors=True)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise ValueError(f"the exported source does not run: {reason[0]}; nothing was written")
    found: list[Tensor] = torch.load(answers, weights_only=True)
    return found


def _dynamic() -> tuple[dict[int, Any]]:
    return ({0: torch.export.Dim("batch", min=1)},)


def _traced(model: nn.Module, images: Tensor) -> torch.export.ExportedProgram:
    return torch.export.export(model, (images,), dynamic_shapes=_dynamic())


def _save(write: Callable[[], object]) -> None:
    """Torch's exporters warn of their own inner workings, which nobody here can mend."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            write()
    finally:
        logging.disable(before)


def _onnx(model: nn.Module, batches: Sequence[Tensor], path: Path) -> list[Tensor]:
    """Writes the file, and gives what onnxruntime makes of it."""
    try:
        import onnx  # noqa: F401  # torch wants both of them
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError("ONNX needs more packages: pip install 'nascore[export]'") from error
    _save(
        lambda: torch.onnx.export(
            model,
            (batches[-1],),
            path,
            dynamo=True,
            dynamic_shapes=_dynamic(),
            input_names=["images"],
            output_names=["logits"],
            external_data=False,
            verbose=False,
        )
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [
        torch.from_numpy(session.run(["logits"], {"images": batch.numpy()})[0]) for batch in batches
    ]


@contextlib.contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A folder on the disk of `out`, gone afterwards, as is that of `out` if it stays empty."""
    new = not out.parent.exists()
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as scratch:
            yield Path(scratch)
    finally:
        if new:
            with contextlib.suppress(OSError):
                out.parent.rmdir()


def _keep(made: Path, out: Path) -> None:
    if made.is_dir():
        if out.exists():
            out.rename(made.with_name("old"))  # it goes with the scratch folder
        made.chmod(0o755)
    else:
        weights = made.with_suffix(".pt")
        if weights.exists():
            os.replace(weights, out.with_suffix(".pt"))
    os.replace(made, out)
