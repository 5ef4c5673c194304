#include "nascore/program.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "nascore/kernels/packing.hpp"

namespace nascore {
namespace {

constexpr int kNone = -1;

bool has_batch_norm(Op op) {
  return op == Op::kBatchNorm || info(op).cost == Cost::kConvBatchNorm || op == Op::kSepConv;
}

bool is_alias(const Net& net, int row) {
  const NetRow& r = net.rows[row];
  switch (r.op) {
    case Op::kIdentity:
    case Op::kDropout:
    case Op::kDropPath:
      return true;
    case Op::kAdd:
    case Op::kConcat:
      return r.inputs == 1;
    case Op::kFlatten: {
      const Shape in = net.rows[net.inputs[r.first_input]].out;
      return in.height == 1 && in.width == 1;
    }
    default:
      return false;
  }
}

// Where a row's result lies.
struct Place {
  int input = kNone, output = kNone, buffer = kNone;
  std::int64_t channel = 0, stride = 0;
};

struct Buffer {
  std::int64_t size;
  int first = -1, last = -1;  // instructions that use it
  std::int64_t at = 0;
};

class Compiler {
 public:
  Compiler(const Net& net, bool batch_statistics)
      : net_(net), batch_statistics_(batch_statistics), places_(net.rows.size()) {}

  Program run(const std::vector<std::int32_t>& inputs, const std::vector<std::int32_t>& outputs) {
    find_needed(inputs, outputs);
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      places_[inputs[k]] = {static_cast<int>(k), kNone, kNone, 0, out(inputs[k]).channels};
      program_.inputs.push_back(out(inputs[k]));
    }
    std::vector<int> copied;  // outputs that others read too, or that lie elsewhere
    for (std::size_t k = 0; k < outputs.size(); ++k) {
      const int row = source(outputs[k]);
      program_.outputs.push_back(out(row));
      if (placed(row) || readers_[row] > 1) {
        copied.push_back(static_cast<int>(k));
      } else {
        places_[row] = {kNone, static_cast<int>(k), kNone, 0, out(row).channels};
      }
    }
    for (int row = rows(); row-- > 0;) place(row);
    for (int row = 0; row < rows(); ++row) {
      if (needed_[row] && places_[row].input == kNone && source(row) == row) emit(row);
    }
    for (const int k : copied) {
      const int row = source(outputs[k]);
      copy(row, {kNone, k, kNone, 0, out(row).channels}, out(row), false);
    }
    allocate();
    return std::move(program_);
  }

 private:
  int rows() const { return static_cast<int>(net_.rows.size()); }
  Shape out(int row) const { return net_.rows[row].out; }
  bool placed(int row) const { return places_[row].stride > 0; }
  std::vector<int> reads(int row) const {
    const auto first = net_.inputs.begin() + net_.rows[row].first_input;
    return {first, first + net_.rows[row].inputs};
  }

  // The row that computes what `row` passes on.
  int source(int row) const {
    while (places_[row].input == kNone && is_alias(net_, row)) row = reads(row)[0];
    return row;
  }

  void find_needed(const std::vector<std::int32_t>& inputs,
                   const std::vector<std::int32_t>& outputs) {
    for (const auto* list : {&inputs, &outputs}) {
      for (const std::int32_t row : *list) {
        if (row >= 0 && row < rows()) continue;
        throw std::invalid_argument("row " + std::to_string(row) + " is not one of the net's " +
                                    std::to_string(rows()));
      }
    }
    needed_.assign(net_.rows.size(), false);
    readers_.assign(net_.rows.size(), 0);
    sums_.assign(net_.rows.size(), kNone);
    begun_.assign(net_.rows.size(), false);
    std::vector<bool> given(net_.rows.size(), false);
    for (const std::int32_t row : inputs) given[row] = true;
    for (const std::int32_t row : inputs) places_[row].input = 0;  // so that `source` ends there
    for (const std::int32_t row : outputs) {
      needed_[row] = true;
      ++readers_[source(row)];
    }
    for (int row = rows(); row-- > 0;) {
      if (!needed_[row] || given[row]) continue;
      if (row == 0) {
        throw std::invalid_argument("the outputs need row 0, the image, beside the inputs");
      }
      for (const int from : reads(row)) {
        needed_[from] = true;
        if (!is_alias(net_, row)) ++readers_[source(from)];
      }
    }
  }

  int new_buffer(Shape shape, std::int64_t stride) {
    buffers_.push_back({shape.height * shape.width * stride});
    return static_cast<int>(buffers_.size()) - 1;
  }

  // Gives `row` a place unless its reader did, and its parts or terms one within it.
  void place(int row) {
    if (!needed_[row] || source(row) != row || places_[row].input != kNone) return;
    const Shape shape = out(row);
    if (!placed(row)) {
      places_[row] = {kNone, kNone, new_buffer(shape, shape.channels), 0, shape.channels};
    }
    const Op op = net_.rows[row].op;
    if (op == Op::kConcat) {
      std::int64_t channel = places_[row].channel;
      for (const int from : reads(row)) {
        const int part = source(from);
        if (may_move(part)) {
          places_[part] = places_[row];
          places_[part].channel = channel;
        }
        channel += out(part).channels;
      }
    } else if (op == Op::kAdd) {
      const int sum = sums_[row] == kNone ? row : sums_[row];
      for (const int from : reads(row)) {
        const int term = source(from);
        if (!may_move(term) || !can_accumulate(net_.rows[term].op)) continue;
        places_[term] = places_[row];
        sums_[term] = sum;
      }
    }
  }

