// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/loss_labels.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace weakly::inline v0 {

/// How the losses of a batch become one number. Not reducing them needs no function.
enum class reduction : std::uint8_t {
  sum,           ///< sum of w(i) l(i)
  mean,          ///< the sum over the number of rows that are not ignored
  weighted_mean  ///< the sum over the sum of w(i)
};

/// Losses or weights [...] of a batch.
template <class X>
concept real_tensor = on_host<X> && is_real_v<typename detail::input_view_t<X>::value_type>;

namespace detail {

/// A tensor as a matrix of one row.
template <class X>
auto as_line(X&& x) {
  const auto column = as_column(view(x));
  using T = typename decltype(column)::element_type;
  return matrix_view<T>(column.data(), {1, column.extent(0)}, {column.extent(0), column.stride(0)});
}

inline constexpr index_t sum_parts = 64;

/// Sum over [0, n) of what f(first, last) gives for consecutive ranges. The ranges and the order in which their sums
/// are added depend on n alone.
template <executor Exec, class F>
double sum_in_parts(Exec& ex, index_t n, F f) {
  constexpr index_t block = row_blocks<double>::block;
  double part[std::size_t(sum_parts)];
  const index_t blocks = (n + block - 1) / block, each = (blocks + sum_parts - 1) / sum_parts * block;
  const index_t parts = each == 0 ? 0 : (n + each - 1) / each;
  ex(parts, [&](index_t p) { part[p] = f(p * each, std::min(n, (p + 1) * each)); });
  double sum = 0;
  for (index_t p = 0; p < parts; ++p) sum += part[p];
  return sum;
}

/// Sum over [0, n) of g(block of x, block of w, count).
template <executor Exec, class G>
double sum_of_blocks(Exec& ex, const row_source<double>& x, const row_source<double>& w, index_t n, G g) {
  constexpr index_t block = row_blocks<double>::block;
  return sum_in_parts(ex, n, [&](index_t first, index_t last) {
    double sum = 0, left[std::size_t(block)], right[std::size_t(block)];
    for (index_t i = first; i < last; i += block) {
      const index_t count = std::min(block, last - i);
      sum += g(x.part(0, i, count, left), w.empty() ? nullptr : w.part(0, i, count, right), count);
    }
    return sum;
  });
}

/// Sum of w(i) l(i) over the rows that weigh something.
inline double weighted_sum(const double* x, const double* w, index_t count) {
  double product[std::size_t(row_blocks<double>::block)];
  for (index_t i = 0; i < count; ++i) product[i] = w[i] == 0 ? 0 : w[i] * x[i];
  return simd::sum(static_cast<const double*>(product), count);
}

/// Throws value_error for the first weight that is negative, infinite or NaN.
template <executor Exec>
void require_weights(std::string_view function, Exec& ex, const row_source<double>& w, index_t n) {
  shared_status all;
  sum_in_parts(ex, n, [&](index_t first, index_t last) {
    constexpr index_t block = row_blocks<double>::block;
    status bad = no_bad_rows();
    double buffer[std::size_t(block)];
    for (index_t start = first; start < last; start += block) {
      const index_t count = std::min(block, last - start);
      const double* const x = w.part(0, start, count, buffer);
      for (index_t i = 0; i < count; ++i)
        if (!(x[i] >= 0 && std::isfinite(x[i]))) bad.report(start + i);
    }
    all.merge(bad);
    return 0.0;
  });
  const status bad = all.load();
  if (!bad.ok())
    fail<value_error>(function, ": weight ", w.at(0, bad.first_bad_row), " of row ", bad.first_bad_row,
                      " is negative or not finite (", bad.count, bad.count == 1 ? " such row)" : " such rows)");
}

inline double require_mass(std::string_view function, double total, std::string_view what) {
  if (!(total > 0) || !std::isfinite(total))
    fail<value_error>(function, ": ", what, " is ", total, ", so there is no mean");
  return total;
}

}  // namespace detail

/// Sum of losses, in double: sum over i of loss(i).
///
/// loss  [...]  zero where a row was left out, as all losses write it
///
/// Zero for no rows. NaN and infinities as in any sum. O(n), allocates nothing. Same bits for every executor and
/// layout.
template <executor Exec, real_tensor Losses>
double loss_sum(Exec&& ex, const Losses& loss) {
  const auto line = detail::as_line(loss);
  return detail::sum_of_blocks(ex, detail::row_source<double>(line), {}, line.extent(1),
                               [](const double* x, const double*, index_t count) { return simd::sum(x, count); });
}
template <real_tensor Losses>
double loss_sum(const Losses& loss) {
  return loss_sum(seq, loss);
}

