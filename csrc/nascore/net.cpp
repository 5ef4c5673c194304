#include "nascore/net.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace nascore {
namespace {

std::int64_t plus(std::int64_t a, std::int64_t b) {
  std::int64_t sum;
  if (__builtin_add_overflow(a, b, &sum))
    throw std::domain_error("the network's cost passes 64 bits");
  return sum;
}

std::int64_t times(std::int64_t a, std::int64_t b) {
  std::int64_t product;
  if (__builtin_mul_overflow(a, b, &product)) {
    throw std::domain_error("the network's cost passes 64 bits");
  }
  return product;
}

// The weights of a row: those that each pixel of its output is multiplied by, and the others.
struct Weights {
  std::int64_t multiplied, others;
};

Weights weights_of(const Net& net, const NetRow& row) {
  const Cost kind = info(row.op).cost;
  if (kind == Cost::kFree) return {0, 0};
  const std::int64_t out = row.out.channels;
  const std::int64_t in = net.rows[net.inputs[row.first_input]].out.channels / row.groups;
  const std::int64_t taps = std::int64_t{row.kernel} * row.kernel_width;
  switch (kind) {
    case Cost::kLinear:
      return {in * out, out};
    case Cost::kConvBias:
      return {in * out * taps, out};
    case Cost::kConvPlain:
      return {in * out * taps, 0};
    case Cost::kSeparable:
      return {in * taps + in * out, 2 * out};
    case Cost::kNorm:
      return {0, 2 * out};
    default:
      return {in * out * taps, 2 * out};  // batch norm's scale and shift
  }
}

class Writer {
 public:
  Writer(const Graph& graph, const Skeleton& skeleton, Shape input)
      : graph_(graph), order_(topological_order(graph)), skeleton_(skeleton), input_(input) {}

  Net run(int classes) {
    append({Op::kInput}, input_, nullptr, 0);
    int last = window(square(Op::kStem, 3, skeleton_.stem_stride), skeleton_.stem_width, 0);
    if (skeleton_.stem_pool) last = pool(3, last);
    for (std::size_t group = 0; group < skeleton_.widths.size(); ++group) {
      if (group > 0) last = pool(2, last);
      for (int i = 0; i < skeleton_.blocks; ++i) {
        last = block(skeleton_.widths[group], last);
        net_.seams.push_back(last);
      }
    }
    const Shape features = shape(last);
    last = append({Op::kRelu}, features, &last, 1);
    last = append({Op::kGlobalPool}, {features.channels, 1, 1}, &last, 1);
    append({Op::kLinear}, {classes, 1, 1}, &last, 1);
    return std::move(net_);
  }

 private:
  Shape shape(int row) const { return net_.rows[row].out; }

  int append(const Step& step, Shape out, const std::int32_t* inputs, int count) {
    return nascore::append(net_, step, out, inputs, count);
  }

  int window(const Step& step, std::int64_t channels, std::int32_t from) {
    const Shape out = windowed(shape(from), step, channels);
    if (out.height == 0 || out.width == 0) {
      throw std::invalid_argument(
          "an image of " + text(input_) + " is too small for " +
          std::to_string(skeleton_.widths.size()) +
          " groups: a pooling leaves no pixels; use fewer widths or larger images");
    }
    return append(step, out, &from, 1);
  }

  int pool(int kernel, std::int32_t from) {
    return window(square(Op::kMaxPool, kernel, 2), shape(from).channels, from);
  }

  // Writes the rows of one block and returns the row of its output.
  int block(std::int64_t width, std::int32_t input) {
    std::array<std::int32_t, Graph::kMaxNodes> row_of;
    int output = input;
    for (int i = 0; i < graph_.nodes; ++i) {
      const int index = order_[i];
      const Node& node = graph_.node[index];
      std::array<std::int32_t, Graph::kMaxEdges> from;
      int count = 0;
      for (int e = 0; e < graph_.edges; ++e) {
        if (graph_.edge[e].to == index) from[count++] = row_of[graph_.edge[e].from];
      }
      row_of[index] = layer(node, index, width, input, from.data(), count);
      if (node.op == Op::kOutput) output = row_of[index];
    }
    return output;
  }

