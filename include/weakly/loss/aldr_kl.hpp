// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/aldr_lanes.hpp>
#include <weakly/loss/detail/aldr_root.hpp>
#include <weakly/loss/detail/aldr_rows.hpp>
#include <weakly/loss/detail/kl_row.hpp>
#include <weakly/loss/loss_margins.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace weakly::inline v0 {

/// Which lambda counts where several maximise the objective locally.
enum class aldr_maximum : std::uint8_t {
  global,  ///< the best of them
  upper    ///< the greatest, which a lambda that starts at lambda0 and follows the data would find
};

struct aldr_kl_options {
  double lambda0 = 1;       ///< positive; the lambda of a row that says nothing
  double alpha = 2;         ///< greater than one; the penalty is alpha log k / lambda0
  loss_margins margin = 0;  ///< usually one number (loss_margins.hpp)
  aldr_maximum maximum = aldr_maximum::global;
};

namespace detail {

template <class T>
class aldr_kl_rows {
 public:
  softmax_scores<T> scores;
  loss_labels labels;
  row_sink<T> loss, grad, lambda;
  aldr_problem problem;
  aldr_maximum maximum;

  template <executor Exec>
  void run(Exec& ex, index_t n) const {
    constexpr double least = 1e-6, greatest = sizeof(T) == 4 ? 10 : 100;  // where a plain psi keeps its digits
    const index_t k = scores.classes();
    labels.require("aldr_kl", n, k);
    if (n == 0) return;
    const bool unique = problem.alpha > uniqueness_bound(k);
    const bool plain = problem.lambda0 >= least && problem.lambda0 <= greatest;
    shared_status all;
    for_row_chunks(ex, n, k, [&](index_t first, index_t last) {
      status bad = no_bad_rows();
      if (unique && plain && k <= aldr_lanes<T>::longest_row)
        short_rows(first, last, bad);
      else
        long_rows(first, last, unique, plain, bad);
      all.merge(bad);
    });
    require_labels_ok("aldr_kl", labels, all.load(), k);
  }

 private:
  void short_rows(index_t first, index_t last, status& bad) const {
    constexpr index_t lanes = aldr_lanes<T>::lanes;
    const index_t k = scores.classes();
    aldr_lanes<T> some[2] = {{scores, problem}, {scores, problem}};
    index_t label[std::size_t(2 * lanes)];
    T weight[std::size_t(2 * lanes)], out[std::size_t(lanes * aldr_lanes<T>::longest_row)];
    for (index_t start = first; start < last; start += 2 * lanes) {
      const index_t rows = std::min(2 * lanes, last - start);
      const int count = rows > lanes ? 2 : 1;
      labels.template fetch<T>(start, rows, k, label, weight, bad);
      for (int s = 0; s < count; ++s)
        some[s].begin(start + s * lanes, std::min(lanes, rows - s * lanes), label + s * lanes);
      for (bool runs = true; runs;) {
        runs = some[0].round();
        if (count == 2) runs |= some[1].round();
      }
      for (int s = 0; s < count; ++s) {
        some[s].finish();
        put(some[s], start + s * lanes, std::min(lanes, rows - s * lanes), weight + s * lanes, out);
      }
    }
  }

  void put(aldr_lanes<T>& some, index_t start, index_t rows, const T* weight, T* out) const {
    for (index_t r = 0; r < rows; ++r) {
      some.value[r] = weight[r] == T(0) ? T(0) : weight[r] * some.value[r];
      if (weight[r] == T(0)) some.lambda[r] = static_cast<T>(problem.lambda0);
    }
    if (!loss.empty()) loss.put_rows(start, rows, some.value);
    if (!lambda.empty()) lambda.put_rows(start, rows, some.lambda);
    if (grad.empty()) return;
    T* const to = grad.rows(start);
    some.gradient(rows, weight, to == nullptr ? out : to);
    if (to == nullptr) grad.put_rows(start, rows, out);
  }

  void long_rows(index_t first, index_t last, bool unique, bool plain, status& bad) const {
    constexpr index_t longest_kept = 8192;
    const index_t k = scores.classes();
    alignas(64) T kept[std::size_t(longest_kept + simd::batch<T>::size)];
    for (index_t i = first; i < last; ++i) {
      index_t label;
      T weight;
      labels.template fetch<T>(i, 1, k, &label, &weight, bad);
      T value = 0, chosen = static_cast<T>(problem.lambda0);
      if (weight == T(0)) {
        fill_row(grad, i, k, T(0));
      } else {
        const row_blocks<T> row(scores.logits, grad, i, weight);
        const delta_row<T> delta(scores, row, label);
        aldr_row<T> exponents(delta, problem.lambda0, k <= longest_kept ? kept : nullptr);
        const double u = exponents.bad() ? std::numeric_limits<double>::quiet_NaN() : solve(exponents, unique);
        const double penalty = problem.weight() / 2 * problem.lambda0 * (u - 1) * (u - 1);
        chosen = static_cast<T>(u * problem.lambda0);
        if (plain && !exponents.bad()) {
          const double excess = exponents.finish(u);
          value = weight * static_cast<T>(double(exponents.top()) + problem.lambda0 * u * excess - penalty);
          exponents.write_gradient(row);
        } else {
          const kl_row<T> result(delta, exponents.bad() ? T(1) : chosen);
          value = weight * static_cast<T>(double(result.value) - penalty);
          result.write_gradient(delta);
        }
      }
      if (!loss.empty()) loss.put_rows(i, 1, &value);
      if (!lambda.empty()) lambda.put_rows(i, 1, &chosen);
    }
  }

