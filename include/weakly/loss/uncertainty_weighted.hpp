// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace weakly::inline v0 {

struct uncertainty_weighted_options {
  double scale = 1;       ///< factor on the uncertainty, in both of its uses
  bool detached = false;  ///< the weight exp(-u) is a constant of the gradient, so that it does not train itself
};

namespace detail {

/// Value and slopes of loss exp(-u) + u.
template <class T>
struct uncertainty_terms {
  T value, by_loss, by_uncertainty;

  uncertainty_terms(T loss, T u, bool detached) {
    const T w = std::exp(-u);
    value = loss * w + u;
    by_loss = w;
    by_uncertainty = detached ? T(1) : T(1) - loss * w;
  }
};

/// log softmax of a row as x - log_sum, by two passes.
template <class T>
T log_sum_exp_of(const row_blocks<T>& row) {
  using batch = simd::batch<T>;
  T top = -std::numeric_limits<T>::infinity();
  row.read([&](index_t, const T* x, index_t count) { top = std::max(top, simd::max(x, count)); });
  double sum = 0;
  row.read([&](index_t, const T* x, index_t count) {
    alignas(64) T e[std::size_t(row_blocks<T>::block)];
    for (index_t j = 0; j < count; j += batch::size) {
      const index_t left = std::min(batch::size, count - j);
      simd::store_partial(e + j, left, simd::exp_nonpositive(simd::load_partial(x + j, left) - batch(top)));
    }
    sum += double(simd::sum(static_cast<const T*>(e), count));
  });
  return static_cast<T>(double(top) + std::log(sum));
}

template <class T>
struct uncertainty_rows {
  using batch = simd::batch<T>;
  static constexpr index_t block = row_blocks<T>::block;

  row_source<T> loss, first, second;
  row_sink<T> value, uncertainty, loss_grad, first_grad, second_grad;
  uncertainty_weighted_options options;

  void operator()(index_t begin, index_t end) const {
    for (index_t i = begin; i < end; ++i) row(i);
  }

 private:
  // f(column, count, x of first, x of second)
  template <class F>
  void pairs(index_t i, const F& f) const {
    T a[std::size_t(block)], b[std::size_t(block)];
    for (index_t j = 0; j < first.columns(); j += block) {
      const index_t count = std::min(block, first.columns() - j);
      f(j, count, first.part(i, j, count, a), second.part(i, j, count, b));
    }
  }

  void row(index_t i) const {
    const batch log_first = log_sum_exp_of(row_blocks<T>(first, {}, i, T(1))),
                log_second = log_sum_exp_of(row_blocks<T>(second, {}, i, T(1)));
    const auto terms = [&](batch x1, batch x2, batch& p1, batch& p2, batch& ratio) {
      const batch l1 = x1 - log_first, l2 = x2 - log_second;
      p1 = simd::exp_nonpositive(simd::min(batch(T(0)), l1));
      p2 = simd::exp_nonpositive(simd::min(batch(T(0)), l2));
      ratio = simd::select(p2 == batch(T(0)), T(0), l2 - l1);
    };
    double kl = 0;
    pairs(i, [&](index_t, index_t count, const T* x1, const T* x2) {
      alignas(64) T part[std::size_t(block)];
      for (index_t j = 0; j < count; j += batch::size) {
        const index_t left = std::min(batch::size, count - j);
        batch p1, p2, ratio;
        terms(simd::load_partial(x1 + j, left), simd::load_partial(x2 + j, left), p1, p2, ratio);
        simd::store_partial(part + j, left, p2 * ratio + (p1 - p2));  // p1 - p2 sums to zero; each term is then >= 0
      }
      kl += double(simd::sum(static_cast<const T*>(part), count));
    });
    const T divergence = static_cast<T>(kl < 0 ? 0 : kl), scale = static_cast<T>(options.scale);
    const T u = scale * divergence;
    const uncertainty_terms<T> of(loss.at(i, 0), u, options.detached);
    const auto put = [&](const row_sink<T>& to, T x) {
      if (!to.empty()) to.put_rows(i, 1, &x);
    };
    put(value, of.value);
    put(uncertainty, u);
    put(loss_grad, of.by_loss);
    if (first_grad.empty() && second_grad.empty()) return;
    const batch slope = of.by_uncertainty * scale, mean = divergence;
    pairs(i, [&](index_t column, index_t count, const T* x1, const T* x2) {
      alignas(64) T g1[std::size_t(block)], g2[std::size_t(block)];
      for (index_t j = 0; j < count; j += batch::size) {
        const index_t left = std::min(batch::size, count - j);
        batch p1, p2, ratio;
        terms(simd::load_partial(x1 + j, left), simd::load_partial(x2 + j, left), p1, p2, ratio);
        simd::store_partial(g1 + j, left, slope * (p1 - p2));
        simd::store_partial(g2 + j, left, slope * (p2 * (ratio - mean)));
      }
      if (!first_grad.empty()) first_grad.put_part(i, column, count, g1);
      if (!second_grad.empty()) second_grad.put_part(i, column, count, g2);
    });
  }
};

inline void require_options(const uncertainty_weighted_options& o) {
  if (!(o.scale >= 0 && o.scale <= std::numeric_limits<double>::max()))
    fail<option_error>("uncertainty_weighted: scale is ", o.scale, "; it must be zero or more, and finite");
}

}  // namespace detail

