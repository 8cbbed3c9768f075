// SPDX-License-Identifier: MIT
// Any offsets, counts and logits as bags: either an error of weakly says what is wrong with them, or every result is in
// its range, or NaN where the bag is NaN or impossible. Nothing outside the outputs and the scratch is touched.
// Run: fuzz_bags -max_len=256 FOUND tests/fuzz/corpus/bags, where FOUND is a folder for what is new.
#include <weakly/em/bag_count.hpp>
#include <weakly/em/class_counts.hpp>
#include <weakly/em/class_counts_one_vs_rest.hpp>
#include <weakly/em/multiple_instance.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "fuzz_input.hpp"

namespace {

using fuzz::numbers;
using fuzz::require;
using weakly::index_t;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double hurting_logits[] = {infinity, -infinity, std::numeric_limits<double>::quiet_NaN(), 1e300, -1e300, 800,
                                     -800,     1e-310};

/// `size` elements between guards that nobody may change.
class guarded {
 public:
  explicit guarded(std::size_t size) : memory_(size + 2 * guard, mark) {}

  std::span<double> inside() { return std::span<double>(memory_).subspan(guard, memory_.size() - 2 * guard); }
  void check_guards() const {
    for (std::size_t i = 0; i < guard; ++i) require(memory_[i] == mark && memory_[memory_.size() - 1 - i] == mark);
  }
  /// Every element is in [low, high], or NaN.
  void check_range(double low, double high) {
    check_guards();
    for (const double x : inside()) require(std::isnan(x) || (x >= low && x <= high));
  }

 private:
  static constexpr std::size_t guard = 8;
  static constexpr double mark = 0.25;
  std::vector<double> memory_;
};

struct problem {
  index_t classes;
  std::vector<std::int64_t> begin, lower, upper, counts;
  std::vector<std::uint8_t> marks;
  std::vector<double> scores;
  std::size_t items, bags, scratch;

  explicit problem(numbers& from)
      : classes(1 + from.byte() % 4), items(from.byte() % 24), bags(from.byte() % 6), scratch(0) {
    const bool adds_up = from.byte() % 4 != 0;
    for (std::size_t i = 0; i <= bags; ++i) begin.push_back(from.integer(32));
    if (adds_up) {  // most inputs would stop at the offsets
      std::int64_t at = 0;
      for (std::size_t i = 0; i < bags; ++i) {
        const std::int64_t left = static_cast<std::int64_t>(items) - at,
                           size = begin[i] < 0 ? 0 : begin[i] % (left + 1);
        begin[i] = at;
        at += i + 1 == bags ? left : size;
      }
      begin[bags] = bags == 0 ? 0 : static_cast<std::int64_t>(items);
    }
    for (std::size_t i = 0; i < bags; ++i) {
      lower.push_back(from.integer(32));
      upper.push_back(from.integer(32));
      for (index_t c = 0; c < classes; ++c) counts.push_back(from.integer(32));
    }
    scratch = std::size_t(from.byte()) * std::size_t(from.byte()) * 4;
    for (std::size_t i = 0; i < items * static_cast<std::size_t>(classes); ++i)
      scores.push_back(from.logit(hurting_logits));
    for (std::size_t i = 0; i < items + bags; ++i) marks.push_back(from.byte() % 2);
  }
};

/// f may throw an error of weakly, which has one line, and nothing else.
template <class F>
void attempt(F&& f) {
  try {
    f();
  } catch (const weakly::error& e) {
    require(std::strlen(e.what()) > 10 && std::strchr(e.what(), '\n') == nullptr);
  }
}

template <class F>
void with_outputs(const problem& p, index_t k, bool probabilities_only, F f) {
  const std::size_t size = p.items * static_cast<std::size_t>(k);
  guarded posterior(size), loss(p.bags), grad(size);
  // Exactly as large as it claims to be: the sanitizer watches its ends.
  std::vector<std::byte> memory(p.scratch);
  weakly::workspace scratch(memory);
  attempt([&] { f(scratch, posterior.inside(), loss.inside(), grad.inside()); });
  posterior.check_range(0, 1 + 1e-9);
  loss.check_range(0, infinity);
  grad.check_range(probabilities_only ? -1 - 1e-9 : -infinity, probabilities_only ? 1 + 1e-9 : infinity);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  numbers from(std::span<const std::uint8_t>(data, size));
  const problem p(from);
  const auto n = static_cast<index_t>(p.items), m = static_cast<index_t>(p.bags);
  const std::span<const double> logit(p.scores.data(), p.items);
  using weakly::bag_counts;
  for (const int kind : {0, 1, 2, 3, 4})
    with_outputs(p, 1, true, [&](weakly::workspace& scratch, auto q, auto loss, auto grad) {
      const bag_counts counts = kind == 0   ? bag_counts::exactly(p.lower)
                                : kind == 1 ? bag_counts::at_least(p.lower)
                                : kind == 2 ? bag_counts::at_most(p.upper)
                                : kind == 3 ? bag_counts::between(p.lower, p.upper)
                                            : bag_counts::among(p.marks);
      weakly::bag_count(logit, p.begin, counts, scratch, q, loss, grad);
    });
  with_outputs(p, 1, true, [&](weakly::workspace&, auto q, auto loss, auto grad) {
    weakly::multiple_instance(logit, p.begin, p.lower, q, loss, grad);
  });
  const auto scores = weakly::view(p.scores.data(), n, p.classes);
  const auto counts = weakly::view(p.counts.data(), m, p.classes);
  const auto rows = [&](std::span<double> x) { return weakly::view(x.data(), n, p.classes); };
  with_outputs(p, p.classes, true, [&](weakly::workspace& scratch, auto q, auto loss, auto grad) {
    weakly::class_counts(scores, p.begin, counts, scratch, rows(q), loss, rows(grad));
  });
  with_outputs(p, p.classes, false, [&](weakly::workspace& scratch, auto q, auto loss, auto grad) {
    weakly::class_counts_one_vs_rest(scores, p.begin, counts, scratch, rows(q), loss, rows(grad));
  });
  return 0;
}
