// The network of a layer code.
#pragma once

#include "nascore/layer_code.hpp"
#include "nascore/net.hpp"

namespace nascore {

// `code` is `[count, 3]`. With `dropout`, the i-th of the n pairs of layers is followed by one of
// probability i / (2n). Throws invalid_argument where the code is no chain or a pooling does not
// fit, domain_error where a row is larger than kMaxExtent.
Net expand_layers(const std::int16_t* code, int count, bool dropout, Shape input, int classes);

}  // namespace nascore
