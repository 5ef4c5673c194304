// CUDA's short vectors, aligned as CUDA aligns them, so that a misaligned access is UBSan's to
// find.
#pragma once

namespace emulator {

// All of it in one access. Of structs that it copies by itself, g++ -fsanitize=thread does not tell
// of what `*p = f()` writes and `f(*p)` reads; of this it does.
template <class T>
__attribute__((always_inline)) inline void copy_whole(T* to, const T* from) {
  typedef char Bytes __attribute__((vector_size(sizeof(T)), may_alias));
  *reinterpret_cast<Bytes*>(to) = *reinterpret_cast<const Bytes*>(from);
}

}  // namespace emulator

#define EMULATOR_COPIES(name)                                                                    \
  __attribute__((always_inline)) name(const name& other) { emulator::copy_whole(this, &other); } \
  __attribute__((always_inline)) name& operator=(const name& other) {                            \
    emulator::copy_whole(this, &other);                                                          \
    return *this;                                                                                \
  }

#define EMULATOR_VECTORS(T, name)                                    \
  struct alignas(2 * sizeof(T)) name##2 {                            \
    T x, y;                                                          \
    name##2() = default;                                             \
    name##2(T x, T y) : x(x), y(y) {}                                \
    EMULATOR_COPIES(name##2)                                         \
  };                                                                 \
  struct name##3 { T x, y, z; };                                     \
  struct alignas(4 * sizeof(T)) name##4 {                            \
    T x, y, z, w;                                                    \
    name##4() = default;                                             \
    name##4(T x, T y, T z, T w) : x(x), y(y), z(z), w(w) {}          \
    EMULATOR_COPIES(name##4)                                         \
  };                                                                 \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }         \
  inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; } \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

EMULATOR_VECTORS(float, float)
EMULATOR_VECTORS(int, int)
EMULATOR_VECTORS(unsigned, uint)
EMULATOR_VECTORS(short, short)
EMULATOR_VECTORS(unsigned short, ushort)
EMULATOR_VECTORS(signed char, char)
EMULATOR_VECTORS(unsigned char, uchar)
#undef EMULATOR_VECTORS

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
