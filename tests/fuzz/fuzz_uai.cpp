// SPDX-License-Identifier: MIT
// Any bytes at all as a UAI model and its evidence, which a zero byte separates: either one line says what is wrong
// with them, or the model can be indexed as it says. Run: fuzz_uai -max_len=1024 FOUND tests/fuzz/corpus/uai.
#include <uai_marginals/uai_format.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "fuzz_model.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t end = all.find('\0');
  const std::string_view text = all.substr(0, end);
  fuzz::one_line([&] {
    const uai::model m = uai::read_uai(text, "fuzz.uai");
    fuzz::require_consistent(m);
    fuzz::require(fuzz::entries(m) <= text.size());  // each is written out
    if (end == all.npos) return;
    fuzz::require_consistent(m, uai::read_evidence(all.substr(end + 1), "fuzz.uai.evid", m));
  });
  return 0;
}
