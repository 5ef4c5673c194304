"""A search's curves and drawings for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nascore.results.comparison import require_matplotlib
from nascore.results.training_log import summary_writer
from nascore.trial import Trial

_COSTS = ("params", "macs", "latency_ms")


def require() -> None:
    """ImportError naming the extra where tensorboard or matplotlib is missing."""
    summary_writer()
    require_matplotlib()


@contextmanager
def search_log(folder: Path | None, done: Sequence[Trial]) -> Iterator[Callable[[Trial], None]]:
    """Call what it gives with each trial that is told; it writes into `folder`, or nothing.

    Steps count told trials, of which `done` were before. What was written of later ones is
    replaced. A new best is drawn where it has a graph. Raises ImportError as `require` does.
    """
    if folder is None:
        yield lambda trial: None
        return
    require()
    from matplotlib.figure import Figure

    from nascore.results.drawings import picture

    best = max((t for t in done if t.evaluation.ok), key=lambda t: t.rank, default=None)
    step = len(done)
    writer = summary_writer()(str(folder), purge_step=step + 1)

    def write(trial: Trial) -> None:
        nonlocal best, step
        step += 1
        writer.add_scalar("reward", trial.reward, step)
        if trial.evaluation.ok:
            metric = trial.evaluation.accuracy_metric
            writer.add_scalar(metric, trial.evaluation.accuracy, step)
            if best is None or trial.rank > best.rank:
                best = trial
                if trial.architecture.graphs:
                    drawn = picture(trial.architecture, "best", "")
                    figure = Figure(figsize=drawn.size, layout="constrained")
                    drawn.draw(figure)
                    writer.add_figure("best", figure, step, close=False)
        if best is not None:
            writer.add_scalar("best/reward", best.reward, step)
            for metric in (best.evaluation.accuracy_metric, *_COSTS):
                if metric in best.metrics:
                    writer.add_scalar(f"best/{metric}", best.metrics[metric], step)
        writer.flush()

    try:
        yield write
    finally:
        writer.close()
