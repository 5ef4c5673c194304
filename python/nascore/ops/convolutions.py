"""Pre-activation convolutions with the batch norm folded in, for inference, channels last.

Both are programs of one instruction: `nascore.ops.cell` runs many.
"""