  bool may_move(int row) const { return !placed(row) && readers_[row] == 1; }

  static bool can_accumulate(Op op) {
    return op != Op::kConcat && op != Op::kConvRelu && op != Op::kConvValid && op != Op::kPad &&
           op != Op::kFlatten;
  }

  // Whether a write of `row` adds to others' in its place.
  bool accumulates(int row) {
    const int sum = sums_[row] != kNone ? sums_[row] : row;
    const bool before = begun_[sum];
    begun_[sum] = true;
    return before;
  }

  void emit(int row) {
    const NetRow& r = net_.rows[row];
    const Place to = places_[row];
    if (r.op == Op::kConcat) {
      Place part = to;
      for (const int from : reads(row)) {
        const int given = source(from);
        if (!inside(places_[given], part)) copy(given, part, out(given), false);
        part.channel += out(given).channels;
      }
      return;
    }
    if (r.op == Op::kAdd) {
      const int sum = sums_[row] == kNone ? row : sums_[row];
      for (const int from : reads(row)) {
        const int term = source(from);
        if (sums_[term] == sum && readers_[term] == 1) continue;  // it is there already
        copy(term, to, r.out, accumulates(row));
      }
      return;
    }
    const int given = source(reads(row)[0]);
    Instruction next = instruction(kernel_of(r.op), given, to, r.out);
    window(next, r);
    next.accumulate = accumulates(row);
    next.relu = r.op == Op::kConv || r.op == Op::kSepConv || r.op == Op::kFactorizedReduce ||
                r.op == Op::kRelu;
    next.relu_after = r.op == Op::kConvRelu || r.op == Op::kConvValid;
    next.together = r.op == Op::kLayerNorm;
    if (r.op == Op::kPad) {
      next.pad_top = (next.out_height - next.in_height) / 2;
      next.pad_left = (next.out_width - next.in_width) / 2;
    }
    if (batch_statistics_ && has_batch_norm(r.op)) {
      const Instruction norm = next;
      int buffer = kNone;
      if (r.op != Op::kBatchNorm) {
        buffer = new_buffer(r.out, r.out.channels);
        const Place apart{kNone, kNone, buffer, 0, r.out.channels};
        Instruction raw = instruction(next.kernel, given, apart, r.out);
        window(raw, r);
        raw.relu = next.relu;
        convolve(raw, r, row, given, apart);
        next = instruction(Kernel::kBatchNorm, row, to, r.out);
        from(next, apart);
        next.in_channels = next.out_channels;
        next.in_height = next.out_height;
        next.in_width = next.out_width;
        next.accumulate = norm.accumulate;
        next.relu_after = norm.relu_after;
        weighted(next, row, 0);
        add(next, buffer, to.buffer);
        return;
      }
      next.kernel = Kernel::kBatchNorm;
      weighted(next, row, 0);
      add(next, places_[given].buffer, to.buffer);
      return;
    }
    convolve(next, r, row, given, to);
  }

  // Adds an instruction with its weights; a factorised reduction is two convolutions.
  void convolve(Instruction next, const NetRow& r, int row, int given, const Place& to) {
    if (r.op == Op::kFactorizedReduce) {
      const std::int32_t all = next.out_channels, half = all / 2;
      next.out_channels = half;
      weighted(next, row, 0);
      add(next, places_[given].buffer, to.buffer);
      next.out_channels = all - half;
      next.to_channel += half;
      next.pad_top = next.pad_left = -1;
      weighted(next, row, half);
    } else if (next.kernel == Kernel::kConv || next.kernel == Kernel::kSepConv ||
               next.kernel == Kernel::kNorm || r.op == Op::kBatchNorm) {
      weighted(next, row, 0);
    }
    add(next, places_[given].buffer, to.buffer);
  }

  static Kernel kernel_of(Op op) {
    switch (op) {
      case Op::kSepConv:
        return Kernel::kSepConv;
      case Op::kMaxPool:
      case Op::kMaxPoolValid:
        return Kernel::kMaxPool;
      case Op::kAvgPool:
      case Op::kAvgPoolValid:
        return Kernel::kAvgPool;
      case Op::kRelu:
      case Op::kUpsample:
      case Op::kBatchNorm:
        return Kernel::kCopy;
      case Op::kPad:
        return Kernel::kPad;
      case Op::kFlatten:
        return Kernel::kFlatten;
      case Op::kGlobalPool:
        return Kernel::kGlobalPool;
      case Op::kLayerNorm:
      case Op::kInstanceNorm:
        return Kernel::kNorm;
      default:
        return Kernel::kConv;
    }
  }

