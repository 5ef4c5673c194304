// Programs in one launch beside the CPU's kernels, or, of 16 bits, beside plain steps in double
// precision: each kernel alone at ragged shapes, then networks of random blocks and cells.
#include <limits>

#include "nascore/cell.hpp"
#include "nascore/cell_net.hpp"
#include "nascore/nsc.hpp"
#include "program.hpp"

using namespace emulator;
using nascore::Kernel;

namespace {

template <class T>
Problem<T> single(const Instruction& at, std::size_t samples) {
  const auto image = [](int height, int width, int stride) {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width) *
           static_cast<std::size_t>(stride);
  };
  return Problem<T>({at}, noise(nascore::weights_of(at), 3), samples,
                    {image(at.in_height, at.in_width, at.from_stride)},
                    {image(at.out_height, at.out_width, at.to_stride)});
}

template <class T>
void each_kernel(int seeds) {
  for (int kernel = 0; kernel < nascore::kKernels; ++kernel) {
    if (static_cast<Kernel>(kernel) == Kernel::kBatchNorm) continue;
    for (int seed = 0; seed < seeds; ++seed) {
      Instruction at = nascore::ragged(static_cast<Kernel>(kernel), std::uint64_t(seed));
      single<T>(at, 2).check(true);
      if (at.kernel == Kernel::kFlatten || at.kernel == Kernel::kPad) continue;
      for (const int whole : {4, 8}) {  // quads, and vectors of 16 bits
        if (sizeof(T) == 4 && whole == 8) continue;
        at.from_channel = whole;
        at.from_stride = (at.in_channels + 2 * whole) / whole * whole;
        at.to_channel = 8;
        at.to_stride = (at.out_channels + 8 + whole) / whole * whole;
        single<T>(at, 1).check(true);
      }
    }
  }
}

// What is left of channels after a vector: none of the gap behind them is written.
template <class T>
void each_rest() {
  for (const Kernel kernel :
       {Kernel::kConv, Kernel::kSepConv, Kernel::kAvgPool, Kernel::kCopy, Kernel::kNorm}) {
    const bool window = kernel <= Kernel::kAvgPool;
    for (int rest = 1; rest <= 8; ++rest) {
      Instruction at = nascore::ragged(kernel, std::uint64_t(rest));
      at.in_height = at.in_width = at.out_height = at.out_width = 3;
      at.kernel_height = at.kernel_width = window ? 3 : 1;
      at.pad_top = at.pad_left = window ? 1 : 0;
      at.stride = at.dilation = 1;
      at.from_channel = at.to_channel = 0;
      at.in_channels = at.out_channels = 8 + rest;
      at.from_stride = at.to_stride = 24;
      single<T>(at, 1).check(true);
    }
  }
}

// More pixels than a separable convolution mixes at once, and more channels than there are threads.
template <class T>
void large_ones() {
  Instruction at = nascore::ragged(Kernel::kSepConv, 1);
  at.in_height = at.in_width = at.out_height = at.out_width = 17;
  at.in_channels = at.from_stride = 5;
  at.out_channels = at.to_stride = 9;
  at.from_channel = at.to_channel = 0;
  at.kernel_height = at.kernel_width = 3;
  at.stride = at.dilation = at.pad_top = at.pad_left = 1;
  single<T>(at, 1).check(true);
  at = nascore::ragged(Kernel::kNorm, 1);
  at.in_height = at.in_width = at.out_height = at.out_width = 2;
  at.in_channels = at.out_channels = at.from_stride = at.to_stride = 1030;
  at.from_channel = at.to_channel = 0;
  for (at.together = 0; at.together < 2; ++at.together) single<T>(at, 1).check(true);
}

// Below a bound, of a seed's numbers.
class Below {
 public:
  explicit Below(std::uint64_t seed) : seed_(seed) {}
  std::int16_t operator()(int bound) {
    return static_cast<std::int16_t>(
        nascore::Draw(seed_, 5, draws_++).below(static_cast<std::uint32_t>(bound)));
  }

 private:
  std::uint64_t seed_, draws_ = 0;
};

nascore::Graph random_cell(int blocks, int stride, Below& below) {
  std::vector<std::int16_t> code;
  for (int b = 0; b < blocks; ++b) {
    for (const int bound : {2 + b, 2 + b, 13, 13, 4}) code.push_back(below(bound));
  }
  return nascore::clean(nascore::cell::to_graph(
      code.data(), blocks, nascore::cell::unused(code.data(), blocks), stride));
}

nascore::Net cells_of(std::uint64_t seed, std::int64_t filters, nascore::Shape input) {
  Below below(seed);
  const nascore::Graph normal = random_cell(3, 1, below), reduction = random_cell(3, 2, below);
  return nascore::expand(normal, reduction, {1, filters, filters, 1, 0, 1, false}, input, 10);
}

nascore::Net random_cells(std::uint64_t seed) {
  Below below(seed + 1000);
  return cells_of(seed, 3 + below(6), {3, 5 + below(4), 5 + below(5)});
}

nascore::Net random_block(std::uint64_t seed) {
  Below below(seed);
  std::vector<nascore::nsc::Row> rows;
  for (std::int16_t i = 1; i <= 6;) {
    rows.push_back({i, below(7), below(6), below(i), below(i)});
    if (nascore::nsc::validate(rows[0].data(), i).row == 0) {
      ++i;
    } else {
      rows.pop_back();
    }
  }
  nascore::Skeleton skeleton{6, 1, below(2) == 0, 1, {5, 8}};
  skeleton.depthwise = below(2) == 0;
  return nascore::expand(nascore::clean(nascore::nsc::to_graph(rows[0].data(), 6)), skeleton,
                         {3, 8 + below(4), 8 + below(5)}, 10);
}

