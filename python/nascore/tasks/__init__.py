"""Data sets to learn: by name or path, split, decoded once, augmented on the device."""

from nascore.tasks.augment import Augment, augment_batch
from nascore.tasks.epochs import batches, in_order, resident
from nascore.tasks.loading import from_arrays, from_dataset, from_signals, load, names
from nascore.tasks.task import Part, Task

__all__ = [
    "Augment",
    "Part",
    "Task",
    "augment_batch",
    "batches",
    "from_arrays",
    "from_dataset",
    "from_signals",
    "in_order",
    "load",
    "names",
    "resident",
]
