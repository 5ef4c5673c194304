#include "nascore/nsc.hpp"

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace nascore::nsc {

namespace {

constexpr int kFields = 5;
constexpr auto kTerminalType = static_cast<std::int16_t>(Op::kTerminal);

bool is_padding(const std::int16_t* row) { return !(row[0] | row[1] | row[2] | row[3] | row[4]); }

// Kernel sizes as bits, so that a row is checked without a loop over the table.
constexpr std::uint32_t kernel_bits(const OpInfo& op) {
  std::uint32_t bits = 0;
  for (const std::uint8_t kernel : op.nsc_kernels) {
    if (kernel) bits |= 1u << kernel;
  }
  return bits ? bits : 1u;
}

struct RowRule {
  std::uint32_t kernels = 0;
  std::uint8_t inputs = 0;
};

constexpr auto kRowRules = [] {
  std::array<RowRule, kTerminalType> rules{};
  for (int type = 1; type < kTerminalType; ++type) {
    rules[type] = {kernel_bits(kOps[type]), kOps[type].nsc_inputs};
  }
  return rules;
}();

Rule check(const std::int16_t* row, int position) {
  const auto [index, type, kernel, pred1, pred2] =
      std::array<int, kFields>{row[0], row[1], row[2], row[3], row[4]};
  if (index != position) return Rule::kIndex;
  if (type < 1 || type > kTerminalType) return Rule::kType;
  if (type == kTerminalType) return kernel | pred1 | pred2 ? Rule::kTerminal : Rule::kNone;
  if (position > kMaxLayers) return Rule::kTooLong;
  const RowRule rule = kRowRules[type];
  if (kernel < 0 || kernel > 31 || !(rule.kernels >> kernel & 1)) return Rule::kKernel;
  if (pred1 < 0 || pred1 >= position) return Rule::kPred1;
  if (rule.inputs == 1) return pred2 ? Rule::kPred2Unused : Rule::kNone;
  if (pred2 < 0 || pred2 >= position) return Rule::kPred2;
  return pred1 == pred2 ? Rule::kSamePreds : Rule::kNone;
}

std::string kernels_allowed(const OpInfo& op) {
  std::string text;
  for (std::size_t i = 0; i < op.nsc_kernels.size() && op.nsc_kernels[i]; ++i) {
    const bool last = i + 1 == op.nsc_kernels.size() || !op.nsc_kernels[i + 1];
    text += (i == 0 ? "" : last ? " or " : ", ") + std::to_string(op.nsc_kernels[i]);
  }
  return text.empty() ? "0" : text;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::vector<Row> code() {
    std::vector<Row> rows;
    expect("[(");
    while (!accept("])")) {
      if (!rows.empty()) expect(",");
      rows.push_back(row());
    }
    peek();
    if (at_ < text_.size()) fail("the end of the code");
    return rows;
  }

 private:
  Row row() {
    Row row;
    expect("([");
    for (int i = 0; i < kFields; ++i) {
      if (i) expect(",");
      row[i] = number();
    }
    expect(")]");
    return row;
  }

  std::int16_t number() {
    peek();
    std::int16_t value = 0;
    const auto [end, error] =
        std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc{}) fail("a 16-bit integer");
    at_ = static_cast<std::size_t>(end - text_.data());
    return value;
  }

  char peek() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool accept(std::string_view any_of) {
    const char c = peek();
    if (!c || any_of.find(c) == any_of.npos) return false;
    ++at_;
    return true;
  }

  void expect(std::string_view any_of) {
    if (!accept(any_of)) fail(std::string("'") + any_of[0] + "'");
  }

  [[noreturn]] void fail(const std::string& wanted) const {
    std::size_t end = std::min(at_ + 12, text_.size());
    // Python refuses a message that ends within a UTF-8 character.
    while (end < text_.size() && (text_[end] & 0xC0) == 0x80) ++end;
    throw std::invalid_argument(
        "block code, position " + std::to_string(at_ + 1) + ": expected " + wanted + ", got " +
        (at_ < end ? "'" + std::string(text_.substr(at_, end - at_)) + "'" : "the end") +
        "; a code looks like [(1,4,0,0,0),(2,7,0,0,0)]");
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

Problem validate(const std::int16_t* rows, int slots) {
  bool ended = false;
  for (int i = 0; i < slots; ++i, rows += kFields) {
    if (is_padding(rows)) {
      ended = true;
      continue;
    }
    if (ended) return {i + 1, Rule::kAfterEnd};
    if (const Rule rule = check(rows, i + 1); rule != Rule::kNone) return {i + 1, rule};
    ended = rows[1] == kTerminalType;
  }
  return {};
}

std::string message(const std::int16_t* rows, Problem problem) {
  if (problem.rule == Rule::kNone) return "";
  const std::int16_t* row = rows + kFields * (problem.row - 1);
  const std::string at = std::to_string(problem.row);
  const auto field = [&](const char* name, int i) { return name + std::to_string(row[i]); };
  const auto of = [&] { return std::string(" of ") + info(static_cast<Op>(row[1])).name; };
  const auto predecessor = [&](const char* name, int i) {
    return field(name, i) +
           (row[i] < 0 ? " must not be negative" : " must be below its own index " + at);
  };
  const std::string what = [&]() -> std::string {
    switch (problem.rule) {
      case Rule::kNone:
        return "";
      case Rule::kIndex:
        return field("index=", 0) + " must be its position " + at;
      case Rule::kType:
        return field("type=", 1) + " must be from 1 to " + std::to_string(kTerminalType);
      case Rule::kKernel:
        return field("kernel=", 2) + of() + " must be " +
               kernels_allowed(info(static_cast<Op>(row[1])));
      case Rule::kPred1:
        return predecessor("pred1=", 3);
      case Rule::kPred2:
        return predecessor("pred2=", 4);
      case Rule::kPred2Unused:
        return field("pred2=", 4) + of() + " must be 0, it has one predecessor";
      case Rule::kSamePreds:
        return field("pred1=", 3) + " and " + field("pred2=", 4) + of() + " must differ";
      case Rule::kTerminal:
        return "a terminal row holds zeros after its type";
      case Rule::kAfterEnd:
        return "nothing may follow the end of the code";
      case Rule::kTooLong:
        return "a code has at most " + std::to_string(kMaxLayers) + " layers";
    }
    return "";
  }();
  return "row " + at + ": " + what;
}

int layers(const std::int16_t* rows, int slots) {
  int count = 0;
  while (count < slots && !is_padding(rows + kFields * count) &&
         rows[kFields * count + 1] != kTerminalType) {
    ++count;
  }
  return count;
}

Graph to_graph(const std::int16_t* rows, int slots) {
  const int count = layers(rows, slots);
  Graph graph;
  graph.add_node({Op::kInput});
  std::uint64_t read = count ? 1 : 0;
  for (int i = 1; i <= count; ++i, rows += kFields) {
    const auto op = static_cast<Op>(rows[1]);
    graph.add_node({op, static_cast<std::uint8_t>(rows[2])});
    for (int input = 0; input < info(op).nsc_inputs; ++input) {
      graph.add_edge(rows[3 + input], i);
      read |= std::uint64_t{1} << rows[3 + input];
    }
  }
  const int output = graph.add_node({Op::kOutput});
  for (int i = 0; i < output; ++i) {
    if (!(read >> i & 1)) graph.add_edge(i, output);
  }
  return graph;
}

std::vector<Row> parse(std::string_view text) { return Parser(text).code(); }

std::string print(const std::int16_t* rows, int slots) {
  std::string text = "[";
  for (int i = 0; i < slots && !is_padding(rows); ++i, rows += kFields) {
    text += i ? ",(" : "(";
    for (int field = 0; field < kFields; ++field) {
      text += (field ? "," : "") + std::to_string(rows[field]);
    }
    text += ")";
  }
  return text + "]";
}

}  // namespace nascore::nsc
