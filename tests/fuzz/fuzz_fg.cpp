// SPDX-License-Identifier: MIT
// Any bytes at all as a factor graph of libDAI: either one line says what is wrong with them, or the model can be
// indexed as it says. Run: fuzz_fg -max_len=1024 FOUND tests/fuzz/corpus/fg.
#include <uai_marginals/fg_format.hpp>
#include <uai_marginals/uai_format.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "fuzz_model.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::int64_t most_entries = 4096;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t end = all.find('\0');
  fuzz::one_line([&] {
    const uai::model m = uai::read_fg(all.substr(0, end), "fuzz.fg", most_entries);
    fuzz::require_consistent(m);
    fuzz::require(fuzz::entries(m) <= static_cast<std::size_t>(most_entries));
    if (end == all.npos) return;
    fuzz::require_consistent(m, uai::read_evidence(all.substr(end + 1), "fuzz.fg.evid", m));
  });
  return 0;
}
