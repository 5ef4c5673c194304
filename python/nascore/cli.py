"""The command line. Everything it does is a Python call as well."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

import nascore

if TYPE_CHECKING:
    from nascore.search import Search, Store, Workers
    from nascore.tasks import Task
    from nascore.trial import Trial

app = typer.Typer(
    help="Find neural network architectures with reinforcement learning.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
WorkersOption = Annotated[int, typer.Option("--workers", help="Processes that train.")]
TimeLimitOption = Annotated[
    float, typer.Option("--time-limit", help="Seconds after which no training starts any more.")
]


def main() -> None:
    """Runs a command; what a person can mend ends as one line and exit status 2."""
    from nascore.search import RunError

    try:
        app()
    except (ValueError, RunError, ImportError, FileNotFoundError, IsADirectoryError) as error:
        err.print(Text.assemble(("error: ", "bold red"), str(error)))
        raise SystemExit(2) from None


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        out.print(nascore.__version__)
        raise typer.Exit


@app.command()
def methods() -> None:
    """What can be searched with."""
    from nascore import methods

    for name in methods.names():
        out.print(f"[bold]{name:14}[/bold] {methods.describe(name)}", soft_wrap=True)


@app.command()
def tasks() -> None:
    """What can be searched on."""
    from nascore import tasks

    for name, line in tasks.names().items():
        out.print(f"[bold]{name:14}[/bold] {line}", soft_wrap=True)
    out.print("or a Hugging Face image data set, or a folder of images or parquet files")


@app.command()
def search(
    method: Annotated[str, typer.Argument(help="One of `nascore methods`.")],
    task: Annotated[str, typer.Option(help="One of `nascore tasks`, or a data set, or a folder.")],
    preset: Annotated[
        str, typer.Option(help="small (a laptop) or paper (as published).")
    ] = "small",
    trials: Annotated[int | None, typer.Option(help="How many architectures to evaluate.")] = None,
    seed: Annotated[int, typer.Option(help="Fixes every random choice.")] = 0,
    run: Annotated[
        Path | None, typer.Option("--out", metavar="RUN", help="The run's folder.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the method."),
    ] = None,
    limit_train: Annotated[int | None, typer.Option(help="Use this many training images.")] = None,
    workers: WorkersOption = 1,
    order: Annotated[
        Literal["fixed", "arrival"],
        typer.Option(
            help="fixed: the same history for any number of workers; arrival: no waiting."
        ),
    ] = "fixed",
    time_limit: TimeLimitOption = math.inf,
) -> None:
    """Search with METHOD: propose, train, learn, and keep every result in RUN."""
    from nascore import methods
    from nascore.search import Store, Workers, visible_gpus

    config = methods.config(method, preset)
    if trials is not None:
        config = methods.with_settings(config, [f"trials={trials}"])
    config = methods.with_settings(config, settings or [])
    data = _load(task, limit_train, seed)
    plan = methods.build(method, data, config, seed)
    run = run or Path("runs") / f"{method}-{data.name.replace('/', '-')}-{seed}"
    source = {"source": task, "limit_train": limit_train, "fingerprint": data.fingerprint}
    command = {"order": order, "nascore": nascore.__version__}
    with (
        Workers(workers, visible_gpus()) as executor,
        Store.create(run, {**plan.meta, **source, **command}) as store,
    ):
        _go_on(plan, store, executor, time_limit)


@app.command()
def resume(
    run: RunArgument, workers: WorkersOption = 1, time_limit: TimeLimitOption = math.inf
) -> None:
    """Go on with a search that was stopped, by whatever it was."""
    from nascore import methods
    from nascore.search import RunError, Store, Workers, visible_gpus

    with Workers(workers, visible_gpus()) as executor, Store.open(run, write=True) as store:
        method, meta = store.meta["method"], store.meta
        data = _load(meta["source"], meta["limit_train"], meta["seed"])
        if data.fingerprint != meta["fingerprint"]:
            raise RunError(
                f"the images of {meta['source']} are no longer those that {run} began with"
            )
        config = methods.config_from_json(method, meta["config"])
        _go_on(methods.build(method, data, config, meta["seed"]), store, executor, time_limit)


def _go_on(plan: Search, store: Store, executor: Workers, time_limit: float) -> None:
    """Run what is left of a search, with a progress display, and show what it found."""
    from nascore.results.progress import Progress

    run, wanted = store.folder, plan.config["trials"]
    have = store.trials()
    if len(have) == wanted:
        out.print(f"{run} is complete: {wanted} trials.")
    else:
        with Progress(out, wanted, have) as progress:
            trials = plan.run(
                store,
                executor,
                order=store.meta["order"],
                time_limit_s=time_limit,
                on_result=progress.result,
            )
            try:
                for _ in trials:
                    pass
            except KeyboardInterrupt:
                progress.stop()
                out.print(f"\nStopped; nothing is lost. Go on with:  nascore resume {run}")
                raise SystemExit(130) from None
    left = wanted - len(store.trials())
    if left:
        out.print(f"The time is up, {left} trials are left. Go on with:  nascore resume {run}")
    _show(store)
    out.print(f"Next: nascore retrain {run}    trains the best from scratch and tests it")


@app.command()
def show(
    run: RunArgument,
    as_json: Annotated[bool, typer.Option("--json", help="All trials, for a program.")] = False,
) -> None:
    """What a run has found, also while it runs."""
    from nascore.search import open_run, trial_json

    with open_run(run) as store:
        if not as_json:
            _show(store)
            return
        best = store.best()
        data = {key: store.meta[key] for key in ("method", "task", "seed")}
        data["trials"] = [trial_json(trial) for trial in store.trials()]
        data["best"] = trial_json(best) if best else None
    typer.echo(json.dumps(data))


def _show(store: Store) -> None:
    from nascore.results.tables import ranking, summary

    trials = store.trials()
    out.print(summary(store.meta, trials), soft_wrap=True)
    out.print(ranking(trials, 5), soft_wrap=True)


@app.command()
def retrain(
    run: RunArgument,
    task: Annotated[str | None, typer.Option(help="Train on other data than was searched.")] = None,
    trial: Annotated[int | None, typer.Option(help="This trial instead of the best.")] = None,
    blocks: Annotated[int | None, typer.Option(help="Blocks in each group.")] = None,
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
    from nascore.results.progress import training
    from nascore.retrain import retrain
    from nascore.search import RunError, open_run

    with open_run(run) as store:
        meta, chosen = store.meta, store.best() if trial is None else _trial(store, trial)
    if chosen is None:
        raise RunError(f"{run} has no trial that succeeded yet; see `nascore show {run}`")
    config = methods.config_from_json(meta["method"], meta["config"])
    other = task is not None and task != meta["source"]
    data = _load(
        task or meta["source"],
        limit_train if other else limit_train or meta["limit_train"],
        meta["seed"],
    )
    skeleton = config.skeleton.resized(blocks, width)
    recipe = config.final if epochs is None else replace(config.final, epochs=epochs)
    model = model or run / ("model" if not other else f"model-{data.name.replace('/', '-')}")
    with training(out, recipe.epochs) as advance:
        found = retrain(
            chosen.architecture, data, skeleton, recipe, meta["seed"], model, on_epoch=advance
        )
    done = "Trained" if found.fresh else "Already trained"
    out.print(
        f"{done}: {found.params:,} parameters, {found.macs:,} multiply-adds, "
        f"validation accuracy {found.val_accuracy:.4f}"
    )
    out.print(f"[bold]Test accuracy {found.test_accuracy:.4f}[/bold] on {data.name}")
    out.print(f"The model is in {model}; in Python: nascore.load_model({str(model)!r})")


def _trial(store: Store, number: int) -> Trial:
    trials = {trial.number: trial for trial in store.trials()}
    if number not in trials:
        raise ValueError(f"trial={number}: {store.name} has trials 0 to {len(trials) - 1}")
    if not trials[number].evaluation.ok:
        raise ValueError(f"trial={number} failed: {trials[number].evaluation.message}")
    return trials[number]


def _load(task: str, limit_train: int | None, seed: int) -> Task:
    from nascore import tasks
    from nascore.results.progress import decoding

    with decoding(out) as progress:
        return tasks.load(task, limit_train=limit_train, seed=seed, progress=progress)
