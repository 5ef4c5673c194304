"""Torch operators over the core's kernels."""

from nascore.ops.cell import cell
from nascore.ops.convolutions import conv, conv_ref, sep_conv
from nascore.ops.masked_sum import masked_dots, masked_dots_ref, masked_sum, masked_sum_ref
from nascore.ops.masks import draw_bernoulli, draw_categorical, draw_k
from nascore.ops.sep_conv_norm import sep_conv_norm, sep_conv_norm_ref

__all__ = [
    "cell",
    "conv",
    "conv_ref",
    "draw_bernoulli",
    "draw_categorical",
    "draw_k",
    "masked_dots",
    "masked_dots_ref",
    "masked_sum",
    "masked_sum_ref",
    "sep_conv",
    "sep_conv_norm",
    "sep_conv_norm_ref",
]
