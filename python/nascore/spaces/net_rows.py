"""A network as it is written, row by row."""

from __future__ import annotations

from nascore import _core


class NetRows:
    """Rows with the columns `_core.NET_COLUMNS`, and those that each reads; row 0 is the image."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.rows = [(_core.OPS["input"][0], 0, 0, 1, 1, 1, *shape)]
        self.inputs: list[tuple[int, ...]] = [()]

    def channels(self, row: int) -> int:
        return self.rows[row][6]

    def sides(self, row: int) -> tuple[int, int]:
        """Height and width."""
        return self.rows[row][7], self.rows[row][8]

    def add(
        self,
        op: str,
        *inputs: int,
        kernel: int = 0,
        stride: int = 1,
        dilation: int = 1,
        channels: int | None = None,
        sides: tuple[int, int] | None = None,
    ) -> int:
        """The number of a new row; what is not given of its shape is its input's, over `stride`."""
        height, width = sides or (-(-side // stride) for side in self.sides(inputs[0]))
        if op in ("global_pool", "linear"):
            height = width = 1
        if op == "concat":
            channels = sum(map(self.channels, inputs))
        channels = self.channels(inputs[0]) if channels is None else channels
        code = _core.OPS[op][0]
        self.rows.append((code, kernel, kernel, stride, dilation, 1, channels, height, width))
        self.inputs.append(inputs)
        return len(self.rows) - 1
