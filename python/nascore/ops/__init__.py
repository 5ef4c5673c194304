"""Torch operators over the core's kernels."""

from nascore.ops.masked_sum import masked_dots, masked_dots_ref, masked_sum, masked_sum_ref

__all__ = ["masked_dots", "masked_dots_ref", "masked_sum", "masked_sum_ref"]
