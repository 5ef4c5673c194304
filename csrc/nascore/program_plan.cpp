#include "nascore/program_plan.hpp"

#include <stdexcept>
#include <string>

namespace nascore {
namespace {

bool passes_on(const Net& net, const NetRow& row) {
  switch (row.op) {
    case Op::kIdentity:
    case Op::kDropout:
    case Op::kDropPath:
      return true;
    case Op::kAdd:
    case Op::kConcat:
      return row.inputs == 1;
    case Op::kFlatten: {
      const Shape in = net.rows[net.inputs[row.first_input]].out;
      return in.height == 1 && in.width == 1;
    }
    default:
      return false;
  }
}

// Whether what an operation writes may be added to what is there.
bool can_accumulate(Op op) {
  return op != Op::kConcat && op != Op::kConvRelu && op != Op::kConvValid && op != Op::kPad &&
         op != Op::kFlatten;
}

class Planner {
 public:
  Planner(const Net& net, const std::vector<std::int32_t>& inputs,
          const std::vector<std::int32_t>& outputs)
      : net_(net), needed_(net.rows.size()), readers_(net.rows.size()) {
    for (const auto* list : {&inputs, &outputs}) {
      for (const std::int32_t row : *list) require_row(row);
    }
    plan_.places.resize(net.rows.size());
    plan_.sums.assign(net.rows.size(), kNone);
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      plan_.places[inputs[k]] = {static_cast<int>(k), kNone, kNone, 0, channels(inputs[k])};
    }
    for (int row = 0; row < rows(); ++row) {
      const bool alias = !plan_.places[row].given() && passes_on(net, net.rows[row]);
      plan_.source.push_back(alias ? plan_.source[reads(row)[0]] : row);
    }
    count_readers(outputs);
  }

  Plan run(const std::vector<std::int32_t>& outputs) {
    for (std::size_t k = 0; k < outputs.size(); ++k) {
      const int row = plan_.source[outputs[k]];
      if (plan_.places[row].given() || readers_[row] > 1) {
        plan_.copied.push_back(static_cast<int>(k));
      } else {
        plan_.places[row] = {kNone, static_cast<int>(k), kNone, 0, channels(row)};
      }
    }
    plan_.emitted.assign(net_.rows.size(), false);
    for (int row = rows(); row-- > 0;) {
      if (!needed_[row] || plan_.source[row] != row || plan_.places[row].input != kNone) continue;
      plan_.emitted[row] = true;
      if (!plan_.places[row].given()) {
        plan_.places[row] = {kNone, kNone, plan_.new_buffer(net_.rows[row].out), 0, channels(row)};
      }
      if (net_.rows[row].op == Op::kConcat) place_parts(row);
      if (net_.rows[row].op == Op::kAdd) place_terms(row);
    }
    return std::move(plan_);
  }

 private:
  int rows() const { return static_cast<int>(net_.rows.size()); }
  std::int64_t channels(int row) const { return net_.rows[row].out.channels; }
  std::vector<int> reads(int row) const {
    const auto first = net_.inputs.begin() + net_.rows[row].first_input;
    return {first, first + net_.rows[row].inputs};
  }

  void require_row(std::int32_t row) const {
    if (row >= 0 && row < rows()) return;
    throw std::invalid_argument("row " + std::to_string(row) + " is not one of the net's " +
                                std::to_string(rows()));
  }

  void count_readers(const std::vector<std::int32_t>& outputs) {
    for (const std::int32_t row : outputs) {
      needed_[row] = true;
      ++readers_[plan_.source[row]];
    }
    for (int row = rows(); row-- > 0;) {
      if (!needed_[row] || plan_.places[row].given()) continue;
      if (row == 0) {
        throw std::invalid_argument("the outputs need row 0, the image, beside the inputs");
      }
      for (const int from : reads(row)) {
        needed_[from] = true;
        if (plan_.source[row] == row) ++readers_[plan_.source[from]];
      }
    }
  }

  bool may_move(int row) const { return !plan_.places[row].given() && readers_[row] == 1; }

  void place_parts(int row) {
    Place part = plan_.places[row];
    for (const int from : reads(row)) {
      const int source = plan_.source[from];
      if (may_move(source)) plan_.places[source] = part;
      part.channel += channels(source);
    }
  }

  void place_terms(int row) {
    if (plan_.sums[row] == kNone) plan_.sums[row] = row;
    for (const int from : reads(row)) {
      const int term = plan_.source[from];
      if (!may_move(term) || !can_accumulate(net_.rows[term].op)) continue;
      plan_.places[term] = plan_.places[row];
      plan_.sums[term] = plan_.sums[row];
    }
  }

  const Net& net_;
  std::vector<bool> needed_;
  std::vector<int> readers_;  // of a source
  Plan plan_;
};

}  // namespace

int Plan::new_buffer(Shape shape) {
  buffers.push_back(shape.height * shape.width * shape.channels);
  return static_cast<int>(buffers.size()) - 1;
}

Plan plan(const Net& net, const std::vector<std::int32_t>& inputs,
          const std::vector<std::int32_t>& outputs) {
  return Planner(net, inputs, outputs).run(outputs);
}

}  // namespace nascore