/// Mean of losses over all n rows, in double. For the mean over the rows that are not ignored use reduction_weights.
///
/// As loss_sum; the mean over no rows throws value_error.
template <executor Exec, real_tensor Losses>
double loss_mean(Exec&& ex, const Losses& loss) {
  const double n = static_cast<double>(detail::as_line(loss).extent(1));
  detail::require_mass("loss_mean", n, "the number of rows");
  return loss_sum(ex, loss) / n;
}
template <real_tensor Losses>
double loss_mean(const Losses& loss) {
  return loss_mean(seq, loss);
}

/// Weighted mean of losses that were computed without these weights, and its gradients.
///
///     value = sum of w(i) l(i) / W,   W = sum of w(i)
///     dloss(i) = w(i) / W,   dweights(i) = (l(i) - value) / W
///
/// loss      [...]
/// weights   [...]  not negative; a row of weight zero does not count, whatever its loss is
/// dloss     [...]  or discard: what the gradient of row i is to be multiplied by, as scale_rows does
/// dweights  [...]  or discard: for weights that are learnt
///
/// Returns the value. Throws shape_error, and value_error for a weight that is negative or not finite, and where all
/// are zero or there are none. O(n), allocates nothing. Same bits for every executor and layout.
template <executor Exec, real_tensor Losses, real_tensor Weights, loss_output LossGrad, loss_output WeightGrad>
double weighted_mean(Exec&& ex, const Losses& loss, const Weights& weights, LossGrad&& dloss, WeightGrad&& dweights) {
  constexpr auto name = "weighted_mean";
  const auto losses = detail::as_line(loss);
  const auto given = detail::as_line(weights);
  const index_t n = losses.extent(1);
  detail::require_same_shape("weighted_mean: loss and weights", losses, given);
  const detail::row_sink<double> to_loss = detail::value_sink<double>(name, "dloss", dloss, n);
  const detail::row_sink<double> to_weights = detail::value_sink<double>(name, "dweights", dweights, n);
  const detail::row_source<double> l(losses), w(given);
  detail::require_weights(name, ex, w, n);
  const double total = detail::require_mass(
      name,
      detail::sum_of_blocks(ex, w, {}, n,
                            [](const double* x, const double*, index_t count) { return simd::sum(x, count); }),
      "the sum of the weights");
  const double value = detail::sum_of_blocks(ex, l, w, n, detail::weighted_sum) / total;
  for_row_chunks(ex, n, [&](index_t first, index_t last) {
    constexpr index_t block = detail::row_blocks<double>::block;
    double buffer[std::size_t(block)], of_loss[std::size_t(block)], of_weight[std::size_t(block)];
    for (index_t start = first; start < last; start += block) {
      const index_t count = std::min(block, last - start);
      const double* const weight = w.part(0, start, count, buffer);
      for (index_t i = 0; i < count; ++i) of_loss[i] = weight[i] / total;
      const double* const x = l.part(0, start, count, buffer);
      for (index_t i = 0; i < count; ++i) of_weight[i] = (x[i] - value) / total;
      if (!to_loss.empty()) to_loss.put_rows(start, count, of_loss);
      if (!to_weights.empty()) to_weights.put_rows(start, count, of_weight);
    }
  });
  return value;
}
template <real_tensor Losses, real_tensor Weights, loss_output LossGrad, loss_output WeightGrad>
double weighted_mean(const Losses& loss, const Weights& weights, LossGrad&& dloss, WeightGrad&& dweights) {
  return weighted_mean(seq, loss, weights, dloss, dweights);
}
template <real_tensor Losses, real_tensor Weights>
double weighted_mean(const Losses& loss, const Weights& weights) {
  return weighted_mean(seq, loss, weights, discard, discard);
}

/// Weights with which a loss writes the gradient of the reduced loss itself, in its one pass.
///
///     reduction_weights(labels.ignore(-100).class_weights(c), k, reduction::weighted_mean, w);
///     cross_entropy(logits, loss_labels(label).ignore(-100).weights(w), loss, grad);
///     value = loss_sum(loss);
///
/// labels  with all their weights; w(i) below is their product, and zero for an ignored row
/// k       how many classes there are
/// out     [...]  w(i), w(i) / number of rows not ignored, or w(i) / sum of w, as `how` says; given to a loss in place
///                of the weights that it was made from
///
/// weighted_mean is what PyTorch calls mean with class weights. Returns what was divided by, 1 for the sum. Throws
/// shape_error; label_error for labels outside [0, k); value_error for a weight that is negative or not finite, for the
/// mean over no rows, and the weighted mean where all weights are zero. O(n), allocates nothing. Same bits for every
/// executor and layout.
template <executor Exec, loss_output Out>
  requires(!std::is_same_v<std::remove_cvref_t<Out>, discard_output>)
