"""Torch operators over the core's kernels."""

from nascore.ops.cell import cell
from nascore.ops.masked_sum import masked_sum, masked_sum_ref
from nascore.ops.sep_conv import sep_conv, sep_conv_norm, sep_conv_ref

__all__ = ["cell", "masked_sum", "masked_sum_ref", "sep_conv", "sep_conv_norm", "sep_conv_ref"]
