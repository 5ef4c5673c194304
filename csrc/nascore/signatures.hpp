// Names for the rows of a network by what feeds them, so that two networks that have a part in
// common call it by the same name.
#pragma once

#include <vector>

#include "nascore/canonical.hpp"
#include "nascore/net.hpp"

namespace nascore {

// One name per row, all different. A name is a hash of the row's op, kernel, stride, dilation,
// groups and channels, and of the names of the rows that it reads, in their order; for an add in
// any order. Equal rows that read the same are numbered in the order of rows. Height and width have
// no part in it, as no weight depends on them.
//
// To who reads it, a seam is its place among the seams and its channels: a block's inside is named
// by the block alone, wherever a block before it differs.
//
// So in two networks whose rows of equal names have equal weights, a row computes the same numbers
// in both where its name is in both and the rows that it reads do, in the same order.
std::vector<Hash128> signatures(const Net& net);

}  // namespace nascore
