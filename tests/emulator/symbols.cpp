// Reads the program's own symbol table: it says how large the shared arrays of a kernel are, where
// they lie, and what line an address belongs to. An array's symbol starts with its kernel's:
// _Z4sumsPf has _ZZ4sumsPfE4tile. A kernel's size leaves out arrays of functions that it calls.
#include <cxxabi.h>
#include <elf.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <vector>

#include "device.hpp"

namespace emulator {
namespace {

struct Symbol {
  std::string name;
  std::uintptr_t address;
  std::size_t size;
};

struct Program {
  std::vector<Symbol> functions, shared;
};

struct Place {
  std::uintptr_t base = 0;  // where the program is loaded
  char* threads = nullptr;  // its thread-local variables
};

Place place() {
  Place place;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* out) {
        *static_cast<Place*>(out) = {info->dlpi_addr, static_cast<char*>(info->dlpi_tls_data)};
        return 1;  // the program is the first
      },
      &place);
  return place;
}

Program read_program() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(bytes.data());
  const auto* sections = reinterpret_cast<const Elf64_Shdr*>(bytes.data() + header->e_shoff);
  const Place at = place();
  Program program;
  for (int i = 0; i < header->e_shnum; ++i) {
    if (sections[i].sh_type != SHT_SYMTAB) continue;
    const char* names = bytes.data() + sections[sections[i].sh_link].sh_offset;
    const auto* symbols = reinterpret_cast<const Elf64_Sym*>(bytes.data() + sections[i].sh_offset);
    for (std::size_t s = 0; s < sections[i].sh_size / sizeof(Elf64_Sym); ++s) {
      const Elf64_Sym& symbol = symbols[s];
      const std::string name = names + symbol.st_name;
      const int type = ELF64_ST_TYPE(symbol.st_info);
      if (type == STT_FUNC) {
        program.functions.push_back({name, at.base + symbol.st_value, symbol.st_size});
      } else if (type == STT_TLS && name.rfind("_ZZ", 0) == 0) {
        const auto begin = reinterpret_cast<std::uintptr_t>(at.threads + symbol.st_value);
        program.shared.push_back({name, begin, symbol.st_size});
      }
    }
  }
  std::sort(program.shared.begin(), program.shared.end(),
            [](const Symbol& a, const Symbol& b) { return a.address < b.address; });
  return program;
}

const Program& program() {
  static const Program read = read_program();
  return read;
}

const Symbol* function_with(const void* code) {
  const auto address = reinterpret_cast<std::uintptr_t>(code);
  for (const Symbol& function : program().functions) {
    if (address >= function.address && address < function.address + function.size) {
      return &function;
    }
  }
  return nullptr;
}

}  // namespace

std::string name_of(const void* kernel) {
  const Symbol* function = function_with(kernel);
  if (!function) return "a kernel without a name";
  const std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(function->name.c_str(), nullptr, nullptr, nullptr), &std::free);
  return name ? name.get() : function->name;
}

// A return address belongs to the line of the call before it; of those that it is inlined into, the
// first that is not of the emulator's own types. addr2line comes with g++.
const std::string& line_of(const void* code) {
  static std::map<const void*, std::string> known;
  std::string& line = known[code];
  if (!line.empty()) return line;
  line = "an unknown line";
  char path[4096] = "", command[4200], output[4200] = "";
  if (readlink("/proc/self/exe", path, sizeof path - 1) < 0) return line;
  const auto at = reinterpret_cast<std::uintptr_t>(code) - place().base - 1;
  std::snprintf(command, sizeof command,
                "addr2line -ie '%s' %#zx | grep -v -e vector_types.h -e low_precision.hpp", path,
                at);
  if (FILE* pipe = popen(command, "r")) {
    if (std::fgets(output, sizeof output, pipe)) line = {output, std::strcspn(output, " \n")};
    pclose(pipe);
  }
  return line;
}

std::size_t static_shared(const void* kernel) {
  const Symbol* function = function_with(kernel);
  if (!function || function->name.rfind("_Z", 0) != 0) return 0;
  const std::string start = "_ZZ" + function->name.substr(2) + "E";
  std::size_t bytes = 0;
  for (const Symbol& array : program().shared) {
    if (array.name.rfind(start, 0) == 0) bytes += array.size;
  }
  return bytes;
}

bool in_static_shared(const void* pointer, std::size_t size) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  const auto& arrays = program().shared;
  const auto next = std::upper_bound(
      arrays.begin(), arrays.end(), address,
      [](std::uintptr_t address, const Symbol& array) { return address < array.address; });
  if (next == arrays.begin()) return false;
  return address + size <= std::prev(next)->address + std::prev(next)->size;
}

void spoil_static_shared() {
  for (const Symbol& array : program().shared) {
    std::memset(reinterpret_cast<void*>(array.address), 0xFF, array.size);
  }
}

}  // namespace emulator
