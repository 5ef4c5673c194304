// Networks as rows: hand-computed cases and the limits.
#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "nascore/layer_net.hpp"
#include "nascore/net.hpp"
#include "nascore/nsc.hpp"
#include "nascore/signatures.hpp"
#include "nascore/skip_net.hpp"

using namespace nascore;

namespace {

Graph block(const char* text) {
  const std::vector<nsc::Row> rows = nsc::parse(text);
  return clean(nsc::to_graph(rows.front().data(), static_cast<int>(rows.size())));
}

Skeleton skeleton(std::int64_t width, std::vector<std::int64_t> widths) {
  return {width, 1, false, 1, std::move(widths)};
}

void chain() {
  const Net net = expand(block("[(1,1,3,0,0)]"), skeleton(8, {8, 16}), {3, 4, 4}, 10);
  const Op expected[] = {Op::kInput, Op::kStem, Op::kConv,       Op::kMaxPool,
                         Op::kConv,  Op::kRelu, Op::kGlobalPool, Op::kLinear};
  CHECK(net.rows.size() == std::size(expected));
  for (std::size_t i = 0; i < net.rows.size(); ++i) {
    CHECK(net.rows[i].op == expected[i]);
    CHECK(net.rows[i].inputs == (i > 0));
    if (i > 0) CHECK(net.inputs[net.rows[i].first_input] == static_cast<int>(i) - 1);
  }
  CHECK(net.rows[4].out.channels == 16 && net.rows[4].out.height == 2);

  const NetCost total = cost(net);
  CHECK(total.params == 3 * 8 * 9 + 16 + 8 * 8 * 9 + 16 + 8 * 16 * 9 + 32 + 16 * 10 + 10);
  CHECK(total.macs == (3 * 8 * 9 + 8 * 8 * 9) * 16 + 8 * 16 * 9 * 4 + 16 * 10);
  CHECK(total.peak_bytes == 4 * (8 + 8) * 16);
}

void projection() {
  const Net net = expand(block("[(1,1,3,0,0),(2,5,0,0,1)]"), skeleton(8, {16}), {1, 4, 4}, 2);
  CHECK(net.rows[3].op == Op::kConv && net.rows[3].kernel == 1 && net.rows[3].out.channels == 16);
  CHECK(net.rows[4].op == Op::kAdd && net.rows[4].inputs == 2);
}

void depthwise() {
  Skeleton separable = skeleton(8, {16});
  separable.depthwise = true;
  const Net net = expand(block("[(1,1,5,0,0),(2,1,1,1,0),(3,2,3,2,0)]"), separable, {1, 4, 4}, 2);
  CHECK(net.rows[2].op == Op::kSepConv && net.rows[2].kernel == 5);
  CHECK(net.rows[3].op == Op::kConv && net.rows[4].op == Op::kMaxPool);
  const std::int64_t convs = 9 * 8 + 16 + 8 * 25 + 8 * 16 + 32 + 16 * 16 + 32;
  CHECK(cost(net).params == convs + 16 * 2 + 2);
}

void twins_are_freed_once() {
  const Net net = expand(block("[(1,4,0,0,0),(2,6,0,0,1)]"), skeleton(8, {8}), {1, 4, 4}, 2);
  CHECK(net.rows[2].op == Op::kConcat && net.rows[2].inputs == 2);
  CHECK(cost(net).peak_bytes == 4 * (16 + 16) * 16);  // the concat and the ReLU after it
}

void limits() {
  std::string text = "[(1,4,0,0,0),(2,6,0,0,1)";
  for (int i = 3; i <= nsc::kMaxLayers; ++i) {
    const std::string p = std::to_string(i - 2), q = std::to_string(i - 1);
    text += ",(" + std::to_string(i) + ",6,0," + p + "," + q + ")";
  }
  const Graph wide = block((text + "]").c_str());
  CHECK_THROWS(std::domain_error, expand(wide, skeleton(8, {8}), {1, 4, 4}, 2));

  const Graph conv = block("[(1,1,5,0,0)]");
  const Skeleton huge = skeleton(kMaxExtent, {kMaxExtent});
  const Net largest = expand(conv, huge, {kMaxExtent, kMaxExtent, kMaxExtent}, 2);
  CHECK_THROWS(std::domain_error, cost(largest));
  CHECK_THROWS(std::invalid_argument, expand(conv, huge, {kMaxExtent + 1, 4, 4}, 2));
  CHECK_THROWS(std::invalid_argument, expand(conv, skeleton(8, {8, 8, 8}), {1, 3, 9}, 2));
  CHECK_THROWS(std::invalid_argument, expand(conv, skeleton(8, {}), {1, 4, 4}, 2));
  CHECK_THROWS(std::invalid_argument, validate(Skeleton{8, 1, false, kMaxBlocks, {8, 8}}));
  validate(Skeleton{8, 1, false, kMaxBlocks / 2, {8, 8}});
}

void layers() {
  const std::int16_t code[] = {1, 4, 3, 2, 2, 2, 3, 5, 0, 5, 0, 0};  // C(4,3),P(2,2),FC(5),SM
  const Net net = expand_layers(code, 4, false, {1, 5, 4}, 3);
  CHECK(net.rows.size() == 7);
  const NetCost total = cost(net);
  CHECK(total.params == 4 * 9 + 4 + 5 * 16 + 5 + 3 * 5 + 3);
  CHECK(total.macs == 4 * 9 * 20 + 5 * 16 + 3 * 5);
  CHECK_THROWS(std::invalid_argument, expand_layers(code, 3, false, {1, 5, 4}, 3));
  CHECK_THROWS(std::invalid_argument, expand_layers(code, 0, false, {1, 5, 4}, 3));
  CHECK_THROWS(std::invalid_argument, expand_layers(code, 4, false, {1, 5, 1}, 3));
  CHECK_THROWS(std::invalid_argument, expand_layers(code, 4, false, {1, 5, 4}, 0));
  const std::int16_t wide[] = {1, 512, 3, 5, 0, 0};
  CHECK_THROWS(std::domain_error, expand_layers(wide, 2, false, {1, 64, 64}, 3));
}

// The rows of `net`, by number, that `other` has too.
std::vector<int> shared(const Net& net, const Net& other) {
  const std::vector<Hash128> own = signatures(net), theirs = signatures(other);
  std::vector<int> out;
  for (std::size_t i = 0; i < own.size(); ++i) {
    for (std::size_t k = 0; k < own.size(); ++k) CHECK((own[i] == own[k]) == (i == k));
    if (std::find(theirs.begin(), theirs.end(), own[i]) != theirs.end()) {
      out.push_back(static_cast<int>(i));
    }
  }
  return out;
}

void names() {
  const auto net = [](const char* text) {
    return expand(block(text), skeleton(8, {8, 16}), {1, 8, 8}, 10);
  };
  const Net parent = net("[(1,1,3,0,0),(2,1,5,1,0)]");
  CHECK(parent.seams == std::vector<std::int32_t>({3, 6}));
  // Rows 0 to 9: input, stem, 3x3, 5x5, pooling, 3x3, 5x5, ReLU, pooling, linear.
  const std::vector<int> all = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  CHECK(shared(parent, parent) == all);
  CHECK(shared(parent, net("[(1,1,3,0,0),(2,1,5,1,0),(3,1,1,2,0)]")) == all);
  CHECK(shared(parent, net("[(1,1,3,0,0),(2,1,3,1,0)]")) ==
        std::vector<int>({0, 1, 2, 4, 5, 7, 8, 9}));
  // The block is twice as wide, so all that read it are new, but not what follows them in a block.
  CHECK(shared(parent, net("[(1,1,3,0,0),(2,1,5,1,0),(3,1,1,1,0)]")) ==
        std::vector<int>({0, 1, 2, 3, 6}));
  CHECK(shared(net("[(1,1,3,0,0),(2,1,3,0,0),(3,5,0,1,2)]"),
               net("[(1,1,3,0,0),(2,1,3,0,0),(3,5,0,2,1)]"))
            .size() == 12);
}

// Layer 3 reads layers 1 and 2, of which the second is half as large.
void skips() {
  const std::int16_t layers[] = {3, 3, 1, 4, 1, 3, 2, 5, 1, 1, 1, 6};
  const bool reads[] = {false, false, false, false, false, false, true, true, false};
  const Net net = expand_skips(layers, reads, 3, {1, 6, 6}, 10);
  const std::vector<Op> ops = {Op::kInput, Op::kStem,       Op::kRelu,   Op::kStem,
                               Op::kRelu,  Op::kPad,        Op::kConcat, Op::kStem,
                               Op::kRelu,  Op::kGlobalPool, Op::kLinear};
  CHECK(net.rows.size() == ops.size());
  for (std::size_t i = 0; i < ops.size(); ++i) CHECK(net.rows[i].op == ops[i]);
  CHECK(net.rows[4].out.height == 3);
  CHECK(net.rows[6].out.channels == 9 && net.rows[6].out.height == 6);
  const bool later[] = {false, true, false, false, false, false, false, false, false};
  CHECK_THROWS(std::invalid_argument, expand_skips(layers, later, 3, {1, 6, 6}, 10));
  CHECK_THROWS(std::invalid_argument, expand_skips(layers, reads, 0, {1, 6, 6}, 10));
  const std::int16_t even[] = {2, 3, 1, 4};
  CHECK_THROWS(std::invalid_argument, expand_skips(even, reads, 1, {1, 6, 6}, 10));
  const std::int16_t none[] = {1, 3, 0, 4};
  CHECK_THROWS(std::invalid_argument, expand_skips(none, reads, 1, {1, 6, 6}, 10));
}

void given_rows() {
  Net net = expand(block("[(1,1,3,0,0),(2,5,0,0,1)]"), skeleton(8, {8, 16}), {3, 4, 4}, 10);
  validate(net);
  const auto complaint = [&](auto change) {
    Net other = net;
    change(other);
    return complaint_of([&] { validate(other); });
  };
  CHECK_EQ(complaint([](Net& n) { n.rows[2].out.height = 5; }),
           "row 2, conv, has shape 8x5x4; its inputs make it 8x4x4");
  CHECK_EQ(complaint([](Net& n) { n.rows[2].kernel = 1 << 20; }),
           "row 2, conv, has kernel=1048576; it must be 1 to 1024");
  CHECK_EQ(complaint([](Net& n) { n.inputs[n.rows[2].first_input] = 7; }),
           "row 2, conv, reads row 7; rows read earlier ones");
  CHECK_EQ(complaint([](Net& n) { n.rows[0].op = Op::kTerminal; }),
           "row 0, terminal, has no place in a network");
  CHECK_EQ(complaint_of([] { validate(Net{}); }), "a network has at least its input row");
}

// Two exits of one convolution each, then a third convolution and the logits.
void exits() {
  Net net;
  const auto row = [&](Step step, Shape out, std::int32_t from) {
    return append(net, step, out, &from, 1);
  };
  const auto classifier = [&](std::int32_t from) {
    const int pooled = row({Op::kGlobalPool}, {2, 1, 1}, from);
    return row({Op::kLinear}, {3, 1, 1}, pooled);
  };
  append(net, {Op::kInput}, {1, 4, 4}, nullptr, 0);
  const int first = row(square(Op::kConv, 3), {2, 4, 4}, 0);
  const int late = classifier(row(square(Op::kConv, 3), {2, 4, 4}, first));
  const int early = classifier(first);
  const int twin = classifier(first);
  const int last = classifier(row(square(Op::kConv, 1), {2, 4, 4}, first));
  CHECK_EQ(cost(net).macs, 288 + 64 + 6);  // of the last alone: the others are auxiliary heads
  set_exits(net, {late, twin, early});
  validate(net);
  CHECK(net.exits == (std::vector<std::int32_t>{early, twin, late}));
  const std::int64_t both = 288 + 6 + 6;
  CHECK(exit_macs(net) == (std::vector<std::int64_t>{both, both, both + 576 + 6, cost(net).macs}));
  CHECK_EQ(cost(net).macs, both + 576 + 6 + 64 + 6);
  CHECK_EQ(cost(net).params, (18 + 4) + (36 + 4) + (4 + 4) + 4 * (6 + 3));
  for (const int wrong : {first, last, -1, last + 1}) {
    CHECK_THROWS(std::invalid_argument, set_exits(net, {early, wrong}));
  }
  CHECK_THROWS(std::invalid_argument, set_exits(net, {early, early}));
}

void grown() {
  Net net;
  append(net, {Op::kInput}, {2, 2, 3}, nullptr, 0);
  const std::int32_t image = 0;
  const std::int32_t large = append(net, {Op::kUpsample}, {2, 5, 6}, &image, 1);
  const std::int32_t pooled = append(net, {Op::kGlobalPool}, {2, 1, 1}, &large, 1);
  append(net, {Op::kLinear}, {3, 1, 1}, &pooled, 1);
  validate(net);
  CHECK_EQ(cost(net).macs, 6);
  net.rows[1].out.width = 2;
  CHECK_THROWS(std::invalid_argument, validate(net));
}

}  // namespace

int main() {
  names();
  skips();
  layers();
  chain();
  projection();
  depthwise();
  twins_are_freed_once();
  limits();
  given_rows();
  exits();
  grown();
}
