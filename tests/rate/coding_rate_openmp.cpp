// SPDX-License-Identifier: MIT
#include "coding_rate_oracle.hpp"

#include <weakly/exec/openmp.hpp>
#include <weakly/rate/coding_rate.hpp>
#include <weakly/rate/rate_reduction.hpp>

#include <omp.h>

#include <filesystem>
#include <iterator>
#include <vector>

namespace oracle = coding_rate_oracle;
using oracle::index_t;
using oracle::reals;

TEST_CASE("coding rates start no thread of their own where OpenMP is on") {
  const std::filesystem::path threads = "/proc/self/task";
  if (!std::filesystem::exists(threads)) return;
  const auto count = [&] {
    return std::distance(std::filesystem::directory_iterator(threads), std::filesystem::directory_iterator());
  };
  omp_set_num_threads(4);
  const auto before = count();
  const oracle::data a = oracle::make_data(600, 130, 3, 1);
  reals grad(a.z.size());
  const auto out = weakly::view(grad.data(), a.n, a.d);
  weakly::coding_rate(a.features(), out);
  weakly::rate_reduction(a.features(), weakly::membership_view::hard(a.label, 3), out, weakly::discard);
  CHECK(count() == before);
  const reals alone = grad;
  weakly::rate_reduction(weakly::openmp, a.features(), weakly::membership_view::hard(a.label, 3), out, weakly::discard);
  CHECK(oracle::same_bits(alone, grad));
}
