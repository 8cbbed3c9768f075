// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/first_exception.hpp>

#if !defined(_OPENMP)
#error "weakly/exec/openmp.hpp needs OpenMP: compile with -fopenmp, or pass weakly::seq and leave this header out"
#endif

namespace weakly::inline v0 {

/// The threads of OpenMP: as many as OMP_NUM_THREADS or omp_set_num_threads say. Inside another parallel region OpenMP
/// itself decides, which by default means the calling thread.
///
/// When f throws, the exception of the lowest index is thrown again on the calling thread, and indices above it may be
/// left out: what a sequential loop would throw.
struct openmp_executor {
  template <class F>
  void operator()(index_t n, F&& f) const {
    detail::first_exception exception;  // none may leave the region
#pragma omp parallel for schedule(dynamic, 1) if (n > 1)
    for (index_t i = 0; i < n; ++i) exception.run(i, f);
    exception.rethrow();
  }
};
inline constexpr openmp_executor openmp;

}  // namespace weakly::inline v0
