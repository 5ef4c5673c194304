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

Name start(std::uint64_t kind) {
  Name name{mix(kind), mix(~kind)};
  return name;
}

}  // namespace

std::vector<Hash128> signatures(const Net& net) {
  const std::size_t rows = net.rows.size();
  std::vector<Hash128> out(rows);
  std::vector<Name> seen(rows);  // by who reads it
  std::map<Name, std::uint64_t> twins;
  std::vector<std::int64_t> place(rows, -1);
  for (std::size_t k = 0; k < net.seams.size(); ++k) {
    place[net.seams[k]] = static_cast<std::int64_t>(k);
  }

  std::vector<Name> inputs;
  for (std::size_t i = 0; i < rows; ++i) {
    const NetRow& row = net.rows[i];
    inputs.clear();
    for (int k = 0; k < row.inputs; ++k) inputs.push_back(seen[net.inputs[row.first_input + k]]);
    if (row.op == Op::kAdd) std::sort(inputs.begin(), inputs.end());

    Name name = start(1);
    for (const std::int64_t part :
         {static_cast<std::int64_t>(row.op), std::int64_t{row.kernel}, std::int64_t{row.stride},
          std::int64_t{row.dilation}, std::int64_t{row.groups}, row.out.channels}) {
      absorb(name, static_cast<std::uint64_t>(part));
    }
    for (const Name& input : inputs) {
      absorb(name, input.first);
      absorb(name, input.second);
    }
    if (const std::uint64_t earlier = twins[name]++; earlier > 0) absorb(name, earlier);

    out[i] = {name.first, name.second};
    seen[i] = name;
    if (place[i] >= 0) {
      seen[i] = start(2);
      absorb(seen[i], static_cast<std::uint64_t>(place[i]));
      absorb(seen[i], static_cast<std::uint64_t>(row.out.channels));
    }
  }
  return out;
}

}  // namespace nascore
