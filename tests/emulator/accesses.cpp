#include "accesses.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <string>

#include "device.hpp"
#include "emulator.hpp"
#include "fibers.hpp"

namespace emulator {
namespace {

bool instrumented = false;
std::map<std::uintptr_t, std::size_t> memories;  // bytes by their begin
std::uintptr_t dynamic = 0;                      // one of them that is shared memory
Conflicts of_threads, of_blocks;
int block_now = 0, thread_now = -1, steps_now = 0;

// Which calls a thread is in, as one number each, so that a helper's access is told apart by
// caller.
std::array<std::vector<std::uint64_t>, kMaxThreads> calls;

std::uint64_t mixed(std::uint64_t path, const void* code) {
  return (path ^ reinterpret_cast<std::uintptr_t>(code)) * 0x9E3779B97F4A7C15u;
}

// What belongs to no memory is a local variable or an argument.
Space space_of(std::uintptr_t address, std::size_t size, const void* code) {
  const void* pointer = reinterpret_cast<const void*>(address);
  if (Fiber::owns(pointer)) return Space::kOutside;
  if (in_static_shared(pointer, size)) return Space::kShared;
  const auto next = memories.upper_bound(address + kGuard);
  if (next == memories.begin()) return Space::kOutside;
  const auto [begin, bytes] = *std::prev(next);
  if (address >= begin + bytes + kGuard) return Space::kOutside;
  const bool shared = begin == dynamic;
  if (address < begin || address + size > begin + bytes) {
    add_problem("access outside of " + std::string(shared ? "dynamic shared" : "device") +
                " memory at " + line_of(code));
    return Space::kOutside;
  }
  return shared ? Space::kShared : Space::kGlobal;
}

void add_race(const char* who, const void* one, const void* other) {
  add_problem("race between two " + std::string(who) + ", at " + line_of(std::min(one, other)) +
              " and " + line_of(std::max(one, other)));
}

}  // namespace

bool sees_accesses() { return instrumented; }

void add_memory(const void* memory, std::size_t bytes) {
  memories[reinterpret_cast<std::uintptr_t>(memory)] = bytes;
}

void remove_memory(const void* memory) { memories.erase(reinterpret_cast<std::uintptr_t>(memory)); }

void see_launch() { of_blocks.clear(); }

void see_block(int block, const void* dynamic_shared) {
  of_threads.clear();
  end_requests();
  block_now = block;
  dynamic = reinterpret_cast<std::uintptr_t>(dynamic_shared);
  for (auto& path : calls) path.clear();
}

void see_thread(int thread, int warp_steps) {
  thread_now = thread;
  steps_now = warp_steps;
}

void see_barrier() {
  of_threads.clear();
  end_requests();
}

void see_access(const void* pointer, std::size_t size, Access access, const void* code) {
  if (!instrumented || thread_now < 0) return;
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  const Space space = space_of(address, size, code);
  if (space == Space::kOutside) return;
  const Conflicts::Toucher thread{thread_now, thread_now / kWarp, steps_now, access, 0, code};
  if (const void* other = of_threads.add(address, size, thread)) {
    add_race("threads of a block", other, code);
  }
  if (space == Space::kGlobal) {
    const Conflicts::Toucher block{block_now, -1, 0, access, 0, code};
    if (const void* other = of_blocks.add(address, size, block)) add_race("blocks", other, code);
  }
  if (access != Access::kAtomic) {
    const auto& path = calls[static_cast<std::size_t>(thread_now)];
    count_access(thread_now, space, address, size, access == Access::kWrite,
                 mixed(path.empty() ? 0 : path.back(), code));
  }
}

}  // namespace emulator

using emulator::Access;

#define EMULATOR_HOOK(name, size, access)                                     \
  extern "C" void __tsan_##name(void* address) {                              \
    emulator::see_access(address, size, access, __builtin_return_address(0)); \
  }
#define EMULATOR_HOOKS(size)                     \
  EMULATOR_HOOK(read##size, size, Access::kRead) \
  EMULATOR_HOOK(write##size, size, Access::kWrite)
EMULATOR_HOOKS(1)
EMULATOR_HOOKS(2)
EMULATOR_HOOKS(4)
EMULATOR_HOOKS(8)
EMULATOR_HOOKS(16)
EMULATOR_HOOK(unaligned_read2, 2, Access::kRead)
EMULATOR_HOOK(unaligned_read4, 4, Access::kRead)
EMULATOR_HOOK(unaligned_read8, 8, Access::kRead)
EMULATOR_HOOK(unaligned_read16, 16, Access::kRead)
EMULATOR_HOOK(unaligned_write2, 2, Access::kWrite)
EMULATOR_HOOK(unaligned_write4, 4, Access::kWrite)
EMULATOR_HOOK(unaligned_write8, 8, Access::kWrite)
EMULATOR_HOOK(unaligned_write16, 16, Access::kWrite)

extern "C" void __tsan_read_range(void* address, std::size_t size) {
  emulator::see_access(address, size, Access::kRead, __builtin_return_address(0));
}
extern "C" void __tsan_write_range(void* address, std::size_t size) {
  emulator::see_access(address, size, Access::kWrite, __builtin_return_address(0));
}
extern "C" void __tsan_init() { emulator::instrumented = true; }
extern "C" void __tsan_func_entry(void* caller) {
  if (emulator::thread_now < 0) return;
  auto& path = emulator::calls[static_cast<std::size_t>(emulator::thread_now)];
  path.push_back(emulator::mixed(path.empty() ? 0 : path.back(), caller));
}
extern "C" void __tsan_func_exit() {
  if (emulator::thread_now < 0) return;
  auto& path = emulator::calls[static_cast<std::size_t>(emulator::thread_now)];
  if (!path.empty()) path.pop_back();
}
extern "C" void __tsan_vptr_update(void**, void*) {}
extern "C" void __tsan_vptr_read(void**) {}
