// Runs the threads of one block, one fiber each, and checks how they meet: all at one barrier, all
// lanes that a shuffle names at that shuffle.
#include <algorithm>
#include <array>
#include <bitset>
#include <cstring>
#include <map>
#include <numeric>
#include <random>
#include <vector>

#include "accesses.hpp"
#include "device.hpp"
#include "fibers.hpp"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulator {
namespace {

enum class State { kReady, kAtBarrier, kAtWarpOp, kExited };

struct Thread {
  Fiber fiber;
  State state = State::kExited;
  Site site;
  WarpOp op = WarpOp::kSync;
  unsigned mask = 0;
  std::uint64_t value = 0, result = 0;
  int source = 0;
};

std::array<Thread, kMaxThreads> threads;
struct Warp {
  unsigned alive = 0, waiting = 0;  // lanes that have not exited; in a warp operation
  int steps = 0;                    // __syncwarp of all that were alive
};
std::array<Warp, kMaxThreads / kWarp> warps;
int count = 0;  // threads of the block
int now = 0;    // the one that runs
bool failed = false;
std::function<void()> kernel;

// Ready threads by rank: the next to run is the first.
std::bitset<kMaxThreads> ready;
std::array<int, kMaxThreads> rank, of_rank;

void rank_threads(int order, std::mt19937& random) {
  const auto end = of_rank.begin() + count;
  std::iota(of_rank.begin(), end, 0);
  if (order == 1) std::reverse(of_rank.begin(), end);
  if (order > 1) std::shuffle(of_rank.begin(), end, random);
  for (int i = 0; i < count; ++i) rank[of_rank[i]] = i;
}

void fail(const std::string& problem) {
  add_problem(problem);
  failed = true;
}

void make_ready(int thread) {
  threads[thread].state = State::kReady;
  ready.set(rank[thread]);
}

std::string name(const Site& site) { return site.file + (":" + std::to_string(site.line)); }

// Where the threads are, for a message.
std::string whereabouts() {
  std::map<std::string, int> groups;
  for (int i = 0; i < count; ++i) {
    const Thread& thread = threads[i];
    groups[thread.state == State::kExited ? "have exited" : "wait at " + name(thread.site)] += 1;
  }
  std::string text;
  for (const auto& [where, how_many] : groups) {
    text += (text.empty() ? "" : ", ") + std::to_string(how_many) + " threads " + where;
  }
  return text;
}

// Completes the operation that a lane waits in, once all lanes that it names are there.
void try_warp_op(int first, int lane) {
  const Thread& one = threads[first + lane];
  Warp& warp = warps[first / kWarp];
  const unsigned mask = one.mask;
  if ((mask & ~warp.alive) != 0) {
    return fail("warp operation at " + name(one.site) + " names a lane that has exited");
  }
  if ((mask >> lane & 1) == 0) {
    return fail("warp operation at " + name(one.site) + " does not name its own lane");
  }
  if ((mask & ~warp.waiting) != 0) return;  // some are still on their way
  std::uint64_t ballot = 0;
  for (int other = 0; other < kWarp; ++other) {
    if ((mask >> other & 1) == 0) continue;
    const Thread& thread = threads[first + other];
    if (!(thread.site == one.site) || thread.mask != mask) {
      if ((thread.mask >> lane & 1) == 0) return;  // still on its way, after a stop with others
      return fail("lanes of a warp in different operations, at " + name(one.site) + " and " +
                  name(thread.site));
    }
    if ((mask >> thread.source & 1) == 0) {
      return fail("shuffle at " + name(one.site) + " reads a lane that it does not name");
    }
    if (thread.value != 0) ballot |= 1u << other;
  }
  if (one.op == WarpOp::kSync && mask == warp.alive) ++warp.steps;
  warp.waiting &= ~mask;
  for (int other = 0; other < kWarp; ++other) {
    if ((mask >> other & 1) == 0) continue;
    Thread& thread = threads[first + other];
    thread.result = thread.op == WarpOp::kBallot ? ballot : threads[first + thread.source].value;
    make_ready(first + other);
  }
}

// Runs a thread to its next stop, then looks which operations of its warp may go on, or can no
// more.
void run_thread(int thread) {
  const auto index = static_cast<unsigned>(thread);
  const int first = thread / kWarp * kWarp, lane = thread % kWarp;
  Warp& warp = warps[thread / kWarp];
  now = thread;
  threadIdx = {index % blockDim.x, index / blockDim.x % blockDim.y,
               index / (blockDim.x * blockDim.y)};
  see_thread(thread, warp.steps);
  threads[thread].fiber.resume();
  see_thread(-1, 0);
  if (threads[thread].fiber.finished()) {
    threads[thread].state = State::kExited;
    warp.alive &= ~(1u << lane);
    for (int other = 0; other < kWarp && !failed; ++other) {
      const bool waits = warp.waiting >> other & 1;
      if (waits && (threads[first + other].mask >> lane & 1)) try_warp_op(first, other);
    }
  } else if (threads[thread].state == State::kAtWarpOp) {
    warp.waiting |= 1u << lane;
    try_warp_op(first, lane);
  }
}

bool all_in(State state) {
  return std::all_of(threads.begin(), threads.begin() + count,
                     [&](const Thread& thread) { return thread.state == state; });
}

bool at_one_barrier() {
  return std::all_of(threads.begin(), threads.begin() + count, [](const Thread& thread) {
    return thread.state == State::kAtBarrier && thread.site == threads[0].site;
  });
}

}  // namespace

bool Site::operator==(const Site& other) const {
  return line == other.line && (file == other.file || std::strcmp(file, other.file) == 0);
}

int current_thread() { return now; }
int lane() { return now % kWarp; }

void barrier(Site site) {
  threads[now].state = State::kAtBarrier;
  threads[now].site = site;
  Fiber::pause();
}

std::uint64_t exchange(WarpOp op, unsigned mask, std::uint64_t value, int source, Site site) {
  Thread& thread = threads[now];
  thread.state = State::kAtWarpOp;
  thread.site = site;
  thread.op = op;
  thread.mask = mask;
  thread.value = value;
  thread.source = source;
  Fiber::pause();
  return thread.result;
}

void set_kernel(std::function<void()> body) { kernel = std::move(body); }

bool run_block(dim3 block, int order) {
  static std::mt19937 random;
  random.seed(static_cast<unsigned>(order) * 65537u + blockIdx.x);
  count = static_cast<int>(block.x * block.y * block.z);
  failed = false;
  warps.fill({});
  forget_copies();
  ready.reset();
  rank_threads(order, random);
  for (int i = 0; i < count; ++i) {
    threads[i].fiber.start([] { kernel(); });
    warps[i / kWarp].alive |= 1u << i % kWarp;
    make_ready(i);
  }
  while (!failed) {
    if (ready.any()) {
      const int thread = of_rank[ready._Find_first()];
      ready.reset(rank[thread]);
      run_thread(thread);
    } else if (all_in(State::kExited)) {
      return true;
    } else if (at_one_barrier()) {
      see_barrier();
      rank_threads(order, random);
      for (int i = 0; i < count; ++i) make_ready(i);
    } else {
      const bool waits_in_warp = std::any_of(warps.begin(), warps.end(),
                                             [](const Warp& warp) { return warp.waiting != 0; });
      fail((waits_in_warp ? "deadlock: " : "divergent barrier: ") + whereabouts());
    }
  }
  return false;
}

}  // namespace emulator
