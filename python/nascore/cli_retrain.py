"""The command `nascore retrain`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nascore.cli_parts import (
    MaxMacsOption,
    MaxParamsOption,
    RunArgument,
    TrialOption,
    command_line,
    load_task,
    out,
)

if TYPE_CHECKING:
    from nascore.spaces import AnySkeleton, CellStack, Skeleton


def retrain(
    run: RunArgument,
    task: Annotated[str | None, typer.Option(help="Train on other data than was searched.")] = None,
    trial: TrialOption = None,
    ensemble: Annotated[
        int | None, typer.Option(metavar="K", help="The mean of the K best instead of one.")
    ] = None,
    max_params: MaxParamsOption = None,
    max_macs: MaxMacsOption = None,
    blocks: Annotated[
        int | None, typer.Option(help="Blocks, or Normal cells, in each group.")
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(help="Channels of the first group; the others follow in proportion."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Resize the images: pixels of their shorter side.")
    ] = None,
    imagenet_stem: Annotated[
        bool, typer.Option("--imagenet-stem", help="A stem for images of about 224 pixels.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="Epochs of training.")] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Stop after so many epochs without a better one; keep the best."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Of the recipe: ema=0.999, cutout=8."),
    ] = None,
    limit_train: Annotated[int | None, typer.Option(help="Use this many training images.")] = None,
    amp: Annotated[
        bool | None,
        typer.Option("--amp/--no-amp", help="Train in bfloat16; by default on a GPU only."),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Have torch.compile translate the training first.")
    ] = False,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Curves for TensorBoard (extra).")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--out", metavar="MODEL", help="The model's folder.")
    ] = None,
) -> None:
    """Train a found architecture from scratch, bigger or on other data, and test it once.

    On several GPUs: torchrun --nproc-per-node N -m nascore retrain RUN
    """
    from nascore import methods
    from nascore.networks import Epoch, Execution, ranks
    from nascore.networks.models import note
    from nascore.results.progress import training
    from nascore.results.training_log import training_log
    from nascore.retrain import choose, retrain, retrain_ensemble
    from nascore.search import open_run

    with open_run(run) as store:
        meta, chosen = store.meta, choose(store, trial, ensemble, max_params, max_macs)
    config = methods.config_from_json(meta["method"], meta["config"])
    # NASNet's method has another, larger one for the winner.
    skeleton = getattr(config, "final_skeleton", config.skeleton).resized(blocks, width)
    if imagenet_stem:
        skeleton = _with_imagenet_stem(skeleton)
    recipe = methods.with_settings(config.final, settings or [])
    if epochs is not None:
        recipe = replace(recipe, epochs=epochs)
    if patience is not None:
        recipe = replace(recipe, patience=patience)
    if task is None and limit_train is None:
        limit_train = meta.get("limit_train")
    if model is None and "://" in run:
        raise ValueError(f"out: {run} has no folder for a model; give one")
    with ranks.joined():
        out.quiet = ranks.rank() > 0
        data = load_task(task or meta["task"], limit_train, meta["seed"], image_size)
        if model is None:
            name = "model" if ensemble is None else f"ensemble-{ensemble}"
            if ensemble is None and (trial, max_params, max_macs) != (None, None, None):
                name = f"model-{chosen[0].number}"
            name = name if task is None else f"{name}-{Path(data.name).name}"
            model = Path(run) / (name if image_size is None else f"{name}-{image_size}px")
        architectures = [one.architecture for one in chosen]
        plan = (data, skeleton, recipe, meta["seed"], model)
        how: dict[str, Any] = {
            "taught": methods.taught(meta["method"], config, Path(run), data),
            "execution": Execution(amp, compiled),
        }
        with (
            training_log(tensorboard) as log,
            training(out, recipe.epochs * len(chosen)) as advance,
        ):

            def told(epoch: Epoch) -> None:
                advance(epoch)
                log(epoch)

            try:
                if ensemble is None:
                    found = retrain(architectures[0], *plan, on_epoch=told, **how)
                else:
                    found = retrain_ensemble(architectures, *plan, on_epoch=told, **how)
            except KeyboardInterrupt:
                out.print("\nStopped; the same command goes on from the last whole epoch.")
                raise SystemExit(130) from None
    for one, member in zip(chosen, found.members, strict=bool(found.members)):
        out.print(
            f"{member.path.name}: trial {one.number}, {member.params:,} parameters, "
            f"validation accuracy {member.val_accuracy:.4f}"
        )
    if found.fresh and not out.quiet:  # of several processes, one
        note(model, command=command_line())
    done = "Trained" if found.fresh else "Already trained"
    out.print(
        f"{done}: {found.params:,} parameters, {found.macs:,} multiply-adds, "
        f"validation accuracy {found.val_accuracy:.4f}"
    )
    out.print(f"Test accuracy {found.test_accuracy:.4f} on {data.name}", style="bold")
    out.print(f"The model is in {model}; in Python: nascore.load_model({str(model)!r})")


def _with_imagenet_stem(skeleton: AnySkeleton) -> Skeleton | CellStack:
    from nascore.spaces import CellStack, Skeleton

    if not isinstance(skeleton, (CellStack, Skeleton)):
        raise ValueError("--imagenet-stem: only blocks and cells stand behind a stem of their own")
    return skeleton.with_imagenet_stem()
