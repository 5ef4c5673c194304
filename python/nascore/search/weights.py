"""Which trained weights of a run stay in its folder."""

from __future__ import annotations

import tempfile
from bisect import insort
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nascore.search import folder
from nascore.search.store import Store
from nascore.trial import Trial, WeightsRef


class Weights:
    """The files in `path`. Of the trials that were told, those of the `keep` best stay.

    These are the trials that a proposal may start from: the highest rewards, of equals the first;
    repeats aside, which left nothing of their own. What a trial that was not yet told starts from
    stays until then, so what there is to read depends on the log alone.
    """

    def __init__(self, path: Path, keep: int) -> None:
        self.path = path
        self._keep = keep
        self._best: list[tuple[float, int, WeightsRef]] = []  # the reward's negative, the trial
        self._spare: set[WeightsRef] = set()  # of trials that are not among the best any more
        self._remove(partial.name for partial in self.path.glob("*.partial"))  # a kill's

    def told(self, trials: Sequence[Trial], awaited: Collection[WeightsRef]) -> None:
        """Lets go of what is no longer among the best; what is `awaited` is still to be read."""
        for trial in trials:
            ref = trial.evaluation.weights
            if ref is not None and trial.repeat_of is None:
                insort(self._best, (-trial.reward, trial.number, ref))
        self._spare.update(ref for *_, ref in self._best[self._keep :])
        del self._best[self._keep :]
        self._remove(self._spare.difference(awaited))
        self._spare.intersection_update(awaited)

    def _remove(self, names: Iterable[str]) -> None:
        try:
            for name in names:
                (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise folder.unwritable(str(self.path), error) from error


@contextmanager
def folder_of(store: Store) -> Iterator[Path | None]:
    """Where a run keeps weights, None behind a URL; what a run in memory has there goes with it."""
    if store.folder:
        path = store.folder / "weights"
        folder.make(path)
        yield path.absolute()
    elif "://" in store.name:
        yield None
    else:
        with tempfile.TemporaryDirectory(prefix="nascore-") as temporary:
            yield Path(temporary)