template <class T>
void networks(int seeds) {
  for (int seed = 0; seed < seeds; ++seed) {
    set_device(seed % 2 ? 90 : 80);
    for (const bool cells : {false, true}) {
      const auto number = static_cast<std::uint64_t>(seed);
      Problem<T> problem = Problem<T>::of(cells ? random_cells(number) : random_block(number), 2);
      problem.check(true);
      if (seed > 0) continue;
      problem.move_buffers();
      problem.check(false);
    }
  }
  set_device(80);
}

template <class T>
void what_is_not_a_number_stays_so() {
  for (const Kernel kernel : {Kernel::kConv, Kernel::kSepConv, Kernel::kMaxPool, Kernel::kAvgPool,
                              Kernel::kCopy, Kernel::kGlobalPool, Kernel::kNorm}) {
    Instruction at = nascore::ragged(kernel, 2);
    at.relu = at.kernel != Kernel::kNorm;
    at.relu_after = 1;
    Problem<T> problem = single<T>(at, 1);
    problem.input()[static_cast<std::size_t>(at.from_channel)] =
        std::numeric_limits<float>::quiet_NaN();
    problem.check(true);
  }
}

// A concat whose second part is made of its first: what is read and what is written lie in one
// pixel, and in one vector.
template <class T>
void parts_of_one_pixel() {
  Instruction first = nascore::ragged(Kernel::kCopy, 1);
  first.in_channels = first.out_channels = first.from_stride = 7;
  first.in_height = first.out_height = first.in_width = first.out_width = 6;
  first.from_channel = first.to_channel = first.accumulate = 0;
  first.weights = first.output = -1;
  first.to_stride = 16;
  Instruction second = first;
  second.input = -1;
  second.from_stride = 16;
  second.to_channel = 7;
  second.relu_after = 1;
  Instruction all = second;
  all.in_channels = all.out_channels = all.to_stride = 14;
  all.to_channel = all.relu_after = all.output = 0;
  const std::size_t pixels = 36;
  Problem<T>({first, second, all}, {}, 2, {pixels * 7}, {pixels * 14}).check(true);
}

// A grid that is smaller than the samples, and none.
template <class T>
void any_number_of_samples() {
  Instruction at = nascore::ragged(Kernel::kFlatten, 1);
  single<T>(at, 40).check(true);
  single<T>(at, 0).check(true);
}

// What is asked of memory lies close together: no cache is counted.
template <class T>
void requests_are_dense(const char* name) {
  if (!sees_accesses()) return;
  const Problem<T> problem = Problem<T>::of(cells_of(3, 16, {4, 8, 8}), 1);
  reset_traffic();
  problem.run(true);
  const Traffic seen = traffic();
  std::cout << name << ", cells of 16 channels, 8x8: " << seen.loads.sectors
            << " sectors loaded where " << seen.loads.fewest << " are due, " << seen.stores.sectors
            << " stored where " << seen.stores.fewest << "; " << seen.shared.conflicts
            << " bank conflicts in " << seen.shared.passes << " passes\n";
  // Of 16 bits a lane asks for the two halves of a sector of depthwise weights one after the other.
  CHECK(double(seen.loads.sectors) <= (sizeof(T) == 4 ? 1.05 : 1.08) * double(seen.loads.fewest));
  CHECK(double(seen.stores.sectors) <= 1.05 * double(seen.stores.fewest));
  CHECK(double(seen.shared.conflicts) <= 0.2 * double(seen.shared.passes));
}

void what_it_cannot_do_is_told() {
  using namespace nascore::cuda;
  const auto status = [](const Instruction& at) {
    std::size_t floats;
    return cell_workspace<float>(&at, 1, 1, &floats);
  };
  Instruction at = nascore::ragged(Kernel::kBatchNorm, 1);
  CHECK_EQ(status(at), cudaErrorNotSupported);
  CHECK_EQ(cell<float>(&at, {&at, 1, nullptr, 1, {}, {}}, nullptr, 0, kNoStream),
           cudaErrorNotSupported);
  at = nascore::ragged(Kernel::kConv, 1);
  at.stride = 1 << 20;
  at.out_height = 1 << 20;
  CHECK_EQ(status(at), cudaErrorInvalidValue);
  at = nascore::ragged(Kernel::kConv, 1);
  at.weights = 2;
  CHECK_EQ(status(at), cudaErrorInvalidValue);
  at = nascore::ragged(Kernel::kNorm, 1);
  at.in_channels = at.out_channels = at.from_stride = at.to_stride = 6900;
  CHECK_EQ(status(at), cudaSuccess);
  at.in_channels = at.out_channels = at.from_stride = at.to_stride = 7000;
  CHECK_EQ(status(at), cudaErrorInvalidValue);
  at = nascore::ragged(Kernel::kCopy, 1);
  at.output = -1;
  at.to = 1 << 20;
  CHECK_EQ(cell<float>(&at, {&at, 1, nullptr, 1, {}, {}}, nullptr, 7, kNoStream),
           cudaErrorInvalidValue);
  check_clean();
}

template <class T>
void of_type(const char* name, int seeds, int nets) {
  each_kernel<T>(seeds);
  each_rest<T>();
  large_ones<T>();
  networks<T>(nets);
  what_is_not_a_number_stays_so<T>();
  parts_of_one_pixel<T>();
  any_number_of_samples<T>();
  requests_are_dense<T>(name);
}

}  // namespace

int main() {
  const bool slow = sees_accesses();
  of_type<float>("float32", slow ? 5 : 30, slow ? 4 : 12);
  of_type<__half>("float16", slow ? 2 : 10, slow ? 2 : 6);
  of_type<__nv_bfloat16>("bfloat16", slow ? 2 : 10, slow ? 2 : 6);
  what_it_cannot_do_is_told();
}
