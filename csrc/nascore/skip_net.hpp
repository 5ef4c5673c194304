// The network of layers with skips (Zoph & Le, ICLR 2017, section 3.3).
#pragma once

#include "nascore/net.hpp"

namespace nascore {

// Each of `layers` [count, 4] is a convolution's height, width, stride and channels, followed by
// batch norm and ReLU. Layer i reads each layer j for which `reads` [count, count] holds at (i, j),
// side by side, smaller ones padded with zeros; a layer that reads none reads the image. What no
// layer reads goes, side by side, through global average pooling to the classifier.
// Throws invalid_argument for a code that is none, domain_error where a row is larger than
// kMaxExtent.
Net expand_skips(const std::int16_t* layers, const bool* reads, int count, Shape input,
                 int classes);

}  // namespace nascore