  int layer(const Node& node, int index, std::int64_t width, std::int32_t input, std::int32_t* from,
            int count) {
    if (node.op == Op::kInput) return input;
    if (count == 0) throw std::invalid_argument(name(node, index) + " reads nothing");
    Step step = square(node.op, node.kernel, node.stride, node.dilation);
    switch (node.op) {
      case Op::kConv:
        require_window(node, index);
        if (skeleton_.depthwise && node.kernel > 1) step.op = Op::kSepConv;
        return window(step, width, from[0]);
      case Op::kMaxPool:
      case Op::kAvgPool:
        require_window(node, index);
        return window(step, shape(from[0]).channels, from[0]);
      case Op::kSepConv: {
        require_window(node, index);
        const int first = window(step, width, from[0]);
        return window(square(node.op, node.kernel, 1, node.dilation), width, first);
      }
      case Op::kIdentity:
        return append(step, shape(from[0]), from, count);
      case Op::kAdd:
        return add(step, index, width, from, count);
      case Op::kConcat:
        return concat(step, index, from, count);
      case Op::kOutput:
        return count == 1 ? from[0] : concat({Op::kConcat}, index, from, count);
      default:
        throw std::invalid_argument(name(node, index) + " has no place in a block");
    }
  }

  static std::string name(const Node& node, int index) {
    return "node " + std::to_string(index) + ", " + info(node.op).name + ",";
  }

  static void require_window(const Node& node, int index) {
    if (node.kernel > 0 && node.stride > 0 && node.dilation > 0) return;
    throw std::invalid_argument(name(node, index) +
                                " needs a kernel, stride and dilation of at least 1");
  }

  // The spatial size that all inputs of a node share.
  Shape common(int index, const std::int32_t* from, int count) const {
    const Shape first = shape(from[0]);
    for (int i = 1; i < count; ++i) {
      const Shape other = shape(from[i]);
      if (other.height != first.height || other.width != first.width) {
        throw std::invalid_argument("node " + std::to_string(index) + ": its inputs are " +
                                    text(first) + " and " + text(other) +
                                    "; height and width must agree");
      }
    }
    return first;
  }

  int add(Step step, int index, std::int64_t width, std::int32_t* from, int count) {
    Shape out = common(index, from, count);
    const bool equal = std::all_of(
        from, from + count, [&](std::int32_t row) { return shape(row).channels == out.channels; });
    if (!equal) {
      out.channels = width;
      for (int i = 0; i < count; ++i) {
        const std::int32_t thin = from[i];
        if (shape(thin).channels == width) continue;
        // One projection serves every edge from the same row.
        std::replace(from + i, from + count, thin, window(square(Op::kConv, 1), width, thin));
      }
    }
    return append(step, out, from, count);
  }

  int concat(Step step, int index, const std::int32_t* from, int count) {
    Shape out = common(index, from, count);
    out.channels = 0;
    for (int i = 0; i < count; ++i) out.channels += shape(from[i]).channels;
    return append(step, out, from, count);
  }

  const Graph& graph_;
  const std::array<std::uint8_t, Graph::kMaxNodes> order_;
  const Skeleton& skeleton_;
  const Shape input_;
  Net net_;
};

}  // namespace

void require(bool holds, const char* field, std::int64_t value, const std::string& rule) {
  if (holds) return;
  throw std::invalid_argument(std::string(field) + "=" + std::to_string(value) + " must be " +
                              rule);
}

void require_extent(const char* field, std::int64_t value) {
  require(1 <= value && value <= kMaxExtent, field, value, "1 to " + std::to_string(kMaxExtent));
}

std::string text(Shape s) {
  return std::to_string(s.channels) + "x" + std::to_string(s.height) + "x" +
         std::to_string(s.width);
}

void validate(const Skeleton& skeleton) {
  require_extent("stem_width", skeleton.stem_width);
  require_extent("stem_stride", skeleton.stem_stride);
  const auto groups = static_cast<std::int64_t>(skeleton.widths.size());
  require(1 <= groups && groups <= kMaxBlocks, "len(widths)", groups,
          "1 to " + std::to_string(kMaxBlocks));
  for (const std::int64_t width : skeleton.widths) require_extent("a width", width);
  const std::int64_t most = kMaxBlocks / groups;
  require(1 <= skeleton.blocks && skeleton.blocks <= most, "blocks", skeleton.blocks,
          "1 to " + std::to_string(most) + " with " + std::to_string(groups) + " groups");
}

void validate(Shape input, int classes) {
  require_extent("channels", input.channels);
  require_extent("height", input.height);
  require_extent("width", input.width);
  require_extent("classes", classes);
}

Shape windowed(Shape in, const Step& step, std::int64_t channels) {
  const auto side = [&](std::int64_t length, int kernel) {
    const int reach = step.dilation * (kernel - 1);
    const int padding = kernel % 2 == 1 ? reach : 0;  // both sides together
    const std::int64_t room = length + padding - reach - 1;
    return room < 0 ? 0 : room / step.stride + 1;
  };
  return {channels, side(in.height, step.kernel), side(in.width, step.kernel_width)};
}

