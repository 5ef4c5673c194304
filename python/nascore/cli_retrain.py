"""The command `nascore retrain`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from nascore.cli_parts import RunArgument, command_line, load_task, out


def retrain(
    run: RunArgument,
    task: Annotated[str | None, typer.Option(help="Train on other data than was searched.")] = None,
    trial: Annotated[int | None, typer.Option(help="This trial instead of the best.")] = None,
    ensemble: Annotated[
        int | None, typer.Option(metavar="K", help="The mean of the K best instead of one.")
    ] = None,
    max_params: Annotated[
        int | None, typer.Option(help="The best with at most so many parameters.")
    ] = None,
    max_macs: Annotated[
        int | None, typer.Option(help="The best with at most so many multiply-adds.")
    ] = None,
    blocks: Annotated[
        int | None, typer.Option(help="Blocks, or Normal cells, in each group.")
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(help="Channels of the first group; the others follow in proportion."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of training.")] = None,
    limit_train: Annotated[int | None, typer.Option(help="Use this many training images.")] = None,
    model: Annotated[
        Path | None, typer.Option("--out", metavar="MODEL", help="The model's folder.")
    ] = None,
) -> None:
    """Train a found architecture from scratch, bigger or on other data, and test it once."""
    from nascore import methods
    from nascore.networks.models import note
    from nascore.results.progress import training
    from nascore.retrain import choose, retrain, retrain_ensemble
    from nascore.search import open_run

    with open_run(run) as store:
        meta, chosen = store.meta, choose(store, trial, ensemble, max_params, max_macs)
    config = methods.config_from_json(meta["method"], meta["config"])
    # NASNet's method has another, larger one for the winner.
    skeleton = getattr(config, "final_skeleton", config.skeleton).resized(blocks, width)
    recipe = config.final if epochs is None else replace(config.final, epochs=epochs)
    if task is None and limit_train is None:
        limit_train = meta.get("limit_train")
    data = load_task(task or meta["task"], limit_train, meta["seed"])
    name = "model" if ensemble is None else f"ensemble-{ensemble}"
    if ensemble is None and (trial, max_params, max_macs) != (None, None, None):
        name = f"model-{chosen[0].number}"
    name = name if task is None else f"{name}-{Path(data.name).name}"
    if model is None and "://" in run:
        raise ValueError(f"out: {run} has no folder for a model; give one")
    model = model or Path(run) / name
    architectures = [one.architecture for one in chosen]
    plan = (data, skeleton, recipe, meta["seed"], model)
    taught = methods.taught(meta["method"], config, Path(run), data)
    with training(out, recipe.epochs * len(chosen)) as advance:
        try:
            if ensemble is None:
                found = retrain(architectures[0], *plan, on_epoch=advance, taught=taught)
            else:
                found = retrain_ensemble(architectures, *plan, on_epoch=advance, taught=taught)
        except KeyboardInterrupt:
            out.print("\nStopped; the same command goes on from the last whole epoch.")
            raise SystemExit(130) from None
    for one, member in zip(chosen, found.members, strict=bool(found.members)):
        out.print(
            f"{member.path.name}: trial {one.number}, {member.params:,} parameters, "
            f"validation accuracy {member.val_accuracy:.4f}"
        )
    if found.fresh:
        note(model, command=command_line())
    done = "Trained" if found.fresh else "Already trained"
    out.print(
        f"{done}: {found.params:,} parameters, {found.macs:,} multiply-adds, "
        f"validation accuracy {found.val_accuracy:.4f}"
    )
    out.print(f"Test accuracy {found.test_accuracy:.4f} on {data.name}", style="bold")
    out.print(f"The model is in {model}; in Python: nascore.load_model({str(model)!r})")
