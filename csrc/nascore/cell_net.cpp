#include "nascore/cell_net.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace nascore {
namespace {

constexpr std::int64_t kAuxiliaryWidths[] = {128, 768};

bool same_size(Shape a, Shape b) { return a.height == b.height && a.width == b.width; }

class Stack {
 public:
  Stack(const Graph& normal, const Graph& reduction, const CellStack& stack)
      : normal_(normal), reduction_(reduction), stack_(stack) {}

  Net run(Shape input, int classes) {
    nascore::append(net_, {Op::kInput}, input, nullptr, 0);
    last_ = window(square(Op::kStem, 3, stack_.stem_stride), stack_.stem_width, 0);
    previous_ = last_;
    for (int i = stack_.stem_cells; i > 0; --i) cell(reduction_, stack_.filters >> i, 2);
    std::int64_t filters = stack_.filters;
    for (int group = 0; group <= stack_.reductions; ++group) {
      if (group > 0) cell(reduction_, filters *= 2, 2);
      for (int i = 0; i < stack_.normal; ++i) cell(normal_, filters, 1);
      if (stack_.auxiliary && group == stack_.reductions - 1) auxiliary(classes);
    }
    classifier(append({Op::kRelu}, shape(last_), {last_}), classes);
    return read_rows();
  }

 private:
  Shape shape(int row) const { return net_.rows[row].out; }

  int append(const Step& step, Shape out, const std::vector<std::int32_t>& inputs) {
    return nascore::append(net_, step, out, inputs.data(), static_cast<int>(inputs.size()));
  }

  int window(const Step& step, std::int64_t channels, std::int32_t from) {
    return append(step, windowed(shape(from), step, channels), {from});
  }

  void classifier(int from, int classes) {
    const int pooled = append({Op::kGlobalPool}, {shape(from).channels, 1, 1}, {from});
    heads_.push_back(append({Op::kLinear}, {classes, 1, 1}, {pooled}));
  }

  // The network without what leads to no head: a cell need not read the one before it.
  Net read_rows() const {
    std::vector<std::int32_t> number(net_.rows.size(), -1);  // first 0 where read, then the new one
    number[0] = 0;
    for (const int head : heads_) number[head] = 0;
    for (std::size_t i = net_.rows.size(); i-- > 0;) {
      if (number[i] < 0) continue;
      for (const std::int32_t input : inputs(i)) number[input] = 0;
    }
    Net out;
    for (std::size_t i = 0; i < net_.rows.size(); ++i) {
      if (number[i] < 0) continue;
      NetRow row = net_.rows[i];
      number[i] = static_cast<std::int32_t>(out.rows.size());
      row.first_input = static_cast<std::int32_t>(out.inputs.size());
      for (const std::int32_t input : inputs(i)) out.inputs.push_back(number[input]);
      out.rows.push_back(row);
    }
    for (const std::int32_t seam : net_.seams) {
      if (number[seam] >= 0) out.seams.push_back(number[seam]);
    }
    return out;
  }

  std::vector<std::int32_t> inputs(std::size_t row) const {
    const auto first = net_.inputs.begin() + net_.rows[row].first_input;
    return {first, first + net_.rows[row].inputs};
  }

  // As in the released code: 5x5 average pooling at stride 3, 128 channels, and 768 from the whole
  // map. A smaller map is pooled whole.
  void auxiliary(int classes) {
    int row = append({Op::kRelu}, shape(last_), {last_});
    const Shape in = shape(row);
    const int height = static_cast<int>(std::min<std::int64_t>(5, in.height));
    const int width = static_cast<int>(std::min<std::int64_t>(5, in.width));
    row = append({Op::kAvgPoolValid, height, width, 3},
                 {in.channels, (in.height - height) / 3 + 1, (in.width - width) / 3 + 1}, {row});
    const Shape map = shape(row);
    row = append(square(Op::kConvValid, 1), {kAuxiliaryWidths[0], map.height, map.width}, {row});
    row = append({Op::kConvValid, static_cast<int>(map.height), static_cast<int>(map.width)},
                 {kAuxiliaryWidths[1], 1, 1}, {row});
    classifier(row, classes);
  }

  // Writes the rows of the next cell.
  void cell(const Graph& graph, std::int64_t filters, int stride) {
    ++cells_;
    const auto order = topological_order(graph);
    std::array<std::int32_t, Graph::kMaxNodes> row_of;
    int output = -1;
    for (int i = 0; i < graph.nodes; ++i) {
      const int index = order[i];
      const Node& node = graph.node[index];
      std::vector<std::int32_t> from;
      bool is_read = false;
      for (int e = 0; e < graph.edges; ++e) {
        if (graph.edge[e].to == index) from.push_back(row_of[graph.edge[e].from]);
        is_read = is_read || graph.edge[e].from == index;
      }
      if (node.op == Op::kInput) {
        if (is_read) row_of[index] = node.kernel == 0 ? here(filters) : before(filters);
      } else if (node.op == Op::kOutput) {
        output = gather(std::move(from), filters, stride);
      } else {
        row_of[index] = operation(node, filters, from);
      }
    }
    previous_ = last_;
    last_ = output;
    net_.seams.push_back(output);
  }