/// Loss weighted down where two predictions of the same thing disagree:
///
///     u = scale KL(softmax(second) || softmax(first)),   value = loss exp(-u) + u
///     d value / d loss = exp(-u),   d value / d u = 1 - loss exp(-u), or 1 where detached
///     grad of first = d value / d u scale (p1 - p2),   of second: d value / d u scale p2 (log(p2 / p1) - KL)
///
/// loss           n      losses to weigh
/// first, second  n x k  logits of both predictions
/// value, uncertainty, loss_grad   n      or discard
/// first_grad, second_grad         n x k  or discard; each may be the storage of its logits
///
/// Rows with NaN or +inf come out as NaN, and no others. Throws shape_error and option_error. O(n k), allocates
/// nothing. Same bits for every executor and layout. Source: Ctrl-U, arXiv 2410.11236, the term of segmentation maps.
template <executor Exec, real_vector Losses, score_tensor First, score_tensor Second, loss_output Value,
          loss_output Uncertainty, loss_output LossGrad, loss_output FirstGrad, loss_output SecondGrad>
  requires readable_matrix<First> && readable_matrix<Second>
void uncertainty_weighted(Exec&& ex, const Losses& loss, const First& first, const Second& second, Value&& value,
                          Uncertainty&& uncertainty, LossGrad&& loss_grad, FirstGrad&& first_grad,
                          SecondGrad&& second_grad, const uncertainty_weighted_options& options = {}) {
  using T = arithmetic_t<typename detail::input_view_t<First>::value_type>;
  constexpr const char* name = "uncertainty_weighted";
  const auto x1 = view(first);
  const auto x2 = view(second);
  const auto l = view(loss);
  const index_t n = x1.extent(0), k = x1.extent(1);
  detail::require_same_shape("uncertainty_weighted: first and second", x1, x2);
  detail::require_extent("uncertainty_weighted: loss", l, 0, n);
  detail::require_options(options);
  if (n != 0 && k == 0) detail::fail<shape_error>(name, ": ", n, " rows of 0 classes; there must be one");
  const detail::uncertainty_rows<T> rows{detail::row_source<T>(detail::as_column(l)),
                                         detail::row_source<T>(x1),
                                         detail::row_source<T>(x2),
                                         detail::value_sink<T>(name, "value", value, n),
                                         detail::value_sink<T>(name, "uncertainty", uncertainty, n),
                                         detail::value_sink<T>(name, "loss_grad", loss_grad, n),
                                         detail::gradient_sink<T>(name, first_grad, n, k),
                                         detail::gradient_sink<T>(name, second_grad, n, k),
                                         options};
  for_row_chunks(ex, n, 2 * k, rows);
}
template <real_vector Losses, score_tensor First, score_tensor Second, loss_output Value, loss_output Uncertainty,
          loss_output LossGrad, loss_output FirstGrad, loss_output SecondGrad>
  requires readable_matrix<First> && readable_matrix<Second>
void uncertainty_weighted(const Losses& loss, const First& first, const Second& second, Value&& value,
                          Uncertainty&& uncertainty, LossGrad&& loss_grad, FirstGrad&& first_grad,
                          SecondGrad&& second_grad, const uncertainty_weighted_options& options = {}) {
  uncertainty_weighted(seq, loss, first, second, value, uncertainty, loss_grad, first_grad, second_grad, options);
}

/// As above for an uncertainty that the caller has computed otherwise, |first - second| of depths for instance. It is
/// multiplied by the scale; uncertainty_grad is by what the caller gave.
///
/// loss, uncertainty  n      value, loss_grad, uncertainty_grad  n or discard; each may be the storage of an input
template <executor Exec, real_vector Losses, real_vector Uncertainty, loss_output Value, loss_output LossGrad,
          loss_output UncertaintyGrad>
void uncertainty_weighted(Exec&& ex, const Losses& loss, const Uncertainty& uncertainty, Value&& value,
                          LossGrad&& loss_grad, UncertaintyGrad&& uncertainty_grad,
                          const uncertainty_weighted_options& options = {}) {
  using T = arithmetic_t<typename detail::input_view_t<Losses>::value_type>;
  constexpr const char* name = "uncertainty_weighted";
  const auto l = view(loss);
  const auto given = view(uncertainty);
  const index_t n = l.extent(0);
  detail::require_extent("uncertainty_weighted: uncertainty", given, 0, n);
  detail::require_options(options);
  const detail::row_source<T> losses(detail::as_column(l)), uncertainties(detail::as_column(given));
  const auto value_to = detail::value_sink<T>(name, "value", value, n);
  const auto loss_to = detail::value_sink<T>(name, "loss_grad", loss_grad, n);
  const auto uncertainty_to = detail::value_sink<T>(name, "uncertainty_grad", uncertainty_grad, n);
  const T scale = static_cast<T>(options.scale);
  for_row_chunks(ex, n, [&](index_t begin, index_t end) {
    for (index_t i = begin; i < end; ++i) {
      const detail::uncertainty_terms<T> of(losses.at(i, 0), scale * uncertainties.at(i, 0), options.detached);
      const T slope = scale * of.by_uncertainty;
      if (!value_to.empty()) value_to.put_rows(i, 1, &of.value);
      if (!loss_to.empty()) loss_to.put_rows(i, 1, &of.by_loss);
      if (!uncertainty_to.empty()) uncertainty_to.put_rows(i, 1, &slope);
    }
  });
}
template <real_vector Losses, real_vector Uncertainty, loss_output Value, loss_output LossGrad,
          loss_output UncertaintyGrad>
void uncertainty_weighted(const Losses& loss, const Uncertainty& uncertainty, Value&& value, LossGrad&& loss_grad,
                          UncertaintyGrad&& uncertainty_grad, const uncertainty_weighted_options& options = {}) {
  uncertainty_weighted(seq, loss, uncertainty, value, loss_grad, uncertainty_grad, options);
}

}  // namespace weakly::inline v0