  static std::int32_t narrow(std::int64_t value) {
    if (value <= std::numeric_limits<std::int32_t>::max()) return static_cast<std::int32_t>(value);
    throw std::domain_error("a network of " + std::to_string(value) +
                            " floats in one place is too large for a program");
  }

  static void from(Instruction& next, const Place& place) {
    next.input = place.input;
    next.from_channel = narrow(place.channel);
    next.from_stride = narrow(place.stride);
  }

  Instruction instruction(Kernel kernel, int given, const Place& to, Shape shape) const {
    Instruction next{};
    next.kernel = kernel;
    from(next, places_[given]);
    next.in_channels = narrow(out(given).channels);
    next.in_height = narrow(out(given).height);
    next.in_width = narrow(out(given).width);
    next.output = to.output;
    next.to_channel = narrow(to.channel);
    next.to_stride = narrow(to.stride);
    next.out_channels = narrow(shape.channels);
    next.out_height = narrow(shape.height);
    next.out_width = narrow(shape.width);
    next.kernel_height = next.kernel_width = next.stride = next.dilation = 1;
    next.weights = kNone;
    return next;
  }

  static void window(Instruction& next, const NetRow& r) {
    const bool windows = next.kernel == Kernel::kConv || next.kernel == Kernel::kSepConv ||
                         next.kernel == Kernel::kMaxPool || next.kernel == Kernel::kAvgPool;
    if (!windows || r.op == Op::kLinear) return;
    next.kernel_height = r.kernel;
    next.kernel_width = r.kernel_width;
    next.stride = r.stride;
    next.dilation = r.dilation;
    if (never_pads(r.op) || r.op == Op::kFactorizedReduce) return;
    const auto half = [&](int side) { return side % 2 ? r.dilation * (side / 2) : 0; };
    next.pad_top = half(r.kernel);
    next.pad_left = half(r.kernel_width);
  }

  void weighted(Instruction& next, int row, int channel) {
    next.weights = narrow(program_.weights);
    program_.weights += weights_of(next);
    const auto at = static_cast<std::int32_t>(program_.instructions.size());
    program_.slots.push_back({at, row, channel});
  }

  void copy(int given, const Place& to, Shape shape, bool accumulate) {
    Instruction next = instruction(Kernel::kCopy, given, to, shape);
    next.accumulate = accumulate;
    add(next, places_[given].buffer, to.buffer);
  }

  // `from` and `to` are buffers until `allocate` has found their offsets.
  void add(Instruction next, int from, int to) {
    const auto at = static_cast<int>(program_.instructions.size());
    for (const int buffer : {from, to}) {
      if (buffer == kNone) continue;
      if (buffers_[buffer].first < 0) buffers_[buffer].first = at;
      buffers_[buffer].last = at;
    }
    next.from = from;
    next.to = to;
    program_.instructions.push_back(next);
  }

  static bool inside(const Place& part, const Place& whole) {
    return part.buffer == whole.buffer && part.output == whole.output &&
           part.input == whole.input && part.channel == whole.channel &&
           part.stride == whole.stride;
  }

  // First fit: each buffer as low as those that live at the same time allow.
  void allocate() {
    std::vector<Buffer*> done;
    for (Buffer& buffer : buffers_) {
      if (buffer.first < 0) continue;
      std::sort(done.begin(), done.end(), [](auto* a, auto* b) { return a->at < b->at; });
      for (const Buffer* other : done) {
        if (other->last < buffer.first || buffer.last < other->first) continue;
        if (other->at >= buffer.at + buffer.size) continue;
        buffer.at = std::max(buffer.at, (other->at + other->size + 15) / 16 * 16);
      }
      done.push_back(&buffer);
    }
    narrow(program_.weights);
    for (Instruction& next : program_.instructions) {
      next.from = next.from == kNone ? 0 : narrow(buffers_[next.from].at);
      next.to = next.to == kNone ? 0 : narrow(buffers_[next.to].at);
    }
  }

  const Net& net_;
  const bool batch_statistics_;
  std::vector<Place> places_;
  std::vector<bool> needed_;
  std::vector<int> readers_;  // of a source
  std::vector<int> sums_;     // the sum in whose place a term is added
  std::vector<bool> begun_;   // whether a sum has its first term
  std::vector<Buffer> buffers_;
  Program program_;
};

}  // namespace

Program compile(const Net& net, const std::vector<std::int32_t>& inputs,
                const std::vector<std::int32_t>& outputs, bool batch_statistics) {
  return Compiler(net, batch_statistics).run(inputs, outputs);
}

std::int64_t weights_of(const Instruction& next) {
  switch (next.kernel) {
    case Kernel::kConv:
      return kernels::packed_size(
          std::int64_t{next.kernel_height} * next.kernel_width * next.in_channels,
          next.out_channels);
    case Kernel::kSepConv:
      return std::int64_t{next.kernel_height} * next.kernel_width *
                 kernels::padded(next.in_channels) +
             kernels::packed_size(next.in_channels, next.out_channels);
    case Kernel::kNorm:
    case Kernel::kBatchNorm:
    case Kernel::kCopy:
      return 2 * kernels::padded(next.out_channels);
    default:
      return 0;
  }
}

}  // namespace nascore