  int project(std::int64_t filters, int from, int stride = 1) {
    return window(square(Op::kConv, 1, stride), filters, from);
  }

  int reduce(std::int64_t filters, int from) {
    return window(square(Op::kFactorizedReduce, 1, 2), filters, from);
  }

  int here(std::int64_t filters) { return project(filters, last_); }

  int before(std::int64_t filters) {
    if (!same_size(shape(previous_), shape(last_))) return reduce(filters, previous_);
    return shape(previous_).channels == filters ? previous_ : project(filters, previous_);
  }

  // What goes out. An input among it is as large as the cell's own states only at stride 1.
  int gather(std::vector<std::int32_t> from, std::int64_t filters, int stride) {
    const Shape size = windowed(shape(last_), square(Op::kIdentity, 1, stride), filters);
    for (std::int32_t& row : from) {
      if (!same_size(shape(row), size)) row = reduce(filters, row);
    }
    if (from.size() == 1) return from[0];
    return append({Op::kConcat},
                  {filters * static_cast<std::int64_t>(from.size()), size.height, size.width},
                  from);
  }

  int operation(const Node& node, std::int64_t filters, const std::vector<std::int32_t>& from) {
    const Step step = square(node.op, node.kernel, node.stride, node.dilation);
    const Step again = square(node.op, node.kernel, 1, node.dilation);
    switch (node.op) {
      case Op::kIdentity:
        return project(filters, from.at(0), node.stride);
      case Op::kConv:
      case Op::kMaxPool:
      case Op::kAvgPool:
        return drop_path(window(step, filters, from.at(0)));
      case Op::kSepConv:
        return drop_path(window(again, filters, window(step, filters, from.at(0))));
      case Op::kConvPair: {
        const int wide = window({Op::kConv, 1, node.kernel, node.stride}, filters, from.at(0));
        return drop_path(window({Op::kConv, node.kernel, 1}, filters, wide));
      }
      case Op::kAdd:
      case Op::kLayerNorm:
      case Op::kInstanceNorm:
        return append({node.op}, shape(from.at(0)), from);
      case Op::kConcat: {
        Shape wide = shape(from.at(0));
        wide.channels *= static_cast<std::int64_t>(from.size());
        return project(filters, append({Op::kConcat}, wide, from));
      }
      default:
        throw std::invalid_argument(std::string(info(node.op).name) + " has no place in a cell");
    }
  }

  int drop_path(int from) {
    const int all = stack_.stem_cells + stack_.reductions + (stack_.reductions + 1) * stack_.normal;
    return append({Op::kDropPath, cells_, cells_, all}, shape(from), {from});
  }

  const Graph& normal_;
  const Graph& reduction_;
  const CellStack& stack_;
  Net net_;
  std::vector<int> heads_;       // rows of logits
  int last_ = 0, previous_ = 0;  // rows: what the last cell gave, and the one before it
  int cells_ = 0;                // begun
};

void require_cell(const Graph& graph) {
  const auto inputs = std::count_if(graph.node.begin(), graph.node.begin() + graph.nodes,
                                    [](const Node& node) { return node.op == Op::kInput; });
  if (inputs == 2) return;
  throw std::invalid_argument("a cell has two inputs, this graph " + std::to_string(inputs));
}

}  // namespace

void validate(const CellStack& stack) {
  require_extent("filters", stack.filters);
  require_extent("stem_width", stack.stem_width);
  require_extent("stem_stride", stack.stem_stride);
  require(0 <= stack.stem_cells && stack.stem_cells <= 8, "stem_cells", stack.stem_cells, "0 to 8");
  require(0 <= stack.reductions && stack.reductions <= 16, "reductions", stack.reductions,
          "0 to 16");
  const int most = kMaxBlocks / (stack.reductions + 1);
  require(
      1 <= stack.normal && stack.normal <= most, "normal", stack.normal,
      "1 to " + std::to_string(most) + " with " + std::to_string(stack.reductions) + " reductions");
  const std::int64_t unit = std::int64_t{1} << stack.stem_cells;
  require(stack.filters % unit == 0 && stack.filters >= 2 * unit, "filters", stack.filters,
          "a multiple of " + std::to_string(unit) + ", at least " + std::to_string(2 * unit) +
              ", with " + std::to_string(stack.stem_cells) + " stem_cells");
  require(!stack.auxiliary || stack.reductions > 0, "reductions", stack.reductions,
          "1 or more with an auxiliary head, which stands before the last");
}

Net expand(const Graph& normal, const Graph& reduction, const CellStack& stack, Shape input,
           int classes) {
  validate(stack);
  validate(input, classes);
  require_cell(normal);
  require_cell(reduction);
  return Stack(normal, reduction, stack).run(input, classes);
}

}  // namespace nascore