  double solve(const aldr_row<T>& row, bool unique) const {
    const double tolerance = 4 * double(std::numeric_limits<T>::epsilon());
    const double weight = problem.weight(), least = problem.least();
    const auto evaluate = [&](double u) { return row.at(u); };
    double low = least, high = 1, start = (least + 1) / 2;
    if (!unique) {
      aldr_point points[aldr_grid];
      row.at_grid(least, points);
      if (!isolate_root(points, evaluate, weight, least, low, high, start))
        return search_roots(evaluate, weight, least, 1, maximum == aldr_maximum::upper, tolerance);
    }
    return refine_root(evaluate, weight, low, high, start, tolerance);
  }
};

}  // namespace detail

/// Label-distributionally robust loss whose lambda adapts to the row, ALDR-KL.
///
///     psi(lambda) = lambda log( 1/k sum exp(delta(j) / lambda) ),   delta(j) = (f(j) - f(y)) + c(j)
///     loss(i)     = max over lambda >= 0 of psi(lambda) - (a / 2) (lambda - lambda0)^2,   a = alpha log k / lambda0
///     grad(i, j)  = p(j) - 1[j = y],   p = softmax(delta / lambda(i))
///     lambda(i)   = the maximiser, in [lambda0 (1 - 1/alpha), lambda0]
///
/// logits  [..., k]  finite scores f, k >= 2; -inf excludes a class, which still counts in k
/// labels  [...]     as in softmax_loss
/// loss    [...]     or discard
/// grad    [..., k]  or discard; may be the storage of `logits`
/// lambda  [...]     or left out; not weighted; lambda0 where a row is left out
///
/// A sure row has a small lambda, a flat one lambda0. The loss is convex in the scores. Where alpha exceeds
/// max (V + KL) / log k over all distributions (1.53 for k = 10, 1.95 for 100, 2.44 for 1000) one lambda is stationary,
/// and Newton's method finds it; else a bound on the change of the variance proves the same of most rows, and the
/// remaining ones are searched at 64 points between their least and their greatest root.
///
/// A row with a NaN or +inf, or whose label is excluded, comes out as NaN, and no other row does. Throws option_error
/// unless lambda0 > 0 and alpha > 1, shape_error for k < 2, else as softmax_loss. O(n k) times some 3 to 10 passes over
/// a row that stays in the first cache, allocates nothing. Same bits for every executor, layout and batch. Zhu, Ying,
/// Yang, ICML 2023; their alpha is our a.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad, loss_output Lambda>
void aldr_kl(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad, Lambda&& lambda,
             const aldr_kl_options& options = {}) {
  using T = arithmetic_t<typename detail::input_view_t<Logits>::value_type>;
  const auto rows = as_rows(view(logits));
  const index_t n = rows.extent(0), k = rows.extent(1);
  const detail::aldr_problem problem =
      detail::require_aldr<T>("aldr_kl", options.lambda0, options.alpha, options.margin, n, k);
  detail::softmax_scores<T> scores;
  scores.logits = detail::row_source<T>(rows);
  options.margin.give_to(scores);
  const detail::aldr_kl_rows<T> all{scores,
                                    labels,
                                    detail::value_sink<T>("aldr_kl", "loss", loss, n),
                                    detail::gradient_sink<T>("aldr_kl", grad, n, k),
                                    detail::value_sink<T>("aldr_kl", "lambda", lambda, n),
                                    problem,
                                    options.maximum};
  all.run(ex, n);
}
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void aldr_kl(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
             const aldr_kl_options& options = {}) {
  aldr_kl(ex, logits, labels, loss, grad, discard, options);
}
template <score_tensor Logits, loss_output Loss, loss_output Grad, loss_output Lambda>
void aldr_kl(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad, Lambda&& lambda,
             const aldr_kl_options& options = {}) {
  aldr_kl(seq, logits, labels, loss, grad, lambda, options);
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void aldr_kl(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
             const aldr_kl_options& options = {}) {
  aldr_kl(seq, logits, labels, loss, grad, discard, options);
}

/// d aldr_kl / d lambda0 of a row with this maximiser, alpha being held: a (lambda - lambda0) + a (lambda - lambda0)^2
/// / (2 lambda0).
inline double aldr_kl_lambda0_gradient(double lambda, index_t classes, const aldr_kl_options& options) {
  const double a = options.alpha * std::log(double(classes)) / options.lambda0, away = lambda - options.lambda0;
  return a * away * (1 + away / (2 * options.lambda0));
}

/// d aldr_kl / d alpha of a row with this maximiser, lambda0 being held: -log k (lambda - lambda0)^2 / (2 lambda0).
inline double aldr_kl_alpha_gradient(double lambda, index_t classes, const aldr_kl_options& options) {
  const double away = lambda - options.lambda0;
  return -std::log(double(classes)) / (2 * options.lambda0) * away * away;
}

}  // namespace weakly::inline v0
