"""The command `nascore export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from nascore.cli_parts import (
    MaxMacsOption,
    MaxParamsOption,
    TrialOption,
    command_line,
    load_task,
    out,
)


def export(
    path: Annotated[
        str, typer.Argument(metavar="RUN|MODEL", help="A run, or a model of `nascore retrain`.")
    ],
    kind: Annotated[
        Literal["source", "pt2", "onnx", "hub"],
        typer.Option("--format", help="plain PyTorch, torch.export, ONNX, or Hugging Face."),
    ],
    trial: TrialOption = None,
    max_params: MaxParamsOption = None,
    max_macs: MaxMacsOption = None,
    task: Annotated[
        str | None, typer.Option(help="Compare on these images instead of the model's own.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--out", metavar="PATH", help="The file, or the hub's folder.")
    ] = None,
) -> None:
    """Write a trained model for use elsewhere, once it gave the same answers on real images."""
    from nascore.networks.models import read_card
    from nascore.results.export import TOLERANCE, export, find_model

    if trial is not None or max_params is not None or max_macs is not None:
        path = str(_chosen(path, trial, max_params, max_macs))
    data = None if task is None else load_task(task, None, 0)
    found = export(path, kind, to, data, command_line())
    out.print(
        f"Compared on {found.images} validation images: largest difference "
        f"{found.difference:.1e} of the largest logit (at most {TOLERANCE:.0e})"
    )
    weights = f", its weights in {found.path.with_suffix('.pt')}" if kind == "source" else ""
    if kind in ("pt2", "onnx"):
        out.print(_given(read_card(find_model(path))))
    out.print(f"Done: {found.path}{weights}", style="bold")


def _given(card: dict[str, Any]) -> str:
    """What a program or an ONNX file takes, which does not normalise."""
    shape = ", ".join(map(str, card["shape"]))
    what = "images in 0..1" if len(card["shape"]) == 3 else "signals"
    mean, std = ([round(value, 4) for value in card[name]] for name in ("mean", "std"))
    return (
        f"It takes float32 [n, {shape}]: {what}, less the mean {mean}, divided by {std}, "
        "of each channel (exactly: mean and std in model.json)"
    )


def _chosen(run: str, trial: int | None, max_params: int | None, max_macs: int | None) -> Path:
    """The model of a run's trial. Raises ValueError where it is not trained."""
    from nascore.networks.models import CARD, read_card
    from nascore.retrain import choose
    from nascore.search import open_run

    if (Path(run) / CARD).exists():
        raise ValueError(f"{run} is one model: a trial is chosen of a run")
    with open_run(run) as store:
        (best,) = choose(store, trial, None, max_params, max_macs)
    for folder in (Path(run) / f"model-{best.number}", Path(run) / "model"):
        found = read_card(folder)["architecture"] if (folder / CARD).exists() else None
        if found == best.architecture.to_json():
            return folder
    raise ValueError(
        f"trial {best.number} of {run} is not trained yet; first:  "
        f"nascore retrain {run} --trial {best.number}"
    )
