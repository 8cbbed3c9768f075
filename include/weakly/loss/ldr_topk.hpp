// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/delta_loss.hpp>
#include <weakly/loss/detail/kl_row.hpp>
#include <weakly/loss/detail/row_extra.hpp>
#include <weakly/loss/loss_margins.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace weakly::inline v0 {

struct ldr_topk_options {
  index_t top = 5;          ///< in [1, k); 1 is ldr_kl
  double lambda = 1;        ///< in [0, inf]; 0 is the mean of the `top` greatest deltas, inf the mean of all
  loss_margins margin = 0;  ///< usually one number, or class_margins and its like (loss_margins.hpp)
};

namespace detail {

/// The maximum over distributions with p <= 1/top of sum p delta - lambda KL(p || uniform).
///
/// The greatest deltas have p = 1/top, the others share what is left as a softmax. Capping whatever the softmax of the
/// others lifts above 1/top only lifts the rest, so the capped ones grow round by round to just those of the solution.
template <class T>
class capped_kl_row {
  using batch = simd::batch<T>;

 public:
  T value, kl;

  capped_kl_row(const delta_row<T>& row, T lambda, index_t top)
      : free_(row, lambda), lambda_(lambda), top_(double(top)), cap_(static_cast<T>(1 / double(top))) {
    value = free_.value;
    kl = free_.kl;
    if (!(double(free_.greatest_probability()) * top_ > 1)) return;
    capped_ = true;
    double left = top_;  // in units of 1/top
    for (;;) {
      sum_below(row);
      left = std::max(top_ - count_, 0.0);
      const double sum = others_ + label_;
      if (left <= sum) break;
      const T next = static_cast<T>(double(greatest_) + double(lambda_) * std::log(sum / left));
      threshold_ = next < greatest_ ? next : std::nextafter(greatest_, -std::numeric_limits<T>::infinity());
    }
    const double k = double(row.classes()), sum = others_ + label_, mass = left / top_;
    if (count_ > top_) cap_ = static_cast<T>(1 / count_);  // only by rounding, where as many as `top` are nearly equal
    scale_ = static_cast<T>(mass / sum);
    const double entropy = mass > 0 ? mass * std::log(mass / sum) : 0;
    const double without_slopes = std::log(k) - count_ / top_ * std::log(top_) + entropy;
    kl = static_cast<T>(without_slopes + mass * (weighted_ / sum));
    value = static_cast<T>(capped_sum_ / top_ + mass * double(greatest_) - double(lambda_) * without_slopes);
    others_ = label_capped_ ? mass + (count_ - 1) / top_ : mass * (others_ / sum) + count_ / top_;
  }

  void write_gradient(const delta_row<T>& row) const {
    if (!capped_) {
      free_.write_gradient(row);
      return;
    }
    const batch threshold = threshold_, cap = cap_, scale = scale_;
    row.write([&](index_t column, index_t count, T* g) {
      map_batches(g, count, g, [&](batch x) { return simd::select(x > threshold, cap, weight(x) * scale); });
      if (const index_t at = row.label_in(column, count); at >= 0) g[at] = static_cast<T>(-others_);
    });
  }

 private:
  batch exponent(batch x) const {
    return lambda_ == T(0) ? simd::select(x == batch(greatest_), batch(T(0)), -std::numeric_limits<T>::infinity())
                           : (x - batch(greatest_)) / batch(lambda_);
  }
  batch weight(batch x) const { return simd::exp_nonpositive(exponent(x)); }

