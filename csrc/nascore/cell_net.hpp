// The network of a Normal and a Reduction cell (NASNet).
#pragma once

#include "nascore/net.hpp"

namespace nascore {

// The fixed outside: a 3x3 stem, `stem_cells` Reduction cells, then groups of `normal` Normal cells
// with a Reduction cell between each two, ReLU, global average pooling, a linear classifier.
struct CellStack {
  int normal;
  std::int64_t filters;  // of the first group; a Reduction cell doubles them
  std::int64_t stem_width;
  int stem_stride;
  int stem_cells;
  int reductions;  // between the groups
  bool auxiliary;  // a second classifier, before the last of them
};

// Throws invalid_argument naming the field, its value and what it may be.
void validate(const CellStack& stack);

// In a cell with F filters, all states have F channels and each operation gives F. The last output
// goes through a 1x1 PCC, as in the released code; the one before it only where it has not F
// channels, and through a factorised reduction where it is larger. A concatenation in the cell is
// projected back to F. Every operation but an identity is followed by a drop_path.
// Throws domain_error once a row is larger than kMaxExtent, invalid_argument where a graph is no
// cell.
Net expand(const Graph& normal, const Graph& reduction, const CellStack& stack, Shape input,
           int classes);

}  // namespace nascore