double reduction_weights(Exec&& ex, const loss_labels& labels, index_t k, reduction how, Out&& out) {
  constexpr auto name = "reduction_weights";
  constexpr index_t block = detail::row_blocks<double>::block;
  const index_t n = labels.rows();
  labels.require(name, n, k);
  const auto line = detail::as_line(out);
  if (line.extent(1) != n)
    detail::fail<shape_error>(name, ": out has ", line.extent(1), " elements for ", n, " labels; give one for each");
  const detail::row_sink<double> to(line);
  detail::shared_status bad_rows;
  const auto pass = [&](bool writes, double divisor) {
    return detail::sum_in_parts(ex, n, [&](index_t first, index_t last) {
      index_t label[std::size_t(block)];
      double weight[std::size_t(block)], sum = 0;
      status wrong = no_bad_rows();
      for (index_t start = first; start < last; start += block) {
        const index_t count = std::min(block, last - start);
        labels.fetch<double>(start, count, k, label, weight, wrong);
        if (writes) {
          for (index_t i = 0; i < count; ++i) weight[i] /= divisor;
          to.put_part(0, start, count, weight);
          continue;
        }
        if (how == reduction::mean)
          for (index_t i = 0; i < count; ++i) weight[i] = labels.ignored(start + i) ? 0 : 1;
        sum += simd::sum(static_cast<const double*>(weight), count);
      }
      if (!writes) bad_rows.merge(wrong);
      return sum;
    });
  };
  const double counted = pass(false, 1);
  detail::require_labels_ok(name, labels, bad_rows.load(), k);
  const double divisor =
      how == reduction::sum
          ? 1
          : detail::require_mass(name, counted,
                                 how == reduction::mean ? "the number of rows" : "the sum of the weights");
  pass(true, divisor);
  return divisor;
}
template <loss_output Out>
  requires(!std::is_same_v<std::remove_cvref_t<Out>, discard_output>)
double reduction_weights(const loss_labels& labels, index_t k, reduction how, Out&& out) {
  return reduction_weights(seq, labels, k, how, out);
}

/// Multiplies each row of a gradient by a number, in place: grad(i, j) *= weights(i).
///
/// grad     [..., k]
/// weights  [...]     a row of weight zero becomes zero, NaN included
///
/// Throws shape_error. O(n k), allocates nothing. Same bits for every executor and layout.
template <executor Exec, loss_output Grad, real_tensor Weights>
  requires(!std::is_same_v<std::remove_cvref_t<Grad>, discard_output>)
void scale_rows(Exec&& ex, Grad&& grad, const Weights& weights) {
  using T = arithmetic_t<typename view_t<Grad>::value_type>;
  constexpr index_t block = detail::row_blocks<T>::block;
  const auto rows = as_rows(view(grad));
  const auto factors = detail::as_line(weights);
  const index_t n = rows.extent(0), k = rows.extent(1);
  detail::require_extent("scale_rows: weights", factors, 1, n);
  const detail::row_source<T> from(rows), w(factors);
  const detail::row_sink<T> to(rows);
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) {
    T buffer[std::size_t(block)], out[std::size_t(block)];
    for (index_t i = first; i < last; ++i) {
      const T weight = w.at(0, i);
      if (weight == T(0)) {
        detail::fill_row(to, i, k, T(0));
        continue;
      }
      for (index_t j = 0; j < k; j += block) {
        const index_t count = std::min(block, k - j);
        const T* const g = from.part(i, j, count, buffer);
        T* const direct = to.part(i, j);
        T* const target = direct != nullptr ? direct : out;
        for (index_t c = 0; c < count; ++c) target[c] = weight * g[c];
        if (direct == nullptr) to.put_part(i, j, count, out);
      }
    }
  });
}
template <loss_output Grad, real_tensor Weights>
  requires(!std::is_same_v<std::remove_cvref_t<Grad>, discard_output>)
void scale_rows(Grad&& grad, const Weights& weights) { scale_rows(seq, grad, weights); }

}  // namespace weakly::inline v0
