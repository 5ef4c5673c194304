// The whole test framework: a check that fails says where and ends the program.
#pragma once

#include <cstdio>
#include <cstdlib>

#define CHECK(...)                                                                         \
  do {                                                                                     \
    if (!(__VA_ARGS__)) {                                                                  \
      std::fprintf(stderr, "%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #__VA_ARGS__); \
      std::exit(1);                                                                        \
    }                                                                                      \
  } while (false)

#define CHECK_THROWS(exception, ...)                                                         \
  do {                                                                                       \
    bool thrown = false;                                                                     \
    try {                                                                                    \
      static_cast<void>(__VA_ARGS__);                                                        \
    } catch (const exception&) {                                                             \
      thrown = true;                                                                         \
    }                                                                                        \
    if (!thrown) {                                                                           \
      std::fprintf(stderr, "%s:%d: %s did not throw %s\n", __FILE__, __LINE__, #__VA_ARGS__, \
                   #exception);                                                              \
      std::exit(1);                                                                          \
    }                                                                                        \
  } while (false)
