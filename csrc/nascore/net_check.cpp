// The rules that the rows of a network obey, for nets that no space wrote.
#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

#include "nascore/net.hpp"

namespace nascore {

bool never_pads(Op op) {
  return op == Op::kMaxPoolValid || op == Op::kAvgPoolValid || op == Op::kConvValid ||
         op == Op::kConvPlainValid || op == Op::kConvBiasValid;
}

namespace {

bool operator==(Shape a, Shape b) {
  return a.channels == b.channels && a.height == b.height && a.width == b.width;
}

// What an operation demands of its row.
enum class Kind : std::uint8_t {
  kImage,
  kWindow,      // slides over an image: a kernel, a stride
  kPixelwise,   // the shape stays
  kGrow,        // the image grows
  kCombine,     // two inputs or more
  kFlattening,  // an image becomes a vector
  kDense,
  kNowhere  // in graphs alone
};

Kind kind(Op op) {
  switch (op) {
    case Op::kInput:
      return Kind::kImage;
    case Op::kConv:
    case Op::kMaxPool:
    case Op::kAvgPool:
    case Op::kStem:
    case Op::kConvRelu:
    case Op::kMaxPoolValid:
    case Op::kSepConv:
    case Op::kFactorizedReduce:
    case Op::kAvgPoolValid:
    case Op::kConvValid:
    case Op::kConvBias:
    case Op::kConvPlain:
    case Op::kConvPlainValid:
    case Op::kConvBiasValid:
      return Kind::kWindow;
    case Op::kIdentity:
    case Op::kRelu:
    case Op::kDropout:
    case Op::kLayerNorm:
    case Op::kInstanceNorm:
    case Op::kDropPath:
    case Op::kBatchNorm:
      return Kind::kPixelwise;
    case Op::kPad:
    case Op::kUpsample:
      return Kind::kGrow;
    case Op::kAdd:
    case Op::kConcat:
      return Kind::kCombine;
    case Op::kGlobalPool:
    case Op::kFlatten:
      return Kind::kFlattening;
    case Op::kLinear:
      return Kind::kDense;
    default:
      return Kind::kNowhere;
  }
}

bool takes_vectors(Op op) {
  return op == Op::kIdentity || op == Op::kRelu || op == Op::kDropout || op == Op::kAdd ||
         op == Op::kConcat || op == Op::kLinear;
}

class Checker {
 public:
  Checker(Net& net, bool repairs)
      : net_(net), repairs_(repairs), flat_(net.rows.size()), read_(net.rows.size()) {}

  void run() {
    if (net_.rows.empty()) throw std::invalid_argument("a network has at least its input row");
    for (at_ = 0; at_ < static_cast<int>(net_.rows.size()); ++at_) row();
    const int last = static_cast<int>(net_.rows.size()) - 1;
    const std::int64_t classes = net_.rows[last].out.channels;
    for (at_ = 0; at_ <= last; ++at_) {
      require(read_[at_] || (flat_[at_] && net_.rows[at_].out.channels == classes),
              "is read by no row, and does not give the " + std::to_string(classes) + " logits");
    }
  }

 private:
  const NetRow& now() const { return net_.rows[at_]; }
  int input(int k) const { return net_.inputs[now().first_input + k]; }
  Shape shape(int k) const { return net_.rows[input(k)].out; }

  void require(bool holds, const std::string& rule) const {
    if (holds) return;
    throw std::invalid_argument("row " + std::to_string(at_) + ", " + info(now().op).name + ", " +
                                rule);
  }

  void row() {
    const NetRow& r = now();
    const Kind k = kind(r.op);
    require(k != Kind::kNowhere, "has no place in a network");
    require((k == Kind::kImage) == (at_ == 0), at_ == 0 ? "must be the input" : "must be row 0");
    for (const std::int64_t side : {r.out.channels, r.out.height, r.out.width}) {
      require(1 <= side && side <= kMaxExtent,
              "has shape " + text(r.out) + "; sides are 1 to " + std::to_string(kMaxExtent));
    }
    if (k == Kind::kCombine) {
      require(r.inputs >= 2, "reads " + std::to_string(r.inputs) + " rows; it needs two or more");
    } else {
      const int wanted = k == Kind::kImage ? 0 : 1;
      require(r.inputs == wanted,
              "reads " + std::to_string(r.inputs) + " rows; it needs " + std::to_string(wanted));
    }
    for (int i = 0; i < r.inputs; ++i) {
      require(0 <= input(i) && input(i) < at_,
              "reads row " + std::to_string(input(i)) + "; rows read earlier ones");
      require(flat_[input(i)] == flat_[input(0)], "reads images and vectors");
      read_[input(i)] = true;
    }
    if (repairs_ && k == Kind::kWindow) regroup();
    arguments(k);
    if (k == Kind::kImage) return;
    const bool vector = flat_[input(0)];
    require(k == Kind::kDense ? vector : !vector || takes_vectors(r.op),
            vector ? "reads a vector; it needs an image"
                   : "reads an image; it needs a vector, as global_pool or flatten make");
    flat_[at_] = vector || k == Kind::kFlattening;
    const Shape wanted = expected(k);
    if (repairs_ && fits(wanted)) net_.rows[at_].out = wanted;
    require(wanted == r.out, "has shape " + text(r.out) + "; its inputs make it " +
                                 (wanted.height > 0 && wanted.width > 0 ? text(wanted) : "empty"));
  }

