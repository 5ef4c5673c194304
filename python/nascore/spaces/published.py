"""Architectures that were published."""

from __future__ import annotations

from nascore.spaces.architecture import Architecture
from nascore.spaces.cell_code import cell_code

_NORMAL = "sep5(0)+sep3(1) sep5(1)+sep3(1) avg3(0)+id(1) avg3(1)+avg3(1) sep3(0)+id(0)"
_REDUCTION = "sep5(0)+sep7(1) max3(0)+sep7(1) avg3(0)+sep5(1) id(3)+avg3(2) sep3(2)+max3(0)"

# NASNet-A as in the paper's figure: a cell gives the states that no block reads, 5 and 3 of them.
NASNET_A_PAPER = Architecture.of("cell", cell_code(f"{_NORMAL} / {_REDUCTION}"))

# As in the released code, which gave the published sizes: the Normal cell gives its input 1 too,
# the Reduction cell its state 3, though a block reads each.
NASNET_A = Architecture.of("cell", cell_code(f"{_NORMAL} [1,2,3,4,5,6] / {_REDUCTION} [3,4,5,6]"))