int append(Net& net, const Step& step, Shape out, const std::int32_t* inputs, int count) {
  if (std::max({out.channels, out.height, out.width}) > kMaxExtent) {
    throw std::domain_error("row " + std::to_string(net.rows.size()) + " would be " + text(out) +
                            "; no side may pass " + std::to_string(kMaxExtent));
  }
  net.rows.push_back({step.op, step.kernel, step.kernel_width, step.stride, step.dilation, 1, out,
                      static_cast<std::int32_t>(net.inputs.size()), count});
  net.inputs.insert(net.inputs.end(), inputs, inputs + count);
  return static_cast<int>(net.rows.size()) - 1;
}

Net expand(const Graph& graph, const Skeleton& skeleton, Shape input, int classes) {
  validate(skeleton);
  validate(input, classes);
  const auto inputs = std::count_if(graph.node.begin(), graph.node.begin() + graph.nodes,
                                    [](const Node& node) { return node.op == Op::kInput; });
  if (inputs != 1) {
    throw std::invalid_argument("a block has one input, this graph " + std::to_string(inputs));
  }
  return Writer(graph, skeleton, input).run(classes);
}

void flatten_to_signal(Net& net) {
  for (NetRow& row : net.rows) {
    row.out.height = 1;
    // a dropout's kernel is a probability
    if (row.kernel > 0 && row.op != Op::kDropout && row.op != Op::kDropPath) row.kernel = 1;
  }
  net.signal = true;
  repair(net);
}

namespace {

// Of the rows that lead to the `ends`.
NetCost cost_to(const Net& net, const std::vector<std::int32_t>& ends) {
  const int rows = static_cast<int>(net.rows.size());
  std::vector<std::int32_t> last_reader(rows, -1);
  for (const std::int32_t end : ends) last_reader[end] = rows;
  for (int i = rows - 1; i >= 0; --i) {
    if (last_reader[i] < 0) continue;  // of an auxiliary head
    const NetRow& row = net.rows[i];
    for (int k = 0; k < row.inputs; ++k) {
      std::int32_t& last = last_reader[net.inputs[row.first_input + k]];
      last = std::max(last, i);
    }
  }
  const auto bytes = [&](int i) {
    const Shape s = net.rows[i].out;
    return times(4, times(s.channels, times(s.height, s.width)));
  };

  NetCost total{0, 0, 0};
  std::int64_t alive = 0;
  for (int i = 0; i < rows; ++i) {
    if (i > 0 && last_reader[i] < 0) continue;
    const NetRow& row = net.rows[i];
    const Weights weights = weights_of(net, row);
    total.params = plus(total.params, weights.multiplied + weights.others);
    total.macs = plus(total.macs, times(weights.multiplied, times(row.out.height, row.out.width)));
    alive = plus(alive, bytes(i));
    total.peak_bytes = std::max(total.peak_bytes, alive);
    for (int k = 0; k < row.inputs; ++k) {
      const std::int32_t input = net.inputs[row.first_input + k];
      if (last_reader[input] != i) continue;
      alive -= bytes(input);
      last_reader[input] = -2;  // an input that is read twice is freed once
    }
  }
  return total;
}

}  // namespace

NetCost cost(const Net& net) {
  std::vector<std::int32_t> ends = net.exits;
  ends.push_back(static_cast<std::int32_t>(net.rows.size()) - 1);
  return cost_to(net, ends);
}

void set_exits(Net& net, std::vector<std::int32_t> rows) {
  const auto last = static_cast<std::int32_t>(net.rows.size()) - 1;
  std::vector<std::pair<std::int64_t, std::int32_t>> order;
  std::vector<bool> unread(net.rows.size(), true);
  for (const std::int32_t input : net.inputs) unread[input] = false;
  for (const std::int32_t row : rows) {
    if (row < 0 || row >= last || !unread[row]) {
      throw std::invalid_argument("row " + std::to_string(row) +
                                  " is no exit: an exit is a row of logits that nobody reads, is "
                                  "there once and is not the last row");
    }
    unread[row] = false;
    order.emplace_back(cost_to(net, {row}).macs, row);
  }
  std::sort(order.begin(), order.end());
  net.exits.clear();
  for (const auto& [macs, row] : order) net.exits.push_back(row);
}

std::vector<std::int64_t> exit_macs(const Net& net) {
  std::vector<std::int64_t> alone;
  for (const std::int32_t row : net.exits) alone.push_back(cost_to(net, {row}).macs);
  std::vector<std::int64_t> out;
  for (const std::int64_t macs : alone) {
    const auto cheap = std::upper_bound(alone.begin(), alone.end(), macs) - alone.begin();
    out.push_back(cost_to(net, {net.exits.begin(), net.exits.begin() + cheap}).macs);
  }
  out.push_back(cost(net).macs);
  return out;
}

}  // namespace nascore
