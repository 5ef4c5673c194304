#include "nascore/program.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "nascore/kernels/packing.hpp"
#include "nascore/program_plan.hpp"

namespace nascore {
namespace {

bool has_batch_norm(Op op) {
  return op == Op::kBatchNorm || op == Op::kSepConv || info(op).cost == Cost::kConvBatchNorm;
}

Kernel kernel_of(Op op) {
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
    case Op::kConv:
    case Op::kConvBias:
    case Op::kConvBiasValid:
    case Op::kConvPlain:
    case Op::kConvPlainValid:
    case Op::kConvRelu:
    case Op::kConvValid:
    case Op::kFactorizedReduce:
    case Op::kLinear:
    case Op::kStem:
      return Kernel::kConv;
    default:
      throw std::invalid_argument(std::string(info(op).name) + " has no kernel");
  }
}

std::int32_t narrow(std::int64_t value) {
  if (value <= std::numeric_limits<std::int32_t>::max()) return static_cast<std::int32_t>(value);
  throw std::domain_error("a network of " + std::to_string(value) +
                          " floats in one place is too large for a program");
}

// When a buffer is in use, and where it lies.
struct Buffer {
  std::int64_t size;
  int first = kNone, last = kNone;  // instructions
  std::int64_t at = 0;
};

class Compiler {
 public:
  Compiler(const Net& net, Plan plan, bool batch_statistics)
      : net_(net), plan_(std::move(plan)), by_batch_(batch_statistics), begun_(net.rows.size()) {}

  Program run(const std::vector<std::int32_t>& inputs, const std::vector<std::int32_t>& outputs) {
    for (const std::int32_t row : inputs) program_.inputs.push_back(shape(row));
    for (const std::int32_t row : outputs) program_.outputs.push_back(shape(row));
    for (int row = 0; row < static_cast<int>(net_.rows.size()); ++row) {
      if (!plan_.emitted[row]) continue;
      const Op op = net_.rows[row].op;
      if (op == Op::kConcat) {
        concat(row);
      } else if (op == Op::kAdd) {
        sum(row);
      } else {
        single(row);
      }
    }
    for (const int k : plan_.copied) {
      const int row = plan_.source[outputs[k]];
      copy(row, {kNone, k, kNone, 0, shape(row).channels}, false);
    }
    allocate();
    return std::move(program_);
  }

 private:
  Shape shape(int row) const { return net_.rows[row].out; }

  int source(int row, int k) const {
    return plan_.source[net_.inputs[net_.rows[row].first_input + k]];
  }

  // The parts that could not be written there.
  void concat(int row) {
    Place part = plan_.places[row];
    for (int k = 0; k < net_.rows[row].inputs; ++k) {
      const int from = source(row, k);
      if (!(plan_.places[from] == part)) copy(from, part, false);
      part.channel += shape(from).channels;
    }
  }

  // The terms that could not be added there. One that is read twice was not.
  void sum(int row) {
    for (int k = 0; k < net_.rows[row].inputs; ++k) {
      const int from = source(row, k);
      if (!(plan_.places[from] == plan_.places[row])) copy(from, plan_.places[row], begin(row));
    }
  }

  // Whether what `row` writes is added to what others have.
  bool begin(int row) {
    const std::size_t sum = plan_.sums[row] == kNone ? row : plan_.sums[row];
    const bool before = begun_[sum];
    begun_[sum] = true;
    return before;
  }

  void copy(int row, const Place& to, bool accumulate) {
    Instruction next = instruction(Kernel::kCopy, plan_.places[row], shape(row), to, shape(row));
    next.accumulate = accumulate;
    program_.instructions.push_back(next);
  }

  void single(int row) {
    const NetRow& r = net_.rows[row];
    const int from = source(row, 0);
    const Place &given = plan_.places[from], &to = plan_.places[row];
    Instruction next = instruction(kernel_of(r.op), given, shape(from), to, r.out);
    set_window(next, r);
    next.relu = r.op == Op::kConv || r.op == Op::kSepConv || r.op == Op::kFactorizedReduce ||
                r.op == Op::kRelu;
    next.relu_after = r.op == Op::kConvRelu || r.op == Op::kConvValid;
    next.together = r.op == Op::kLayerNorm;
    next.accumulate = begin(row);
    if (!by_batch_ || !has_batch_norm(r.op)) {
      add(next, r.op, row);
      return;
    }
    Place apart = given;  // what the norm reads
    if (r.op != Op::kBatchNorm) {
      apart = {kNone, kNone, plan_.new_buffer(r.out), 0, r.out.channels};
      Instruction raw = next;
      raw.output = kNone;
      raw.to = apart.buffer;
      raw.to_channel = 0;
      raw.to_stride = narrow(apart.stride);
      raw.relu_after = raw.accumulate = 0;
      add(raw, r.op, row);
    }
    Instruction norm = instruction(Kernel::kBatchNorm, apart, r.out, to, r.out);
    norm.relu_after = next.relu_after;
    norm.accumulate = next.accumulate;
    add(norm, Op::kBatchNorm, row);
  }

