"""Torch operators over the core's kernels."""

from nascore.ops.masked_sum import masked_sum, masked_sum_ref

__all__ = ["masked_sum", "masked_sum_ref"]
