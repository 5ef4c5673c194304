"""As `cuda_work`, of a separable convolution with its batch's norm: what each of its kernels,
forward and backward, must move and do, and does."""

from __future__ import annotations

from cuda_work import BYTES, Work, outs_of, read_along, shape_of
from nascore import _cuda

BLOCKS = 512  # that share what is summed over all pixels
SAMPLES, SIDE, KERNEL = 16, 32, 5


def training(dtype: str) -> list[Work]:
    """An example for each kernel of a type and those that have none."""
    return [work for channels in (32, 44) for work in _passes(BYTES[dtype], channels)]


def _up(channels: int, to: int) -> int:
    return -(-channels // to) * to


def _passes(size: int, channels: int) -> list[Work]:
    """Channels are a multiple of 4, so that partial sums are not padded."""
    shape = shape_of(SAMPLES, SIDE, channels, KERNEL)
    pixels, tiles, taps = SAMPLES * SIDE**2, SAMPLES * (SIDE // 8) ** 2, KERNEL**2
    image, mix = pixels * channels * size, 4 * channels**2  # bytes
    read = SAMPLES * read_along(SIDE, KERNEL) ** 2 * channels * size  # with each tile's border
    at_once = outs_of(channels)
    outs, deep = _up(channels, at_once), _up(channels, 32)
    weights = 4 * taps * channels + mix
    through, pointwise, depthwise = _cuda.sep_conv_norm_backward_shared(shape)
    example = f"[{SAMPLES}, {channels}, {SIDE}, {SIDE}], {KERNEL}x{KERNEL}"
    variant = f"{at_once} outs"

    def share(units: int, others: int) -> int:
        return min(units, max(BLOCKS // others, 1))

    rows = 256 // (channels * size // 16)
    sums = share(-(-pixels // (2 * (4096 // (channels * size)))), 1)
    chunks, out_chunks = deep // 32, outs // at_once
    slots = share(tiles, chunks * out_chunks)
    depthwise_slots = share(tiles, chunks)
    partials = slots * (64 // at_once)

    def work(
        name: str,
        variant: str,
        blocks: int,
        shared: int,
        moved: tuple[float, float],
        done: tuple[float, float],
    ) -> Work:
        return Work(f"{name}_kernel", variant, example, blocks, shared, moved, done)

    every = pixels * channels
    return [
        work(
            *("sep_conv_norm", variant, tiles, _cuda.sep_conv_shared(shape)),
            (
                2 * image + weights + 8 * channels,
                read + image + tiles * (weights + 8 * channels),
            ),
            (
                2 * every * (taps + channels) + 4 * every,
                2 * pixels * (deep * taps + channels * outs) + 4 * pixels * outs,
            ),
        ),
        work(
            *("norm_statistics", "", -(-channels // 8), 0),
            (tiles * 8 * channels, tiles * 12 * channels),
            (7 * tiles * channels,) * 2,
        ),
        work(
            *("normalise", "wide", -(-pixels // (4 * rows)), 0),
            (2 * image, 2 * image),
            (3 * every,) * 2,
        ),
        work(
            *("norm_sums", "wide", sums, 0),
            (2 * image, 2 * image + sums * 8 * channels),
            (4 * every,) * 2,
        ),
        work(
            *("norm_slopes", "", -(-channels // 8), 0),
            (sums * 8 * channels,) * 2,
            (2 * sums * channels,) * 2,
        ),
        work(
            *("through_norm", variant, pixels // 64, through),
            (4 * image + mix, 4 * image + pixels // 64 * (mix + 16 * channels)),
            (2 * every * channels + 5 * every, 2 * every * outs + 5 * every),
        ),
        work(
            *("pointwise_gradient", variant, slots * chunks * out_chunks, pointwise),
            (
                2 * image + weights,
                out_chunks * (read + tiles * 4 * taps * channels) + chunks * image + partials * mix,
            ),
            (
                2 * every * (taps + channels),
                2 * pixels * deep * (out_chunks * taps + outs),
            ),
        ),
        work(
            *("depthwise_gradient", "", depthwise_slots * chunks, depthwise),
            (
                3 * image + 8 * taps * channels,
                read + 2 * image + depthwise_slots * 8 * taps * channels,
            ),
            (4 * every * taps, 4 * pixels * deep * taps),
        ),
        work(
            *("sum_partials", "", -(-channels // 4) * -(-channels // 8), 0),
            (partials * mix + mix,) * 2,
            (partials * channels**2,) * 2,
        ),
    ]
