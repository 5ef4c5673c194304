#include "nascore/layer_net.hpp"

#include <algorithm>
#include <stdexcept>

namespace nascore {
namespace {

using layer::ends;
using layer::Kind;
using layer::kind;
using layer::Row;
using layer::text;

class Chain {
 public:
  Chain(Shape input, int classes) : classes_(classes) {
    nascore::append(net_, {Op::kInput}, input, nullptr, 0);
  }

  void add(const Row& row, int number) {
    const Shape in = shape();
    const std::string name = "layer " + std::to_string(number) + ", " + text(row) + ",";
    const int a = row[1], b = row[2];
    switch (kind(row)) {
      case Kind::kConv:
        require(a > 0 && b > 0 && b % 2 == 1, name + " needs channels and an odd kernel");
        require(!flat_, name + " comes after a dense layer");
        append(Op::kConvRelu, b, 1, {a, in.height, in.width});
        return;
      case Kind::kPool: {
        require(a > 0 && b > 0, name + " needs a kernel and a stride");
        require(!flat_, name + " comes after a dense layer");
        const Shape out = {in.channels, layer::pooled(in.height, a, b),
                           layer::pooled(in.width, a, b)};
        require(out.height > 0 && out.width > 0,
                name + " does not fit into " + std::to_string(in.height) + "x" +
                    std::to_string(in.width) + "; use larger images");
        append(Op::kMaxPoolValid, a, b, out);
        return;
      }
      case Kind::kDense:
        require(a > 0, name + " needs units");
        flatten();
        append(Op::kLinear, 0, 1, {a, 1, 1});
        append(Op::kRelu, 0, 1, {a, 1, 1});
        return;
      case Kind::kGlobalPool:
        require(!flat_, name + " comes after a dense layer");
        append(Op::kGlobalPool, 0, 1, {in.channels, 1, 1});
        append(Op::kLinear, 0, 1, {classes_, 1, 1});
        return;
      case Kind::kSoftmax:
        flatten();
        append(Op::kLinear, 0, 1, {classes_, 1, 1});
        return;
      default:
        throw std::invalid_argument(name + " is unknown; kinds are 1 to 5");
    }
  }

  void drop(int numerator, int denominator) {
    append(Op::kDropout, numerator, denominator, shape());
  }

  Net take() { return std::move(net_); }

 private:
  Shape shape() const { return net_.rows.back().out; }

  void append(Op op, int kernel, int stride, Shape out) {
    const auto last = static_cast<std::int32_t>(net_.rows.size()) - 1;
    nascore::append(net_, square(op, kernel, stride), out, &last, 1);
  }

  void flatten() {
    if (flat_) return;
    flat_ = true;
    const Shape in = shape();
    append(Op::kFlatten, 0, 1, {in.channels * in.height * in.width, 1, 1});
  }

  static void require(bool holds, const std::string& message) {
    if (!holds) throw std::invalid_argument(message);
  }

  Net net_;
  const int classes_;
  bool flat_ = false;
};

}  // namespace

Net expand_layers(const std::int16_t* code, int count, bool dropout, Shape input, int classes) {
  validate(input, classes);
  const auto row = [&](int i) { return Row{code[3 * i], code[3 * i + 1], code[3 * i + 2]}; };
  for (int i = 0; i < count; ++i) {
    if (ends(row(i)) != (i == count - 1)) {
      throw std::invalid_argument("a code of layers has one ending, SM or GAP, at its end");
    }
  }
  if (count == 0) throw std::invalid_argument("a code of layers needs its ending, SM or GAP");
  Chain chain(input, classes);
  const int drops = (count - 1) / 2;
  for (int i = 0; i < count; ++i) {
    chain.add(row(i), i + 1);
    if (dropout && i % 2 == 1 && i < count - 1) chain.drop((i + 1) / 2, 2 * drops);
  }
  return chain.take();
}

}  // namespace nascore
