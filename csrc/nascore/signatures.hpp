// Names for the rows of a network by what feeds them, so that two networks that have a part in
// common call it by the same name.
#pragma once

#include <vector>

#include "nascore/canonical.hpp"
#include "nascore/net.hpp"

namespace nascore {

// One name per row, all different: a hash of its place in the graph and of the channels that it
// reads and gives. Its place is its op, kernel, stride, dilation and groups and the places of the
// rows that it reads, in their order, for an add in any order. Rows alike in all that are numbered
// in the order of rows. The place of a seam, to who reads it, is its number among the seams, so
// that a block's inside is named by the block alone, wherever a block before it differs.
//
// So in two networks whose rows of equal names have equal weights, a row computes the same numbers
// in both if its name and the names of all that feeds it are in both, wired alike.
std::vector<Hash128> signatures(const Net& net);

}  // namespace nascore
