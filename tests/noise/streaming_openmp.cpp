// SPDX-License-Identifier: MIT
#include "streaming.hpp"

#include <weakly/exec/openmp.hpp>

#include <doctest/doctest.h>
#include <omp.h>

TEST_CASE("streaming gives the in-memory thresholds, joint and issues bit for bit, on OpenMP") {
  const int before = omp_get_max_threads();
  streaming::check_twenty_batchings<float>(141, [](int threads, auto f) {
    omp_set_num_threads(threads);
    f(weakly::openmp);
  });
  omp_set_num_threads(before);
}
