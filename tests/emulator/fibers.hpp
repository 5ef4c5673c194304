// One stack per CUDA thread, and the switch between them. AddressSanitizer is told of each switch.
#pragma once

#include <cstddef>

namespace emulator {

class Fiber {
 public:
  // Makes the fiber ready to run `body` from its start; what it was doing is dropped.
  void start(void (*body)());

  // Runs it until it pauses or its body returns.
  void resume();

  // Goes back to where the running fiber was resumed.
  static void pause();

  // Whether the running fiber has this in its stack.
  static bool owns(const void* address);

  bool finished() const { return finished_; }

 private:
  static void enter();
  void leave(bool for_good);

  char* stack_ = nullptr;  // lives until the program ends
  void* top_ = nullptr;    // where the registers are, while it does not run
  void (*body_)() = nullptr;
  void* shadow_ = nullptr;  // AddressSanitizer's, of this stack
  bool finished_ = true;
};

}  // namespace emulator
