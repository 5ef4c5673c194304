#include "nascore/signatures.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "nascore/quotient.hpp"

namespace nascore {
namespace {

using Name = std::pair<std::uint64_t, std::uint64_t>;

void absorb(Name& name, std::uint64_t word) {
  name.first = mix(name.first ^ word) + 0x9E3779B97F4A7C15u;
  name.second = mix(name.second + word) * 0xC2B2AE3D27D4EB4Fu;
}

Name start(std::uint64_t kind) { return {mix(kind), mix(~kind)}; }

void absorb(Name& name, const Name& other) {
  absorb(name, other.first);
  absorb(name, other.second);
}

}  // namespace

std::vector<Hash128> signatures(const Net& net) {
  const std::size_t rows = net.rows.size();
  std::vector<std::uint64_t> seam(rows, 0);  // counted from 1
  for (std::size_t k = 0; k < net.seams.size(); ++k) seam[net.seams[k]] = k + 1;

  std::vector<Hash128> out(rows);
  std::vector<Name> place(rows);  // as who reads a row sees it
  std::map<Name, std::uint64_t> twins;
  for (std::size_t i = 0; i < rows; ++i) {
    const NetRow& row = net.rows[i];
    const std::int32_t* const inputs = net.inputs.data() + row.first_input;
    std::vector<std::pair<Name, std::int64_t>> read;  // places and channels
    for (int k = 0; k < row.inputs; ++k) {
      read.emplace_back(place[inputs[k]], net.rows[inputs[k]].out.channels);
    }
    if (row.op == Op::kAdd) std::sort(read.begin(), read.end());

    Name name = start(1);
    for (const std::int32_t part : {static_cast<std::int32_t>(row.op), row.kernel, row.kernel_width,
                                    row.stride, row.dilation, row.groups}) {
      absorb(name, static_cast<std::uint64_t>(part));
    }
    for (const auto& [where, channels] : read) absorb(name, where);
    if (const std::uint64_t earlier = twins[name]++; earlier > 0) absorb(name, earlier);
    place[i] = name;
    if (seam[i] > 0) {
      place[i] = start(2);
      absorb(place[i], seam[i]);
    }

    absorb(name, static_cast<std::uint64_t>(row.out.channels));
    for (const auto& [where, channels] : read) absorb(name, static_cast<std::uint64_t>(channels));
    out[i] = {name.first, name.second};
  }
  return out;
}

}  // namespace nascore
