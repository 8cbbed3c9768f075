// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/bags.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/detail/impossible_row.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace weakly::inline v0 {

struct multiple_instance_options {
  impossible_row impossible = impossible_row::refuse;
};

namespace detail {

/// One bag after the other: items are read twice, in blocks, so that a bag may be of any size.
class instance_bags {
  using batch = simd::batch<double>;
  static constexpr index_t block = 512;
  static constexpr double inf = std::numeric_limits<double>::infinity();

 public:
  row_source<double> logit;
  row_sink<double> posterior, loss, grad;

  /// Whether the observation is possible.
  bool operator()(index_t bag, index_t first, index_t b, bool positive) const {
    double none = 0, top = -inf;  // none = log P(no positive)
    read(first, b, [&](index_t, index_t count, const double* x) {
      alignas(64) double softplus[std::size_t(block)];
      for (index_t i = 0; i < count; i += batch::size) {
        const index_t some = std::min(batch::size, count - i);
        const batch v = simd::load_partial(x + i, some);
        const batch above = simd::select(v > batch(0.0), v, 0.0) + simd::log1p_nonnegative(simd::exp(-simd::abs(v)));
        simd::store_partial(softplus + i, some, above);
      }
      for (index_t i = 0; i < count; ++i) {
        none -= x[i] == x[i] ? softplus[i] : x[i];
        top = std::max(top, x[i]);
      }
    });
    const bool number = none == none;
    const bool possible = !number || (positive ? top > -inf : none > -inf);
    if (!number || !possible) {
      const double nan = std::numeric_limits<double>::quiet_NaN();
      put(bag, first, b, number ? inf : nan, [nan](batch, batch, batch& q, batch& g) { q = g = nan; });
    } else if (!positive) {
      put(bag, first, b, 0 - none, [](batch, batch p, batch& q, batch& g) {
        q = 0.0;
        g = p;
      });
    } else if (none > -1e-17) {  // P is the sum of the odds to the last digit, and may be less than any number
      double sum = 0;
      read(first, b, [&](index_t, index_t count, const double* x) {
        for (index_t i = 0; i < count; ++i) sum += std::exp(x[i] - top);
      });
      put(bag, first, b, -(top + std::log(sum)), [=](batch x, batch p, batch& q, batch& g) {
        q = simd::exp(x - batch(top)) / batch(sum);
        g = p - q;
      });
    } else {
      const double p_any = -std::expm1(none), value = none > -0.7 ? -std::log(p_any) : -std::log1p(-std::exp(none));
      const double against = 1 / std::expm1(-none);  // P(no positive) / P
      put(bag, first, b, value, [=](batch, batch p, batch& q, batch& g) {
        q = simd::min(p / batch(p_any), 1.0);
        g = -p * batch(against);
      });
    }
    return possible;
  }

 private:
  template <class F>
  void read(index_t first, index_t b, const F& f) const {
    double buffer[std::size_t(block)];
    for (index_t i = 0; i < b; i += block) {
      const index_t count = std::min(block, b - i);
      f(first + i, count, logit.rows(first + i, count, buffer));
    }
  }

  template <class F>
  void put(index_t bag, index_t first, index_t b, double value, const F& f) const {
    if (!loss.empty()) loss.put_rows(bag, 1, &value);
    if (posterior.empty() && grad.empty()) return;
    read(first, b, [&](index_t at, index_t count, const double* x) {
      alignas(64) double q[std::size_t(block)], g[std::size_t(block)];
      for (index_t i = 0; i < count; i += batch::size) {
        const index_t some = std::min(batch::size, count - i);
        const batch v = simd::load_partial(x + i, some), e = simd::exp(-simd::abs(v));
        const batch large = batch(1.0) / (batch(1.0) + e);
        batch of_q, of_g;
        f(v, simd::select(v >= batch(0.0), large, e * large), of_q, of_g);
        simd::store_partial(q + i, some, of_q);
        simd::store_partial(g + i, some, of_g);
      }
      if (!posterior.empty()) posterior.put_rows(at, count, q);
      if (!grad.empty()) grad.put_rows(at, count, g);
    });
  }
};

}  // namespace detail

/// Posterior of the items of bags of which it is known whether any item is positive, in closed form.
///
///     p(i) = 1 / (1 + exp(-logit(i))),   u = sum over the bag of log(1 - p(i)),   P = P(any positive) = 1 - exp(u)
///     positive bag:  posterior(i) = p(i) / P,  loss = -log P,  grad(i) = -p(i) (1 - P) / P
///     negative bag:  posterior(i) = 0,         loss = -u,      grad(i) = p(i)
///
/// logit      n      log-odds of being positive; -inf and inf for never and always
/// bag_begin  m + 1  integers from 0 to n: bag i holds items bag_begin(i) to bag_begin(i + 1) - 1
/// positive   m      integers or bool, nonzero where an item of the bag is positive, which and how many unknown
/// posterior  n      or discard
/// loss       m      or discard
/// grad       n      or discard, d loss / d logit = p - posterior; posterior or grad may be the storage of `logit`
///
/// Posteriors and loss are exact however small P is. A NaN makes its bag NaN. Impossible are a positive bag that is
/// empty or has logits of -inf alone, and a negative one with a logit of inf: posteriors NaN, loss inf. Throws
/// shape_error where bags do not add up and, after all other bags are done, value_error for impossible ones unless
/// kept. O(n) in double, allocates nothing. Same bits for every executor and layout. The count at_least 1 of bag_count
/// is the same in O(b^2). Maron, Lozano-Perez, NIPS 1997 (noisy-or); Chen et al., arXiv 2402.01922.
template <executor Exec, real_vector Logit, label_vector Begin, mark_vector Positive, real_output Posterior,
          real_output Loss, real_output Grad>
void multiple_instance(Exec&& ex, const Logit& logit, const Begin& bag_begin, const Positive& positive,
                       Posterior&& posterior, Loss&& loss, Grad&& grad, const multiple_instance_options& options = {}) {
  constexpr const char* name = "multiple_instance";
  const index_t n = view(logit).extent(0);
  const detail::bag_offsets bags(name, bag_begin, n);
  detail::require_extent("multiple_instance: positive", view(positive), 0, bags.bags());
  const detail::integer_source any(view(positive));
  const detail::instance_bags work{detail::row_source<double>(detail::as_column(view(logit))),
                                   detail::item_sink<double>(name, "posterior", posterior, n),
                                   detail::bag_sink<double>(name, "loss", loss, bags.bags()),
                                   detail::item_sink<double>(name, "grad", grad, n)};
  detail::shared_status impossible;
  const index_t usual = bags.bags() == 0 ? 1 : n / bags.bags();
  for_row_chunks(ex, bags.bags(), usual, [&](index_t first, index_t last) {
    for (index_t bag = first; bag < last; ++bag)
      if (!work(bag, bags.first(bag), bags.size(bag), any[bag] != 0)) impossible.merge({bag, 1});
  });
  detail::require_possible(name, "bag", impossible.load(), options.impossible);
}
template <real_vector Logit, label_vector Begin, mark_vector Positive, real_output Posterior, real_output Loss,
          real_output Grad>
void multiple_instance(const Logit& logit, const Begin& bag_begin, const Positive& positive, Posterior&& posterior,
                       Loss&& loss, Grad&& grad, const multiple_instance_options& options = {}) {
  multiple_instance(seq, logit, bag_begin, positive, posterior, loss, grad, options);
}

}  // namespace weakly::inline v0