  // A factorised reduction is two convolutions.
  void add(Instruction next, Op op, int row) {
    std::int32_t channel = 0;
    if (op == Op::kFactorizedReduce) {
      const std::int32_t all = next.out_channels;
      next.out_channels = channel = all / 2;
      add(next, Op::kConv, row);
      next.out_channels = all - channel;
      next.to_channel += channel;
      next.pad_top = next.pad_left = -1;
    }
    const bool copies = next.kernel == Kernel::kCopy && op != Op::kBatchNorm;
    if (!copies && weights_of(next) > 0) {
      const auto number = static_cast<std::int32_t>(program_.instructions.size());
      next.weights = narrow(program_.weights);
      program_.weights += weights_of(next);
      program_.slots.push_back({number, row, channel});
    }
    program_.instructions.push_back(next);
  }

  // `from` and `to` are the numbers of buffers until `allocate` knows where these lie.
  static Instruction instruction(Kernel kernel, const Place& from, Shape in, const Place& to,
                                 Shape out) {
    Instruction next{};
    next.kernel = kernel;
    next.input = from.input;
    next.from = from.buffer;
    next.from_channel = narrow(from.channel);
    next.from_stride = narrow(from.stride);
    next.in_channels = narrow(in.channels);
    next.in_height = narrow(in.height);
    next.in_width = narrow(in.width);
    next.output = to.output;
    next.to = to.buffer;
    next.to_channel = narrow(to.channel);
    next.to_stride = narrow(to.stride);
    next.out_channels = narrow(out.channels);
    next.out_height = narrow(out.height);
    next.out_width = narrow(out.width);
    next.kernel_height = next.kernel_width = next.stride = next.dilation = 1;
    next.weights = kNone;
    return next;
  }

  static void set_window(Instruction& next, const NetRow& r) {
    const bool slides = next.kernel == Kernel::kConv || next.kernel == Kernel::kSepConv ||
                        next.kernel == Kernel::kMaxPool || next.kernel == Kernel::kAvgPool;
    if (r.op == Op::kPad) {
      next.pad_top = (next.out_height - next.in_height) / 2;
      next.pad_left = (next.out_width - next.in_width) / 2;
    }
    if (!slides || r.op == Op::kLinear) return;
    next.kernel_height = r.kernel;
    next.kernel_width = r.kernel_width;
    next.stride = r.stride;
    next.dilation = r.dilation;
    if (r.dilation > 1 && std::int64_t{r.kernel} * r.kernel_width > kMostTaps) {
      throw std::domain_error("a dilated kernel of " + std::to_string(r.kernel) + "x" +
                              std::to_string(r.kernel_width) + " pixels, more than " +
                              std::to_string(kMostTaps));
    }
    if (never_pads(r.op) || r.op == Op::kFactorizedReduce) return;
    next.pad_top = r.kernel % 2 ? r.dilation * (r.kernel / 2) : 0;
    next.pad_left = r.kernel_width % 2 ? r.dilation * (r.kernel_width / 2) : 0;
  }

  // First fit: each buffer as low as those that live at the same time allow.
  void allocate() {
    std::vector<Buffer> buffers;
    for (const std::int64_t size : plan_.buffers) buffers.push_back({size});
    for (std::size_t i = 0; i < program_.instructions.size(); ++i) {
      for (const int number : {program_.instructions[i].from, program_.instructions[i].to}) {
        if (number == kNone) continue;
        Buffer& buffer = buffers[number];
        if (buffer.first == kNone) buffer.first = static_cast<int>(i);
        buffer.last = static_cast<int>(i);
      }
    }
    std::vector<Buffer*> done;
    for (Buffer& buffer : buffers) {
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
      next.from = next.from == kNone ? 0 : narrow(buffers[next.from].at);
      next.to = next.to == kNone ? 0 : narrow(buffers[next.to].at);
    }
  }

  const Net& net_;
  Plan plan_;
  const bool by_batch_;
  std::vector<bool> begun_;  // whether a sum has its first term
  Program program_;
};

}  // namespace

Program compile(const Net& net, const std::vector<std::int32_t>& inputs,
                const std::vector<std::int32_t>& outputs, bool batch_statistics) {
  return Compiler(net, plan(net, inputs, outputs), batch_statistics).run(inputs, outputs);
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
