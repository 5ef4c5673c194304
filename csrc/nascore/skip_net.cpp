#include "nascore/skip_net.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace nascore {
namespace {

class Writer {
 public:
  explicit Writer(Shape input) { append({Op::kInput}, input, {}); }

  // A convolution of `layer` [4] over `inputs`; returns its row.
  int layer(const std::int16_t* layer, const std::vector<std::int32_t>& inputs) {
    const int from = join(inputs);
    const Step step = {Op::kStem, layer[0], layer[1], layer[2]};
    const int last = append(step, windowed(shape(from), step, layer[3]), {from});
    return append({Op::kRelu}, shape(last), {last});
  }

  Net classify(const std::vector<std::int32_t>& inputs, int classes) {
    int last = join(inputs);
    last = append({Op::kGlobalPool}, {shape(last).channels, 1, 1}, {last});
    append({Op::kLinear}, {classes, 1, 1}, {last});
    return std::move(net_);
  }

 private:
  Shape shape(int row) const { return net_.rows[row].out; }

  int append(const Step& step, Shape out, const std::vector<std::int32_t>& inputs) {
    return nascore::append(net_, step, out, inputs.data(), static_cast<int>(inputs.size()));
  }

  // The inputs side by side; where one is smaller than another, with zeros around it.
  int join(std::vector<std::int32_t> inputs) {
    Shape out = {0, 0, 0};
    for (const std::int32_t row : inputs) {
      const Shape in = shape(row);
      out = {out.channels + in.channels, std::max(out.height, in.height),
             std::max(out.width, in.width)};
    }
    for (std::int32_t& row : inputs) {
      const Shape in = shape(row);
      if (in.height == out.height && in.width == out.width) continue;
      row = append({Op::kPad}, {in.channels, out.height, out.width}, {row});
    }
    return inputs.size() == 1 ? inputs[0] : append({Op::kConcat}, out, inputs);
  }

  Net net_;
};

}  // namespace

Net expand_skips(const std::int16_t* layers, const bool* reads, int count, Shape input,
                 int classes) {
  validate(input, classes);
  if (count == 0) throw std::invalid_argument("the code has no layers");
  Writer writer(input);
  std::vector<std::int32_t> rows;
  std::vector<bool> unread(count, true);
  for (int i = 0; i < count; ++i) {
    const std::int16_t* layer = layers + 4 * i;
    const std::string name = "layer " + std::to_string(i + 1);
    if (std::any_of(layer, layer + 4, [](std::int16_t number) { return number < 1; })) {
      throw std::invalid_argument(name + " has a height, width, stride or channels below 1");
    }
    if (layer[0] % 2 == 0 || layer[1] % 2 == 0) {
      throw std::invalid_argument(name + " has an even height or width; they are odd");
    }
    std::vector<std::int32_t> inputs;
    for (int j = 0; j < count; ++j) {
      if (!reads[count * i + j]) continue;
      if (j >= i) throw std::invalid_argument(name + " reads a layer that is not before it");
      inputs.push_back(rows[j]);
      unread[j] = false;
    }
    if (inputs.empty()) inputs = {0};
    rows.push_back(writer.layer(layer, inputs));
  }
  std::vector<std::int32_t> loose;
  for (int i = 0; i < count; ++i) {
    if (unread[i]) loose.push_back(rows[i]);
  }
  return writer.classify(loose, classes);
}

}  // namespace nascore
