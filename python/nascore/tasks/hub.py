"""Data sets of the Hugging Face hub, and parquet files in the same form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nascore.tasks.cache import Source
from nascore.tasks.pictures import Picture, Progress, assign, encoded

_ROWS = 256  # read at once


def from_hub(
    repository: str, config: str | None, label: str | None, progress: Progress | None
) -> Source:
    """A data set of the hub, or of the hub's own cache on this machine."""
    datasets = _library()
    try:
        splits = datasets.load_dataset(repository, config)
    except Exception as error:  # network, hub and format errors share no base class
        raise ValueError(
            f"{repository!r} is no folder here, and no data set that can be had from the Hugging "
            f"Face hub ({error}); check the name, or give the path of a folder of its parquet files"
        ) from error
    return _source(repository, splits, label, progress)


def from_parquet(
    folder: Path, files: Sequence[Path], scratch: Path, progress: Progress | None
) -> Source:
    """The parquet `files` below `folder`; "train", "test" and so on in their names say the part."""
    datasets = _library()
    from pyarrow import parquet

    for file in files:
        try:
            parquet.read_schema(file)
        except Exception as error:  # arrow's errors share no base class
            raise ValueError(f"{file} is not a readable parquet file: {error}") from error
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        splits = datasets.load_dataset("parquet", data_dir=str(folder), cache_dir=str(scratch))
    except Exception as error:  # arrow's and the library's errors share no base class
        reason = error.__cause__ or error
        raise ValueError(f"the parquet files in {folder} cannot be read: {reason}") from error
    finally:
        if shown:
            datasets.enable_progress_bars()
    return _source(str(folder), splits, None, progress)


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ImportError("this task needs datasets: pip install 'nascore[data]'") from error
    return datasets


def _source(
    name: str, splits: Mapping[str, Any], label: str | None, progress: Progress | None
) -> Source:
    parts = assign(name, map(str, splits))
    tables = [None if part is None else splits[part] for part in parts]
    features = splits[parts[0]].features
    image = _only(name, "image column", [c for c, f in features.items() if _is_image(f)])
    label = label or _label(name, features)
    for part, table in zip(parts, tables, strict=True):
        if table is not None and len(table) == 0:
            raise ValueError(f"{name}: the split {part!r} is empty")
    labels = [[] if table is None else list(table[label]) for table in tables]
    class_names, numbers = _classes(features[label], labels[0])
    for part, values in zip(parts, labels, strict=True):
        for row, value in enumerate(values):
            if value not in numbers:
                raise ValueError(
                    f"{name}: row {row} of split {part!r} has the {label} {value!r}, "
                    f"which is none of the {len(numbers)} classes to be learnt"
                )

    def read() -> Iterator[Picture]:
        for part, table in zip(parts, tables, strict=True):
            if table is not None:
                for row, data in enumerate(_encoded_images(table, image)):
                    yield f"{name}: row {row} of split {part!r}", data

    counted = [[numbers[value] for value in values] for values in labels]
    return encoded(name, class_names, counted, read, progress)


def _classes(feature: Any, labels: Sequence[Any]) -> tuple[list[str], dict[Any, int]]:
    """The names of the classes, and the number of each value of the label column."""
    if isinstance(feature, _library().ClassLabel):
        return list(feature.names), {i: i for i in range(len(feature.names))}
    known = sorted(set(labels) - {None})
    return list(map(str, known)), {value: i for i, value in enumerate(known)}


def _encoded_images(table: Any, column: str) -> Iterator[bytes | Path]:
    """The images of a column as they are stored; a missing one is a path that cannot be read."""
    cells = table.select_columns([column]).cast_column(column, _library().Image(decode=False))
    for start in range(0, len(cells), _ROWS):
        for cell in cells[start : start + _ROWS][column]:
            found = cell or {}
            yield found.get("bytes") or Path(found.get("path") or "")


def _is_image(feature: Any) -> bool:
    """Also where the files do not say so: encoded bytes, alone or with a path."""
    datasets = _library()
    if isinstance(feature, dict):
        return "bytes" in feature
    return isinstance(feature, datasets.Image) or getattr(feature, "dtype", "") == "binary"


def _label(name: str, features: Mapping[str, Any]) -> str:
    datasets = _library()
    classes = [c for c, f in features.items() if isinstance(f, datasets.ClassLabel)]
    plain = [
        c
        for c, f in features.items()
        if isinstance(f, datasets.Value) and f.dtype.startswith(("int", "uint", "string"))
    ]
    found = classes or plain
    return _only(name, "label column", ["label"] if "label" in found else found)


def _only(name: str, kind: str, columns: Sequence[str]) -> str:
    if len(columns) != 1:
        listed = ", ".join(columns) or "none"
        raise ValueError(f"{name}: there must be exactly one {kind}; found: {listed}")
    return columns[0]
