"""What each CUDA kernel must move and do for an example, what it does, and the time that an H100
would take for it by its data sheet: arithmetic, not measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nascore import _core, _cuda
from nascore.spaces import NASNET_A, CellStack

BANDWIDTH = 3.35e12  # bytes/s of an H100 SXM's memory
FLOATS = 67e12  # float32 operations/s, a multiply-add being two
INTEGERS = FLOATS / 4  # one operation of an instruction, on half of the lanes
PROCESSORS = 132
PHILOX = 10 * 10  # integer operations of four random words
BYTES = {"float": 4, "__half": 2, "__nv_bfloat16": 2}


@dataclass(frozen=True)
class Work:
    """`shared` are the dynamic bytes of a block; `bytes` and `operations` (fewest, done)."""

    kernel: str
    variant: str
    example: str
    blocks: int
    shared: int
    bytes: tuple[float, float]
    operations: tuple[float, float]
    rate: float = FLOATS

    @property
    def seconds(self) -> float:
        """Of memory or of arithmetic, whichever takes longer, whole rounds of blocks counted."""
        rounds = -(-self.blocks // PROCESSORS) * PROCESSORS / self.blocks
        return max(self.bytes[1] / BANDWIDTH, self.operations[1] / self.rate * rounds)


def works(dtype: str) -> list[Work]:
    """An example for each kernel of a type."""
    size = BYTES[dtype]
    names = ("sep_conv", "conv")
    convolutions = (_convolution(name, size, c) for name in names for c in (32, 44))
    return [cell(dtype), *_masked_sum(size), *convolutions]


def _masked_sum(size: int, inputs: int = 8, active: int = 4) -> list[Work]:
    elements = 16 * 64 * 32 * 32
    chunk = 256 * 2 * (16 // size)
    blocks = elements // chunk
    partials = 4 * blocks * inputs
    of_all = elements * size
    example = f"{inputs} x [16, 64, 32, 32]"
    forward, backward = (active + 1) * of_all, (2 * inputs + 1) * of_all
    return [
        Work(
            *("masked_sum_kernel", "wide", f"{example}, {active} active", blocks, 0),
            *((forward, forward), (2 * active * elements,) * 2),
        ),
        Work(
            *("masked_sum_backward_kernel", "wide", example, blocks, 0),
            *((backward, backward + partials), (3 * inputs * elements,) * 2),
        ),
        Work(
            *("mask_gradient_kernel", "", example, -(-inputs // 8), 0),
            *((partials, partials), (blocks * inputs,) * 2),
        ),
    ]


def read_along(size: int, kernel: int) -> int:
    """Input pixels along one side that all tiles of 8 read, the border included."""
    border = kernel // 2
    tiles = range(0, size, 8)
    return sum(min(first + 8 + border, size) - max(first - border, 0) for first in tiles)


def shape_of(samples: int, side: int, channels: int, kernel: int) -> _cuda.ConvShape:
    return _cuda.ConvShape(
        **dict.fromkeys(("height", "width", "out_height", "out_width"), side),
        **dict.fromkeys(("in_channels", "out_channels", "in_stride", "out_stride"), channels),
        **dict.fromkeys(("kernel_h", "kernel_w"), kernel),
        **dict.fromkeys(("pad_top", "pad_left"), kernel // 2),
        samples=samples,
    )


def outs_of(channels: int) -> int:
    """Output channels at once."""
    return min((64, 32), key=lambda outs: -channels % outs)


def _convolution(name: str, size: int, channels: int) -> Work:
    samples, side, kernel = 16, 32, 5 if name == "sep_conv" else 3
    shape = shape_of(samples, side, channels, kernel)
    pixels, tiles = samples * side * side, samples * (side // 8) ** 2
    at_once = outs_of(channels)
    outs = channels + -channels % at_once
    if name == "sep_conv":
        weights = kernel**2 * channels + channels**2
        multiplied = channels * (kernel**2 + channels)
        done = -(-channels // 32) * 32 * kernel**2 + -(-channels // 4) * 4 * outs
        shared = _cuda.sep_conv_shared(shape)
    else:
        weights = kernel**2 * channels**2
        multiplied = weights
        done = kernel**2 * -(-channels // 4) * 4 * outs
        shared = _cuda.conv_shared(shape)
    fewest = 2 * pixels * channels * size + 4 * weights
    read = samples * read_along(side, kernel) ** 2 + pixels
    return Work(
        *(
            f"{name}_kernel",
            f"{at_once} outs",
            f"[{samples}, {channels}, {side}, {side}], {kernel}x{kernel}",
        ),
        *(tiles, shared, (fewest, read * channels * size + tiles * 4 * weights)),
        (2 * pixels * multiplied, 2 * pixels * done),
    )


def cell(dtype: str, samples: int = 256, side: int = 8, channels: int = 16) -> Work:
    """The Normal cell of NASNet-A; a block's sample needs the weights once, for which the first
    cache answers the other reads."""
    net = CellStack(1, channels, stem_width=channels).expand(NASNET_A, (3, side, side), 10)
    first, last = net.seams[:2]
    program = net.program([1, first], [last], False)
    rows = program.instructions
    macs = done = 0
    for row in rows.tolist():
        at = dict(zip(_core.PROGRAM_COLUMNS, row, strict=True))
        pixels, taps = at["out_height"] * at["out_width"], at["kernel_height"] * at["kernel_width"]
        given, out = at["in_channels"], at["out_channels"]
        deep = {"conv": taps * given, "sep_conv": given}
        name = _core.KERNELS[at["kernel"]]
        macs += pixels * (out * deep.get(name, taps) + given * taps * (name == "sep_conv"))
        whole = out + -out % 4
        done += pixels * (
            whole * deep.get(name, taps) + (given + -given % 4) * taps * (name == "sep_conv")
        )
    images = BYTES[dtype] * sum(c * h * w for c, h, w in (*program.inputs, *program.outputs))
    weights = 4 * program.weights
    shared = _cuda.cell_shared_f32 if dtype == "float" else _cuda.cell_shared_bf16
    return Work(
        *("cell_kernel", "", f"NASNet-A cell, [{samples}, {channels}, {side}, {side}]", samples),
        shared(rows.ctypes.data, len(rows), 163 << 10),
        (samples * images + weights, samples * (images + weights)),
        (2 * samples * macs, 2 * samples * done),
    )


def draws(rows: int = 65536, n: int = 16, k: int = 4) -> list[Work]:
    """The masks' kernels have no type."""
    staged = 4 * (n | 1) * 128
    example = f"{rows} rows of {n}"

    def work(
        name: str, shared: int, out: int, words: int, searches: int, threads: Callable[[int], int]
    ) -> Work:
        moved = rows * (4 * n + out)
        # Each draw looks through half of a row; a word of four is used, or all are.
        fewest = rows * (-(-words // 4) * PHILOX + n + 2 * searches * n // 2)
        drawn = words if searches else -(-words // 4)
        done = rows * (drawn * PHILOX + n + 2 * searches * n // 2)
        blocks = -(-threads(rows) // 128)
        return Work(name, "", example, blocks, shared, (moved, moved), (fewest, done), INTEGERS)

    return [
        work("draw_k_kernel", staged, 4 * k, k, k, lambda r: r),
        work("draw_categorical_kernel", staged, n + 4, 1, 1, lambda r: r),
        work("draw_bernoulli_kernel", 0, n, n // 2, 0, lambda r: r * -(-n // 8)),
    ]
