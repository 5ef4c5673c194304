// That the emulator does as CUDA's documents say: indices, shuffles, shared memory, meetings of
// threads, limits of launches; and counts traffic rightly in cases that are known by hand.
#include <bitset>
#include <cmath>

#include "../cpp/check.hpp"
#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "emulator.hpp"
#include "samples.hpp"

using emulator::Array;

namespace {

void check_clean() {
  for (const std::string& problem : emulator::problems()) std::cerr << problem << "\n";
  CHECK(emulator::problems().empty());
}

void check_problem(const std::string& part) {
  CHECK(!emulator::problems().empty());
  CHECK(emulator::problems()[0].find(part) != std::string::npos);
  emulator::forget_problems();
}

void test_indices_and_shuffles(int order) {
  emulator::set_order(order);
  Array<int> out(4 * 64 * 9);
  CHECK_EQ(emulator::indices_and_shuffles(out.data(), dim3(2, 2), dim3(8, 4, 2)), cudaSuccess);
  for (int i = 0; i < 4 * 64; ++i) {
    const int t = i % 64, block = i / 64, lane = i % 32;
    const int wanted[] = {t % 8,
                          t / 8 % 4,
                          t / 32,
                          block % 2,
                          block / 2,
                          lane + 3 < 32 ? lane + 3 : lane,
                          lane >= 5 ? lane - 5 : lane,
                          (lane ^ 9) < lane / 8 * 8 + 8 ? lane ^ 9 : lane,
                          lane / 8 * 8 + 2};
    for (int k = 0; k < 9; ++k) CHECK_EQ(out[static_cast<std::size_t>(9 * i + k)], wanted[k]);
  }
}

void test_ballot_and_atomics(int order) {
  emulator::set_order(order);
  std::vector<float> values(32);
  unsigned wanted = 0;
  for (unsigned i = 0; i < 32; ++i) {
    values[i] = i % 5 == 0 ? 1.0f : -1.0f;
    if (i % 5 == 0) wanted |= 1u << i;
  }
  const Array<float> x(values);
  Array<unsigned> ballot(1);
  Array<int> number(std::vector<int>{0});
  CHECK_EQ(emulator::count_positive(x.data(), 32, ballot.data(), number.data()), cudaSuccess);
  CHECK_EQ(ballot[0], wanted);
  CHECK_EQ(number[0], 7);
}

void test_shared_is_nan_at_first() {
  Array<int> out(std::vector<int>{0});
  CHECK_EQ(emulator::nan_at_start(11, out.data()), cudaSuccess);
  CHECK_EQ(out[0], 2 * 2 * 51);  // in each of two threads of two blocks
}

void test_meetings() {
  using emulator::Meeting;
  Array<float> x(std::vector<float>(32, 1.0f));
  for (int order = 0; order < emulator::kOrders; ++order) {
    emulator::set_order(order);
    for (std::size_t i = 0; i < 32; ++i) x[i] = static_cast<float>(i);
    CHECK_EQ(emulator::meet(Meeting::kInWarp, x.data()), cudaSuccess);
    for (std::size_t i = 0; i < 32; ++i) CHECK_EQ(x[i], static_cast<float>(i ^ 3));
  }
  check_clean();
  CHECK_EQ(emulator::meet(Meeting::kLanesApart, x.data()), cudaErrorLaunchFailure);
  check_problem("lanes of a warp in different operations");
  CHECK_EQ(emulator::meet(Meeting::kDeadlock, x.data()), cudaErrorLaunchFailure);
  check_problem("deadlock");
  CHECK_EQ(emulator::meet(Meeting::kForeignLane, x.data()), cudaErrorLaunchFailure);
  check_problem("reads a lane that it does not name");
  Array<unsigned> ballot(1);
  Array<int> number(std::vector<int>{0});
  CHECK_EQ(emulator::count_positive(x.data(), 20, ballot.data(), number.data()),
           cudaErrorLaunchFailure);
  check_problem("names a lane that");
}

void test_asynchronous_copies() {
  std::vector<float> values(33);
  for (std::size_t i = 0; i < 33; ++i) values[i] = static_cast<float>(i + 1);
  const Array<float> x(values);
  for (const int floats : {1, 2, 4}) {
    for (const int zeros_from : {32, 29, 0}) {
      Array<float> y(32);
      CHECK_EQ(emulator::reverse_later(x.data(), y.data(), floats, zeros_from, true), cudaSuccess);
      for (std::size_t i = 0; i < 32; ++i) {
        const std::size_t from = 31 - i;
        CHECK_EQ(y[i], from < static_cast<std::size_t>(zeros_from) ? values[from] : 0.0f);
      }
      CHECK_EQ(emulator::reverse_later(x.data(), y.data(), floats, zeros_from, false), cudaSuccess);
      for (std::size_t i = 0; i < 32; ++i) CHECK(std::isnan(y[i]));
    }
  }
  check_clean();
  Array<float> y(32);
  static_cast<void>(emulator::reverse_later(x.data() + 1, y.data(), 4, 32, true));
  check_problem("not aligned");
}

void test_beyond_shared() {
  Array<float> out(1);
  static_cast<void>(emulator::leave_shared(out.data()));
#if defined(__SANITIZE_ADDRESS__)
  check_problem("heap-buffer-overflow");
#else
  if (emulator::sees_accesses()) check_problem("outside of dynamic shared memory");
#endif
}

// g++ says nothing of them where a struct is copied freely.
void test_races_for_structs() {
  using emulator::Sharing;
  Array<float> x(32 * 4);
  Array<__half> y(1);
  for (const Sharing how :
       {Sharing::kStoreFour, Sharing::kStoreHalf, Sharing::kPassFour, Sharing::kPassHalf}) {
    CHECK_EQ(emulator::share_structs(how, x.data(), y.data()), cudaSuccess);
    if (!emulator::sees_accesses()) continue;
    CHECK(emulator::problems()[0].find("samples.cu:") != std::string::npos);
    check_problem("race between two threads of a block");
  }
}

void test_limits() {
  Array<float> out(1);
  CHECK_EQ(emulator::with_threads(1, 1024, out.data()), cudaSuccess);
  CHECK_EQ(emulator::with_threads(1, 1025, out.data()), cudaErrorInvalidConfiguration);
  CHECK_EQ(emulator::with_threads(1, dim3(1, 1, 65), out.data()), cudaErrorInvalidConfiguration);
  CHECK_EQ(emulator::with_threads(0, 1, out.data()), cudaErrorInvalidConfiguration);
  CHECK_EQ(emulator::with_threads(dim3(1, 65536), 1, out.data()), cudaErrorInvalidConfiguration);
  CHECK_EQ(emulator::with_static_shared_beyond_limit(out.data()), cudaErrorInvalidValue);
  emulator::forget_problems();  // all threads wrote one float
  for (const auto& [architecture, kilobytes] : {std::pair{80, 163}, std::pair{90, 227}}) {
    emulator::set_device(architecture);
    const std::size_t most = static_cast<std::size_t>(kilobytes) << 10;
    CHECK_EQ(emulator::with_dynamic_shared(48 << 10, false, out.data()), cudaSuccess);
    CHECK_EQ(emulator::with_dynamic_shared((48 << 10) + 4, false, out.data()),
             cudaErrorInvalidValue);
    CHECK_EQ(emulator::with_dynamic_shared(most, true, out.data()), cudaSuccess);
    CHECK_EQ(emulator::with_dynamic_shared(most + 4, true, out.data()), cudaErrorInvalidValue);
  }
}

// Against values that are right by hand, and all 65536 by way of float.
template <class T>
void test_low_precision(float smallest, float largest, float step) {
  CHECK_EQ(static_cast<float>(T(1.0f + step / 2)), 1.0f);  // ties to even
  CHECK_EQ(static_cast<float>(T(1.0f + step * 1.5f)), 1.0f + 2 * step);
  CHECK_EQ(static_cast<float>(T(1.0f + step * 0.51f)), 1.0f + step);
  CHECK_EQ(static_cast<float>(T(-smallest)), -smallest);
  CHECK_EQ(static_cast<float>(T(smallest * 0.5f)), 0.0f);
  CHECK_EQ(static_cast<float>(T(smallest * 1.5f)), 2 * smallest);
  CHECK_EQ(static_cast<float>(T(largest)), largest);
  CHECK_EQ(static_cast<float>(T(largest * (1 + step * 0.49f / 2))), largest);
  CHECK(std::isinf(static_cast<float>(T(largest + largest / 256))));
  CHECK(std::isinf(static_cast<float>(T(-INFINITY))));
  for (int bits = 0; bits < 65536; ++bits) {
    T value;
    value.bits = static_cast<std::uint16_t>(bits);
    const float as_float = value;
    if (std::isnan(as_float)) {
      CHECK(std::isnan(static_cast<float>(T(as_float))));
    } else {
      CHECK_EQ(T(as_float).bits, value.bits);
    }
  }
}

void test_traffic() {
  Array<float> x(std::vector<float>(32 * 33, 1.0f)), y(32 * 33);
  const auto after = [](cudaError_t error) {
    CHECK_EQ(error, cudaSuccess);
    const emulator::Traffic traffic = emulator::traffic();
    emulator::reset_traffic();
    return traffic;
  };
  emulator::reset_traffic();
  emulator::Traffic seen = after(emulator::copy(x.data(), y.data(), 1));
  CHECK_EQ(seen.loads.requests, 1);
  CHECK_EQ(seen.loads.sectors, 4);
  CHECK_EQ(seen.loads.fewest, 4);
  CHECK_EQ(seen.stores.sectors, 4);
  CHECK_EQ(after(emulator::copy(x.data() + 1, y.data(), 1)).loads.sectors, 5);
  CHECK_EQ(after(emulator::copy(x.data(), y.data(), 2)).loads.sectors, 8);
  CHECK_EQ(after(emulator::copy(x.data(), y.data(), 32)).stores.sectors, 32);
  seen = after(emulator::copy4(x.data(), y.data()));
  CHECK_EQ(seen.loads.requests, 1);
  CHECK_EQ(seen.loads.sectors, 16);
  CHECK_EQ(seen.stores.sectors, 16);
  for (const auto& [stride, conflicts] : {std::pair{1, 0}, {2, 1}, {3, 0}, {32, 31}, {33, 0}}) {
    seen = after(emulator::through_shared(x.data(), stride));
    CHECK_EQ(seen.shared.passes, 2);
    CHECK_EQ(seen.shared.conflicts, 2 * conflicts);
  }
  seen = after(emulator::through_shared4(x.data()));
  CHECK_EQ(seen.shared.passes, 8);
  CHECK_EQ(seen.shared.conflicts, 0);
}

}  // namespace

int main() {
  test_low_precision<__half>(0x1p-24f, 65504.0f, 0x1p-10f);
  test_low_precision<__nv_bfloat16>(0x1p-133f, 0x1.FEp127f, 0x1p-7f);
  for (int order = 0; order < emulator::kOrders; ++order) {
    test_indices_and_shuffles(order);
    test_ballot_and_atomics(order);
  }
  test_shared_is_nan_at_first();
  Array<bool> bytes(64);
  CHECK_EQ(emulator::write_bytes(bytes.data()), cudaSuccess);
  if (emulator::sees_accesses()) test_traffic();
  check_clean();
  test_meetings();
  test_asynchronous_copies();
  test_beyond_shared();
  test_races_for_structs();
  test_limits();
}
