#include "fibers.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Saves the registers that a call keeps, leaves its stack in *from, takes up the stack `to`.
extern "C" void emulator_switch(void** from, void* to);
asm(R"(
  .text
  .type emulator_switch, @function
emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size emulator_switch, .-emulator_switch
)");

namespace emulator {
namespace {

constexpr std::size_t kStack = 256 << 10;
constexpr std::size_t kGuard = 4 << 10;  // a page that nothing may touch, under each stack

Fiber* running = nullptr;
void* scheduler = nullptr;  // its stack, while a fiber runs

#if defined(__SANITIZE_ADDRESS__)
const void* scheduler_bottom = nullptr;
std::size_t scheduler_size = 0;
#endif

char* new_stack() {
  void* memory = mmap(nullptr, kGuard + kStack, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kGuard, PROT_NONE) != 0) {
    std::perror("no memory for the stack of a thread");
    std::abort();
  }
  return static_cast<char*>(memory) + kGuard;
}

}  // namespace

void Fiber::start(void (*body)()) {
  if (!stack_) stack_ = new_stack();
#if defined(__SANITIZE_ADDRESS__)
  if (!finished_) __asan_unpoison_memory_region(stack_, kStack);  // frames that never returned
#endif
  body_ = body;
  finished_ = false;
  shadow_ = nullptr;
  // Six registers, then where to return to; the stack is 8 bytes off 16 there, as after a call.
  auto* top = reinterpret_cast<std::uintptr_t*>(stack_ + kStack);
  *--top = 0;
  *--top = reinterpret_cast<std::uintptr_t>(&Fiber::enter);
  for (int i = 0; i < 6; ++i) *--top = 0;
  top_ = top;
}

void Fiber::enter() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_bottom, &scheduler_size);
#endif
  running->body_();
  running->leave(true);
}

void Fiber::leave(bool for_good) {
  finished_ = for_good;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(for_good ? nullptr : &shadow_, scheduler_bottom, scheduler_size);
#endif
  emulator_switch(&top_, scheduler);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(shadow_, &scheduler_bottom, &scheduler_size);
#endif
}

void Fiber::resume() {
  running = this;
#if defined(__SANITIZE_ADDRESS__)
  void* shadow = nullptr;
  __sanitizer_start_switch_fiber(&shadow, stack_, kStack);
#endif
  emulator_switch(&scheduler, top_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(shadow, nullptr, nullptr);
#endif
  running = nullptr;
}

bool Fiber::owns(const void* address) {
  return running && address >= running->stack_ && address < running->stack_ + kStack;
}

void Fiber::pause() { running->leave(false); }

}  // namespace emulator
