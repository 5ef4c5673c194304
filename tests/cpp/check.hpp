// A failed check says where and what, and the program goes on to the next one; `failures()` is what
// its exit status tells.
#pragma once

#include <iostream>
#include <string>

inline int& failures() {
  static int count = 0;
  return count;
}

template <class A, class B>
void check_equal(const A& got, const B& wanted, const char* expression, const char* file,
                 int line) {
  if (got == wanted) return;
  std::cerr << file << ":" << line << ": " << expression << " is " << got << ", not " << wanted
            << "\n";
  ++failures();
}

#define CHECK_EQ(got, wanted) check_equal((got), (wanted), #got, __FILE__, __LINE__)

#define CHECK(condition) \
  check_equal(static_cast<bool>(condition), true, #condition, __FILE__, __LINE__)

#define CHECK_THROWS(expression, text)                           \
  do {                                                           \
    std::string message = "no exception";                        \
    try {                                                        \
      (void)(expression);                                        \
    } catch (const std::exception& error) {                      \
      message = error.what();                                    \
    }                                                            \
    check_equal(message, text, #expression, __FILE__, __LINE__); \
  } while (false)