  static bool fits(Shape s) {
    return std::min({s.channels, s.height, s.width}) >= 1 &&
           std::max({s.channels, s.height, s.width}) <= kMaxExtent;
  }

  void regroup() {
    NetRow& r = net_.rows[at_];
    const std::int64_t in = shape(0).channels;
    if (r.groups == 1 || (in % r.groups == 0 && r.out.channels % r.groups == 0)) return;
    if (r.groups == r.out.channels) {
      r.out.channels = in;
      r.groups = static_cast<std::int32_t>(in);
    } else {
      const std::int64_t common = std::gcd(in, r.out.channels);
      r.groups = static_cast<std::int32_t>(std::gcd(common, std::int64_t{r.groups}));
    }
  }

  void arguments(Kind k) const {
    const NetRow& r = now();
    const auto in_range = [&](const char* name, std::int64_t value, std::int64_t least,
                              std::int64_t most) {
      require(least <= value && value <= most,
              std::string("has ") + name + "=" + std::to_string(value) + "; it must be " +
                  (least == most ? std::to_string(most)
                                 : std::to_string(least) + " to " + std::to_string(most)));
    };
    const bool chance = r.op == Op::kDropout || r.op == Op::kDropPath;
    const bool reduce = r.op == Op::kFactorizedReduce;
    const bool window = k == Kind::kWindow && !reduce;
    const bool square = r.op == Op::kMaxPoolValid && !net_.signal;
    const bool dilated = r.op == Op::kConv || r.op == Op::kStem || r.op == Op::kConvRelu ||
                         r.op == Op::kConvBias || r.op == Op::kSepConv || r.op == Op::kConvPlain ||
                         r.op == Op::kConvPlainValid || r.op == Op::kConvBiasValid;
    const bool grouped = dilated && r.op != Op::kSepConv;
    in_range("stride", r.stride, reduce ? 2 : 1, reduce ? 2 : window || chance ? kMaxWindow : 1);
    const std::int64_t least = window || reduce ? 1 : 0;
    in_range("kernel", r.kernel, least, window ? kMaxWindow : chance ? r.stride : least);
    in_range("kernel_width", r.kernel_width, square ? r.kernel : least,
             square || chance ? r.kernel
             : window         ? kMaxWindow
                              : least);
    in_range("dilation", r.dilation, 1, dilated ? kMaxWindow : 1);
    in_range("groups", r.groups, 1, grouped ? kMaxExtent : 1);
    require(r.groups == 1 || (r.out.channels % r.groups == 0 && shape(0).channels % r.groups == 0),
            "has groups=" + std::to_string(r.groups) + ", which must divide its channels and " +
                "those of its input");
    require(!reduce || r.out.channels >= 2, "needs two channels or more");
  }

  // The shape that the row has by its inputs.
  Shape expected(Kind k) const {
    const NetRow& r = now();
    Shape in = shape(0);
    switch (k) {
      case Kind::kWindow: {
        const bool pool = r.op == Op::kMaxPool || r.op == Op::kAvgPool ||
                          r.op == Op::kMaxPoolValid || r.op == Op::kAvgPoolValid;
        const std::int64_t channels = pool ? in.channels : r.out.channels;
        if (never_pads(r.op)) {
          const auto side = [&](std::int64_t length, int kernel) {
            const std::int64_t reach = std::int64_t{r.dilation} * (kernel - 1);
            return length <= reach ? 0 : (length - reach - 1) / r.stride + 1;
          };
          return {channels, side(in.height, r.kernel), side(in.width, r.kernel_width)};
        }
        return windowed(in, {r.op, r.kernel, r.kernel_width, r.stride, r.dilation}, channels);
      }
      case Kind::kCombine:
        for (int i = 1; i < r.inputs; ++i) {
          const Shape other = shape(i);
          require(
              r.op == Op::kAdd ? other == in : other.height == in.height && other.width == in.width,
              "reads " + text(in) + " and " + text(other) +
                  (r.op == Op::kAdd ? "; they must be equal"
                                    : "; heights and widths must be equal"));
        }
        if (r.op == Op::kAdd) return in;
        for (int i = 1; i < r.inputs; ++i) in.channels += shape(i).channels;
        return in;
      case Kind::kGrow:
        return {in.channels, std::max(in.height, r.out.height), std::max(in.width, r.out.width)};
      case Kind::kFlattening:
        if (r.op == Op::kGlobalPool) return {in.channels, 1, 1};
        return {in.channels * in.height * in.width, 1, 1};
      case Kind::kDense:
        return {r.out.channels, 1, 1};
      default:
        return in;
    }
  }

  Net& net_;
  const bool repairs_;
  int at_ = 0;
  std::vector<bool> flat_;  // a vector per image, no image
  std::vector<bool> read_;
};

}  // namespace

void validate(const Net& net) {
  Net copy = net;
  Checker(copy, false).run();
}

void repair(Net& net) { Checker(net, true).run(); }

}  // namespace nascore
