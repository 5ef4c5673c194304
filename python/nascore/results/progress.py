"""Long work as a person watches it: bars in a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from rich import progress as bars
from rich.console import Console, RenderableType
from rich.text import Text

from nascore.networks import Epoch
from nascore.trial import Trial

_LINES = 10  # per search or training, where there is no terminal to draw a bar in


class _Bars(bars.Progress):
    """Bars, and one line below them, which is cut where a terminal is narrower."""

    below = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        yield Text(self.below, no_wrap=True, overflow="ellipsis")


class Progress:
    """A search as it runs: trials done, best accuracy, failures, throughput, workers, time left."""

    def __init__(
        self, console: Console, trials: int, done: Sequence[Trial], workers: int = 1
    ) -> None:
        self._console = console
        self._trials = trials
        self._workers = f"{workers} worker{'s' * (workers != 1)}"
        self._before = len(done)
        self._seen: set[int] = set()
        self._best: tuple[int, float, str] | None = None  # its fidelity's rank, accuracy, name
        self._work: dict[str, bars.TaskID] = {}
        self._failed = 0
        self._began = time.monotonic()
        self._bar = _Bars(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(30),
            bars.MofNCompleteColumn(),
            bars.TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        for trial in done:
            self._look_at(trial)
        self._task = self._bar.add_task("searching", total=trials, completed=self._before)
        self._bar.below = self._found()

    def result(self, trial: Trial) -> None:
        """Counts a finished trial, once."""
        if trial.number in self._seen:
            return
        self._look_at(trial)
        done = len(self._seen)
        spent = time.monotonic() - self._began
        new = done - self._before
        rate = f"{new / max(spent, 1e-9) * 60:,.3g} trials/min"
        left = _clock(spent / new * (self._trials - done))
        text = f"{rate}, {self._workers}, {left} left"
        self._bar.below = f"{self._found()}, {text}"
        self._bar.update(self._task, completed=done)
        if not self._console.is_terminal and _is_due(done, self._trials):
            line = f"{done}/{self._trials} trials, {self._found()}, {text}"
            self._console.print(line, soft_wrap=True)

    def work(self, label: str, done: int, total: int) -> None:
        """Shows how far long work is that makes no trials."""
        if label not in self._work:
            self._work[label] = self._bar.add_task(label, total=total)
        self._bar.update(self._work[label], completed=done, visible=done < total)
        if not self._console.is_terminal and _is_due(done, total):
            self._console.print(f"{label}: {done}/{total}")

    def stop(self) -> None:
        self._bar.stop()

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _look_at(self, trial: Trial) -> None:
        self._seen.add(trial.number)
        if not trial.evaluation.ok:
            self._failed += 1
        else:
            fidelity, *_ = trial.rank
            name = trial.evaluation.accuracy_metric.removeprefix("val_").replace("_", " ")
            found = (fidelity, trial.evaluation.accuracy, name)
            self._best = max(self._best or found, found)

    def _found(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        if self._best is None:
            return f"best accuracy none yet{failed}"
        _, accuracy, name = self._best
        return f"best {name} {accuracy:.4f}{failed}"


@contextmanager
def training(console: Console, epochs: int) -> Iterator[Callable[[Epoch], None]]:
    """A training as it runs; call what it gives after every epoch."""
    with _Bars(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=epochs)

        def advance(epoch: Epoch) -> None:
            score = f"loss {epoch.loss:.4f}, validation {epoch.valid.accuracy:.4f}"
            bar.below = score
            bar.update(task, completed=epoch.done)
            if not console.is_terminal and _is_due(epoch.done, epochs):
                console.print(f"epoch {epoch.done}/{epochs}, {score}")

        yield advance


@contextmanager
def decoding(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Images being decoded; nothing is shown where they are at hand already."""
    with bars.Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("decoding images", visible=False)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=True)

        yield advance


@contextmanager
def searching(console: Console, total: int) -> Iterator[Callable[[], None]]:
    """Searches on a table as they end; call what it gives after each."""
    with bars.Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("searching", total=total)
        yield lambda: bar.advance(task)


def _is_due(done: int, total: int) -> bool:
    return done == total or done * _LINES // total > (done - 1) * _LINES // total


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
