"""The command line. Everything it does is a Python call as well."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.text import Text

import nascore
from nascore import cli_targets as costs
from nascore.cli_compare import compare
from nascore.cli_doctor import doctor
from nascore.cli_export import export
from nascore.cli_parts import RunArgument, asked, load_task, out
from nascore.cli_report import report
from nascore.cli_retrain import retrain
from nascore.cli_show import show, shown

if TYPE_CHECKING:
    from nascore.search import Executor, Search, Store

app = typer.Typer(
    help="Find neural network architectures with reinforcement learning.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

WorkersOption = Annotated[int, typer.Option("--workers", help="Processes that train.")]
ExecutorOption = Annotated[
    Literal["local", "ray"] | None,
    typer.Option("--executor", help="local processes, or a Ray cluster (extra `ray`)."),
]
AddressOption = Annotated[
    str | None, typer.Option("--address", help="Of a Ray cluster; else one is started here.")
]
TensorboardOption = Annotated[
    Path | None,
    typer.Option("--tensorboard", metavar="DIR", help="Curves and drawings for TensorBoard."),
]
TimeLimitOption = Annotated[
    float, typer.Option("--time-limit", help="Seconds after which no training starts any more.")
]


def main() -> None:
    """Runs a command; what a person can mend ends as one line and exit status 2."""
    try:
        app(prog_name="nascore")  # whoever calls it: completion goes by this name
    except Exception as error:
        from nascore.search import RunError  # not at the top: torch takes seconds

        if not isinstance(error, (ValueError, RunError, ImportError, OSError)):
            raise
        err.print(Text.assemble(("error: ", "bold red"), str(error)))
        raise SystemExit(2) from None


app.command()(compare)
app.command()(doctor)
app.command()(report)
app.command()(retrain)
app.command()(export)
app.command()(show)


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
        out.print(Text.assemble((f"{name:16}", "bold"), methods.describe(name)))


@app.command()
def tasks() -> None:
    """What can be searched on."""
    from nascore import tasks

    for name, line in tasks.names().items():
        out.print(Text.assemble((f"{name:16}", "bold"), line))
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
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="RUN", help="The run's folder.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="URL",
            help="A database instead of --out; #NAME is one of its runs.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the method."),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Search below this partial architecture (alphax)."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="Compress this model of `nascore retrain` (n2n)."),
    ] = None,
    limit_train: Annotated[int | None, typer.Option(help="Use this many training images.")] = None,
    workers: WorkersOption = 1,
    executor: ExecutorOption = "local",
    address: AddressOption = None,
    order: Annotated[
        Literal["fixed", "arrival"],
        typer.Option(
            help="fixed: the same history for any number of workers; arrival: no waiting."
        ),
    ] = "fixed",
    time_limit: TimeLimitOption = math.inf,
    tensorboard: TensorboardOption = None,
    latency_ms: costs.Latency = None,
    device: costs.Device = None,
    batch: costs.Batch = None,
    max_params: costs.Params = None,
    max_macs: costs.Macs = None,
    constraint: costs.Constraint = None,
) -> None:
    """Search with METHOD: propose, train, learn, and keep every result in RUN."""
    from nascore import methods
    from nascore.results import search_log
    from nascore.search import Store

    if tensorboard is not None:
        search_log.require()  # before there is a run
    if folder and url:
        raise ValueError(f"out={folder} and store={url}: a run has one place; give one of the two")
    targets = costs.targets(latency_ms, max_params, max_macs, device, batch, constraint)
    config = methods.config(method, preset)
    if trials is not None:
        config = methods.with_settings(config, [f"trials={trials}"])
    config = methods.with_settings(config, settings or [])
    if teacher is not None:
        config = methods.with_settings(config, [f"teacher={str(teacher)!r}"])
    if prefix is not None:
        config = methods.with_prefix(method, config, prefix)
    data = load_task(task, limit_train, seed)
    plan = methods.build(method, data, config, seed)
    if targets is not None:
        plan = methods.with_targets(plan, targets)
    run = url or folder or Path("runs") / f"{method}-{Path(data.name).name}-{seed}"
    meta = {
        **plan.meta,
        "limit_train": limit_train,
        "fingerprint": data.fingerprint,
        "workers": workers,
        "executor": executor,
        "address": address,
        "order": order,
        "nascore": nascore.__version__,
        "preset": preset,
        "classes": data.classes,
        **asked(),
    }
    with _workers(meta) as evaluating, Store.create(run, meta) as store:
        _go_on(plan, store, evaluating, time_limit, tensorboard)


@app.command()
def resume(
    run: RunArgument,
    workers: Annotated[
        int | None, typer.Option(help="Processes that train; else as before.")
    ] = None,
    executor: ExecutorOption = None,
    address: AddressOption = None,
    time_limit: TimeLimitOption = math.inf,
    tensorboard: TensorboardOption = None,
) -> None:
    """Go on with a search that was stopped, by whatever it was."""
    from nascore import methods
    from nascore.search import RunError, Store, Targets

    with Store.open(run, write=True) as store:
        method, meta = store.meta["method"], store.meta
        if "fingerprint" not in meta:
            raise RunError(f"{run} was begun from Python; go on with it there: search.run(store)")
        config = methods.config_from_json(method, meta["config"])
        data = load_task(meta["task"], meta["limit_train"], meta["seed"])
        if data.fingerprint != meta["fingerprint"]:
            raise RunError(f"the images of {data.name} are no longer those that {run} began with")
        plan = methods.build(method, data, config, meta["seed"])
        if meta.get("targets"):
            plan = methods.with_targets(plan, Targets(**meta["targets"]))
        given = {"workers": workers, "executor": executor, "address": address}
        where = meta | {name: value for name, value in given.items() if value is not None}
        with _workers(where) as evaluating:
            _go_on(plan, store, evaluating, time_limit, tensorboard)


def _workers(meta: Mapping[str, Any]) -> AbstractContextManager[Executor]:
    """Who evaluates, as a run's meta has it."""
    from nascore.search import RayWorkers, Workers, visible_gpus

    address = meta.get("address")
    if meta.get("executor") == "ray":
        return RayWorkers(meta["workers"], address)
    if address is not None:
        raise ValueError(f"address={address}: local processes have none; add --executor ray")
    return Workers(meta["workers"], visible_gpus())


