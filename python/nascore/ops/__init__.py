"""Torch operators over the core's kernels."""

from nascore.ops.cell import cell
from nascore.ops.masked_sum import masked_sum, masked_sum_ref

__all__ = ["cell", "masked_sum", "masked_sum_ref"]
