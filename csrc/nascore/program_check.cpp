#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "nascore/program.hpp"

namespace nascore {
namespace {

constexpr std::int64_t kMostFloats = std::int64_t{1} << 31;  // of an image or a window

class Checker {
 public:
  Checker(const Instruction& instruction, int number) : at_(instruction), number_(number) {}

  // So that no product of them overflows.
  void sizes() const {
    const auto kernel = static_cast<std::int32_t>(at_.kernel);
    require(0 <= kernel && kernel < kKernels, "its kernel is none of 0 to 9");
    for (const std::int32_t size :
         {at_.in_channels, at_.in_height, at_.in_width, at_.from_stride, at_.out_channels,
          at_.out_height, at_.out_width, at_.to_stride}) {
      require(1 <= size && size <= kMaxExtent, "sizes are 1 to ", kMaxExtent);
    }
    for (const std::int32_t size :
         {at_.kernel_height, at_.kernel_width, at_.stride, at_.dilation}) {
      require(1 <= size && size <= kMaxWindow, "kernel, stride and dilation are 1 to ", kMaxWindow);
    }
    require(at_.dilation == 1 || std::int64_t{at_.kernel_height} * at_.kernel_width <= kMostTaps,
            "a dilated kernel has at most ", kMostTaps, " pixels");
    const double high = double(at_.dilation) * (at_.kernel_height - 1) + 1;
    const double wide = double(at_.dilation) * (at_.kernel_width - 1) + 1 +
                        double(at_.stride) * (at_.out_width - 1);
    require(high * wide * at_.in_channels <= kMostFloats, "its window is too large");
  }

  void run(std::int64_t buffers, std::int64_t weights, const std::vector<std::int64_t>& inputs,
           const std::vector<std::int64_t>& outputs) const {
    place("reads", at_.input, inputs, at_.from, at_.from_channel, at_.from_stride,
          {at_.in_channels, at_.in_height, at_.in_width}, buffers);
    place("writes", at_.output, outputs, at_.to, at_.to_channel, at_.to_stride,
          {at_.out_channels, at_.out_height, at_.out_width}, buffers);
    shapes();
    const std::int64_t needed = weights_of(at_);
    const bool may_lack = at_.kernel == Kernel::kCopy && at_.weights == -1;
    require(needed == 0 || may_lack || (at_.weights >= 0 && at_.weights + needed <= weights),
            "its weights lie beyond the ", weights, " that there are");
  }

 private:
  // What is wrong is only worded where something is: this runs before every call of a program.
  template <class... Words>
  void require(bool holds, const Words&... words) const {
    if (holds) return;
    std::ostringstream message;
    message << "program: instruction " << number_ << ": ";
    (message << ... << words);
    throw std::invalid_argument(message.str());
  }

  void place(const char* verb, std::int32_t number, const std::vector<std::int64_t>& sizes,
             std::int64_t at, std::int64_t channel, std::int64_t stride, Shape shape,
             std::int64_t buffers) const {
    require(channel >= 0 && stride >= 1 && channel + shape.channels <= stride, "it ", verb,
            " channels beyond those of a pixel");
    const std::int64_t size = shape.height * shape.width * stride;
    require(size <= kMostFloats, "an image is too large");
    if (number == -1) {
      require(at >= 0 && at + size <= buffers, "it ", verb, " beyond the buffers");
      return;
    }
    require(0 <= number && number < static_cast<std::int64_t>(sizes.size()), "it ", verb,
            " number ", number, " of ", sizes.size());
    const std::int64_t there = sizes[static_cast<std::size_t>(number)];
    require(size == there, "it ", verb, " ", size, " numbers where there are ", there);
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
        require(at_.out_channels == std::int64_t{at_.in_channels} * at_.in_height * at_.in_width,
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
  for (int i = 0; i < count; ++i) Checker(instructions[i], i).sizes();
  const std::int64_t buffers = buffers_of(instructions, count);
  for (int i = 0; i < count; ++i) {
    Checker(instructions[i], i).run(buffers, weights, inputs, outputs);
  }
}

}  // namespace nascore