def _go_on(
    plan: Search, store: Store, executor: Executor, time_limit: float, tensorboard: Path | None
) -> None:
    """Run what is left of a search, with a progress display, and show what it found."""
    from nascore.results.progress import Progress
    from nascore.results.search_log import search_log
    from nascore.search import Watched

    run, wanted = store.name, plan.trials
    have = store.trials()
    if len(have) == wanted:
        out.print(f"{run} is complete: {wanted} trials.")
    else:
        watched = Watched(executor)
        with (
            search_log(tensorboard, have) as log,
            Progress(out, wanted, have, watched.workers) as progress,
        ):
            try:
                for trial in plan.run(
                    store,
                    watched,
                    order=store.meta["order"],
                    time_limit_s=time_limit,
                    on_result=progress.result,
                    on_progress=progress.work,
                ):
                    progress.result(trial)  # a result may be older than this process
                    log(trial)
            except KeyboardInterrupt:
                progress.stop()
                out.print(f"\nStopped; nothing is lost. Go on with:  nascore resume {run}")
                raise SystemExit(130) from None
        if busy := watched.utilisation():  # a method may evaluate nothing in workers
            were = "worker was" if watched.workers == 1 else "workers were"
            out.print(f"{watched.workers} {were} busy {busy:.0%} of the time.")
    shown(store)
    if left := wanted - len(store.trials()):
        out.print(f"The time is up, {left} trials are left. Go on with:  nascore resume {run}")
    elif store.best():
        out.print(f"Next: nascore retrain {run}    trains the best from scratch and tests it")
