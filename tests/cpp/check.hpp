// The whole test framework: a check that fails says where and ends the program.
#pragma once

#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>

template <class Got, class Wanted>
void check_equal(const Got& got, const Wanted& wanted, const char* what, const char* file,
                 int line) {
  if (got == wanted) return;
  std::cerr << file << ":" << line << ": " << what << " is " << got << ", not " << wanted << "\n";
  std::exit(1);
}

#define CHECK(...) \
  check_equal(static_cast<bool>(__VA_ARGS__), true, #__VA_ARGS__, __FILE__, __LINE__)

#define CHECK_EQ(got, wanted) check_equal((got), (wanted), #got, __FILE__, __LINE__)

#define CHECK_THROWS(exception, ...)                                                     \
  do {                                                                                   \
    bool thrown = false;                                                                 \
    try {                                                                                \
      static_cast<void>(__VA_ARGS__);                                                    \
    } catch (const exception&) {                                                         \
      thrown = true;                                                                     \
    }                                                                                    \
    check_equal(thrown, true, #__VA_ARGS__ " throwing " #exception, __FILE__, __LINE__); \
  } while (false)

// What the exception says; empty where there is none.
template <class Function>
std::string complaint_of(Function function) {
  try {
    function();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}
