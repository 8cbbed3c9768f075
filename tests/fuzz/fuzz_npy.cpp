// SPDX-License-Identifier: MIT
// Any bytes at all as an .npy file: either one line says what is wrong with them, or every row can be read, in batches
// as all at once. Run: fuzz_npy -max_len=1024 FOUND tests/fuzz/corpus/npy, where FOUND is a folder for what is new.
#include <label_audit/npy.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz_input.hpp"

namespace {

using fuzz::require;

/// The fuzzer's bytes. Asking for others would be answered by an error where they are a file's, and is a finding here.
class memory_source final : public npy::byte_source {
 public:
  explicit memory_source(std::span<const std::uint8_t> bytes) : byte_source("fuzz.npy"), bytes_(bytes) {}

  std::int64_t size() const override { return static_cast<std::int64_t>(bytes_.size()); }

  void read(std::int64_t offset, std::span<std::byte> out) const override {
    require(offset >= 0 && std::cmp_less_equal(out.size(), size()) &&
            std::cmp_less_equal(offset, bytes_.size() - out.size()));
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

template <class T>
std::vector<T> read(npy::npy_file& file, std::int64_t batch) {
  std::vector<T> all;
  for (std::int64_t first = 0; first < file.rows(); first += batch) {
    const std::int64_t count = std::min(batch, file.rows() - first);
    std::vector<T> rows(static_cast<std::size_t>(count * file.cols()));
    file.read_rows<T>(first, count, rows);
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

template <class T>
void read_both_ways(npy::npy_file& file) {
  const std::vector<T> whole = read<T>(file, std::max<std::int64_t>(file.rows(), 1)), batches = read<T>(file, 3);
  require(std::cmp_equal(whole.size(), file.rows() * file.cols()) && whole.size() == batches.size());
  require(whole.empty() || std::memcmp(whole.data(), batches.data(), whole.size() * sizeof(T)) == 0);
}

template <class F>
void require_one_line(F&& f) {
  try {
    std::forward<F>(f)();
  } catch (const npy::npy_error& error) {
    const std::string_view what = error.what();
    require(what.starts_with("fuzz.npy: ") && what.find('\n') == what.npos && what.size() < 500);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::optional<npy::npy_file> file;
  require_one_line([&] { file.emplace(std::make_unique<memory_source>(std::span(data, size))); });
  if (!file || file->cols() == 0) return 0;  // without columns there may be any number of rows
  // Only labels can be refused once a file is open; any other error leaves this function and is a finding.
  read_both_ways<double>(*file);
  if (file->fits_float()) read_both_ways<float>(*file);
  const bool all_labels = file->type() != npy::element::uint64 && !npy::is_real(file->type());
  if (all_labels)
    read_both_ways<std::int64_t>(*file);
  else
    require_one_line([&] { read_both_ways<std::int64_t>(*file); });
  return 0;
}
