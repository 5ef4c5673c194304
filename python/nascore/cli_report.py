"""The command `nascore report`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from nascore.cli_parts import RunArgument, out


def report(
    run: RunArgument,
    beside: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN", help="A random search on the same task, drawn as a band."),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Every picture as SVG and PNG, too.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Else report.html in RUN.")
    ] = None,
) -> None:
    """Write a page on a run that opens in any browser, also while it runs."""
    from nascore.results.comparison import require_matplotlib

    require_matplotlib()
    from nascore import report
    from nascore.search import open_run

    if file is None and "://" in run:
        raise ValueError(f"out: {run} has no folder for a page; give a file")
    file = file or Path(run) / "report.html"
    with ExitStack() as stack:
        store, *others = (stack.enter_context(open_run(name)) for name in [run, *(beside or [])])
        report.write(store, file, beside=others, figures=figures)
    out.print(f"The report is {file}: open it in a browser.")
    if figures is not None:
        out.print(f"Its pictures are in {figures}, as SVG and PNG.")