  // Everything about the deltas above the threshold and the rest.
  void sum_below(const delta_row<T>& row) {
    alignas(64) T part[std::size_t(delta_row<T>::block)];
    const batch threshold = threshold_;
    const batch none = -std::numeric_limits<T>::infinity();
    greatest_ = -std::numeric_limits<T>::infinity();
    count_ = capped_sum_ = others_ = label_ = weighted_ = 0;
    label_capped_ = false;
    row.read([&](index_t column, index_t count, T* d) {
      const auto total = [&](auto f) {
        map_batches(static_cast<const T*>(d), count, part, f);
        return double(simd::sum(static_cast<const T*>(part), count));
      };
      count_ += total([&](batch x) { return simd::select(x > threshold, batch(T(1)), T(0)); });
      capped_sum_ += total([&](batch x) { return simd::select(x > threshold, x, T(0)); });
      map_batches(static_cast<const T*>(d), count, part, [&](batch x) { return simd::select(x > threshold, none, x); });
      greatest_ = std::max(greatest_, simd::max(static_cast<const T*>(part), count));
      if (const index_t at = row.label_in(column, count); at >= 0) label_capped_ = d[at] > threshold_;
    });
    row.read([&](index_t column, index_t count, T* d) {
      map_batches(static_cast<const T*>(d), count, part, [&](batch x) {
        return simd::select(x > threshold, batch(T(0)), weight(x) * simd::max(exponent(x), batch(T(-1000))));
      });
      weighted_ += double(simd::sum(static_cast<const T*>(part), count));
      map_batches(static_cast<const T*>(d), count, d,
                  [&](batch x) { return simd::select(x > threshold, batch(T(0)), weight(x)); });
      if (const index_t at = row.label_in(column, count); at >= 0) {
        label_ = double(d[at]);
        d[at] = 0;
      }
      others_ += double(simd::sum(static_cast<const T*>(d), count));
    });
  }

  kl_row<T> free_;
  T lambda_;
  double top_;
  T cap_;
  bool capped_ = false, label_capped_ = false;
  T threshold_ = std::numeric_limits<T>::infinity();  // deltas above it are capped
  T greatest_ = 0;                                    // of the others
  T scale_ = 0;
  double count_ = 0, capped_sum_ = 0, others_ = 0, label_ = 0, weighted_ = 0;
};

}  // namespace detail

/// LDR-k-KL: the label-distributionally robust loss of the `top` greatest classes, for top-k accuracy.
///
///     delta(j)       = (f(j) - f(y)) + c(j)
///     loss(i)        = max over p with every p(j) <= 1/top of  sum p(j) delta(j) - lambda KL(p || uniform)
///     grad(i, j)     = p(j) - 1[j = y]
///     lambda_grad(i) = -KL(p || uniform)
///
/// Arguments, special values and errors as in ldr_kl, and option_error unless 1 <= top < k. lambda = 0 is the mean of
/// the `top` greatest deltas (top-k hinge); those that tie for the last place share it.
///
/// Each row is read until no more classes reach the cap: two or three times on ordinary rows, at most 2 top + 1 times
/// where lambda is so small that they reach it one by one. Allocates nothing. Same bits for every executor, layout and
/// batch.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad, loss_output LambdaGrad>
void ldr_topk(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
              LambdaGrad&& lambda_grad, const ldr_topk_options& options = {}) {
  using T = arithmetic_t<typename detail::input_view_t<Logits>::value_type>;
  const auto rows = as_rows(view(logits));
  const index_t n = rows.extent(0), k = rows.extent(1);
  if (!(options.lambda >= 0))
    detail::fail<option_error>("ldr_topk: lambda is ", options.lambda, "; it must lie in [0, inf]");
  detail::require_top("ldr_topk", options.top, k);
  const detail::row_extra<T> slopes(detail::value_sink<T>("ldr_topk", "lambda_grad", lambda_grad, n), labels, k);
  slopes.clear(ex, n);
  const T lambda = detail::rounded_lambda<T>(options.lambda);
  detail::delta_loss("ldr_topk", ex, logits, labels, options.margin, loss, grad,
                     [&](const detail::delta_row<T>& delta, index_t row) {
                       const detail::capped_kl_row<T> result(delta, lambda, options.top);
                       result.write_gradient(delta);
                       slopes.put(row, -result.kl);
                       return result.value;
                     });
}
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void ldr_topk(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
              const ldr_topk_options& options = {}) {
  ldr_topk(ex, logits, labels, loss, grad, discard, options);
}
template <score_tensor Logits, loss_output Loss, loss_output Grad, loss_output LambdaGrad>
void ldr_topk(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad, LambdaGrad&& lambda_grad,
              const ldr_topk_options& options = {}) {
  ldr_topk(seq, logits, labels, loss, grad, lambda_grad, options);
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void ldr_topk(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
              const ldr_topk_options& options = {}) {
  ldr_topk(seq, logits, labels, loss, grad, discard, options);
}

}  // namespace weakly::inline v0
