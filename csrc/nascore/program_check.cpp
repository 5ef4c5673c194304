#include <algorithm>
#include <stdexcept>
#include <string>

#include "nascore/program.hpp"

namespace nascore {
namespace {

constexpr std::int64_t kMostTaps = 1024;

class Checker {
 public:
  Checker(const Instruction& instruction, int number) : at_(instruction), number_(number) {}

  void run(std::int64_t buffers, std::int64_t weights, const std::vector<std::int64_t>& inputs,
           const std::vector<std::int64_t>& outputs) const {
    const auto kernel = static_cast<std::int32_t>(at_.kernel);
    require(0 <= kernel && kernel < kKernels, "its kernel is none of 0 to 9");
    for (const std::int32_t size :
         {at_.in_channels, at_.in_height, at_.in_width, at_.out_channels, at_.out_height,
          at_.out_width, at_.kernel_height, at_.kernel_width, at_.stride, at_.dilation}) {
      require(1 <= size && size <= kMaxExtent, "sizes, stride and dilation are 1 or more");
    }
    require(std::int64_t{at_.kernel_height} * at_.kernel_width <= kMostTaps,
            "a kernel has at most 1024 pixels");
    place("reads", at_.input, inputs, at_.from, at_.from_channel, at_.from_stride,
          {at_.in_channels, at_.in_height, at_.in_width}, buffers);
    place("writes", at_.output, outputs, at_.to, at_.to_channel, at_.to_stride,
          {at_.out_channels, at_.out_height, at_.out_width}, buffers);
    shapes();
    const std::int64_t needed = weights_of(at_);
    const bool may_lack = at_.kernel == Kernel::kCopy && at_.weights == -1;
    require(needed == 0 || may_lack || (at_.weights >= 0 && at_.weights + needed <= weights),
            "its weights lie beyond the " + std::to_string(weights) + " that there are");
  }

 private:
  void require(bool holds, const std::string& rule) const {
    if (holds) return;
    throw std::invalid_argument("program: instruction " + std::to_string(number_) + ": " + rule);
  }

  void place(const std::string& verb, std::int32_t number, const std::vector<std::int64_t>& sizes,
             std::int64_t at, std::int64_t channel, std::int64_t stride, Shape shape,
             std::int64_t buffers) const {
    require(channel >= 0 && stride >= 1 && channel + shape.channels <= stride,
            "it " + verb + " channels beyond those of a pixel");
    require(shape.height <= kMaxExtent && shape.width <= kMaxExtent, "an image is too large");
    const std::int64_t size = shape.height * shape.width * stride;
    if (number == -1) {
      require(at >= 0 && at + size <= buffers, "it " + verb + " beyond the buffers");
      return;
    }
    require(
        0 <= number && number < static_cast<std::int64_t>(sizes.size()),
        "it " + verb + " number " + std::to_string(number) + " of " + std::to_string(sizes.size()));
    const std::int64_t there = sizes[static_cast<std::size_t>(number)];
    require(size == there, "it " + verb + " " + std::to_string(size) + " numbers where there are " +
                               std::to_string(there));
  }

  void shapes() const {
    const bool same = at_.in_channels == at_.out_channels;
    const bool in_place = at_.in_height == at_.out_height && at_.in_width == at_.out_width;
    switch (at_.kernel) {
      case Kernel::kMaxPool:
      case Kernel::kAvgPool:
        require(same, "pooling keeps the channels");
        require(windows_meet_image(), "a window of pooling has no pixel of the image");
        break;
      case Kernel::kCopy:
      case Kernel::kPad:
        require(same, "a copy keeps the channels");
        break;
      case Kernel::kNorm:
      case Kernel::kBatchNorm:
        require(same && in_place, "a norm keeps the shape");
        break;
      case Kernel::kFlatten:
        require(at_.out_channels == std::int64_t{at_.in_channels} * at_.in_height * at_.in_width &&
                    at_.to_channel == 0,
                "flattening keeps the numbers");
        break;
      case Kernel::kGlobalPool:
        require(same && at_.out_height == 1 && at_.out_width == 1, "an average is one pixel");
        break;
      default:
        break;
    }
  }

  bool windows_meet_image() const {
    const auto meets = [&](std::int64_t out, std::int64_t in, std::int64_t kernel,
                           std::int64_t pad) {
      return pad < kernel && (out - 1) * at_.stride - pad < in;
    };
    return at_.dilation == 1 && at_.pad_top >= 0 && at_.pad_left >= 0 &&
           meets(at_.out_height, at_.in_height, at_.kernel_height, at_.pad_top) &&
           meets(at_.out_width, at_.in_width, at_.kernel_width, at_.pad_left);
  }

  const Instruction& at_;
  const int number_;
};

}  // namespace

std::int64_t buffers_of(const Instruction* instructions, int count) {
  std::int64_t size = 0;
  for (int i = 0; i < count; ++i) {
    const Instruction& at = instructions[i];
    if (at.output >= 0) continue;
    const std::int64_t floats = std::int64_t{at.out_height} * at.out_width * at.to_stride;
    size = std::max(size, at.to + floats);
  }
  return size;
}

void validate(const Instruction* instructions, int count, std::int64_t weights,
              const std::vector<std::int64_t>& inputs, const std::vector<std::int64_t>& outputs) {
  const std::int64_t buffers = buffers_of(instructions, count);
  for (int i = 0; i < count; ++i) {
    Checker(instructions[i], i).run(buffers, weights, inputs, outputs);
  }
}

}  // namespace nascore
