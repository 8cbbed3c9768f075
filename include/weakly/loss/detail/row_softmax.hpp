// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/loss_labels.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

namespace weakly::inline v0::detail {

/// out[j] = f(x[j]) for j < count, batch by batch; out may be x.
template <class T, class F>
WEAKLY_INLINE void transform_batches(const T* x, index_t count, T* out, F f) {
  constexpr index_t size = simd::batch<T>::size;
  index_t j = 0;
  for (; j + size <= count; j += size) simd::store(out + j, f(simd::load(x + j)));
  if (j < count) simd::store_partial(out + j, count - j, f(simd::load_partial(x + j, count - j)));
}
/// out[j] = f(x[j], y[j])
template <class T, class F>
WEAKLY_INLINE void transform_batches(const T* x, const T* y, index_t count, T* out, F f) {
  constexpr index_t size = simd::batch<T>::size;
  index_t j = 0;
  for (; j + size <= count; j += size) simd::store(out + j, f(simd::load(x + j), simd::load(y + j)));
  if (j < count)
    simd::store_partial(out + j, count - j,
                        f(simd::load_partial(x + j, count - j), simd::load_partial(y + j, count - j)));
}

/// Sum of f(x[j]), where f(0) = 0.
template <class T, class F>
WEAKLY_INLINE T sum_batches(const T* x, index_t count, F f) {
  constexpr index_t size = simd::batch<T>::size;
  simd::batch<T> sum = T(0);
  index_t j = 0;
  for (; j + size <= count; j += size) sum += f(simd::load(x + j));
  if (j < count) sum += f(simd::load_partial(x + j, count - j));
  return simd::reduce_add(sum);
}
/// Sum of f(x[j], y[j]), where f(0, 0) = 0.
template <class T, class F>
WEAKLY_INLINE T sum_batches(const T* x, const T* y, index_t count, F f) {
  constexpr index_t size = simd::batch<T>::size;
  simd::batch<T> sum = T(0);
  index_t j = 0;
  for (; j + size <= count; j += size) sum += f(simd::load(x + j), simd::load(y + j));
  if (j < count) sum += f(simd::load_partial(x + j, count - j), simd::load_partial(y + j, count - j));
  return simd::reduce_add(sum);
}

/// The softmax of one row for losses that look at all of it: two passes to make, then its probabilities block by block
/// as often as they are asked for. One class is kept apart, so that the sum of all others comes without subtraction.
template <class T>
class row_softmax {
 public:
  using batch = simd::batch<T>;

  row_softmax(const row_blocks<T>& row, T temperature) : row_(row), divisor_(temperature) {
    constexpr T nothing = -std::numeric_limits<T>::infinity();
    top_ = nothing;
    row.read([&](index_t column, const T* x, index_t count) {
      const T here = simd::max(x, count);
      if (here > top_) {
        top_ = here;
        apart_ = column + (std::find(x, x + count, here) - x);
      }
    });
  }

  /// Keeps `apart` apart in place of the first of the greatest.
  void keep_apart(index_t apart) { apart_ = apart; }

  /// Sums the exponentials, and calls also(column, x, e, count) with those of each block, zero for the class kept
  /// apart.
  template <class Also>
  void add_up(Also also) {
    others_ = 0;
    row_.read([&](index_t column, const T* x, index_t count) {
      T e[std::size_t(row_blocks<T>::block)];
      exps(x, count, e);
      if (apart_ >= column && apart_ < column + count) {
        score_ = x[apart_ - column];
        label_ = e[apart_ - column];
        e[apart_ - column] = 0;
      }
      others_ += simd::sum(static_cast<const T*>(e), count);
      also(column, x, static_cast<const T*>(e), count);
    });
    inverse_ = T(1) / (others_ + label_);
  }

  void add_up() {
    add_up([](index_t, const T*, const T*, index_t) {});
  }

  T top() const { return top_; }
  index_t apart() const { return apart_; }
  T p() const { return label_ * inverse_; }   ///< of the class kept apart
  T q() const { return others_ * inverse_; }  ///< of all the others
  T inverse() const { return inverse_; }      ///< of the sum of the exponentials
  /// -log p()
  T cross_entropy() const {
    if (label_ >= least_label) return std::log1p(others_ / label_);
    return (top_ - score_) / divisor_ + std::log(others_ + label_);
  }

  /// p[j] for a block of scores
  void probabilities(const T* x, index_t count, T* p) const {
    exps(x, count, p);
    transform_batches<T>(p, count, p, [inverse = batch(inverse_)](batch e) { return e * inverse; });
  }

 private:
  static constexpr T least_label = sizeof(T) == 4 ? T(0x1p-60) : T(0x1p-480);

  void exps(const T* x, index_t count, T* e) const {
    const batch top = top_, divisor = divisor_;
    transform_batches<T>(x, count, e, [=](batch v) { return simd::exp_nonpositive((v - top) / divisor); });
  }

  const row_blocks<T>& row_;
  T divisor_;
  T top_ = 0, score_ = 0, label_ = 0, others_ = 0, inverse_ = 0;
  index_t apart_ = 0;
};

/// Runs a loss that looks at whole rows under its own name.
template <executor Exec, class Logits, class Loss, class Grad, class F>
void whole_row_loss(std::string_view function, Exec& ex, const Logits& logits, const loss_labels& labels, Loss& loss,
                    Grad& grad, const F& f) {
  using T = loss_number<Logits>;
  const auto rows = as_rows(view(logits));
  const index_t n = rows.extent(0), k = rows.extent(1);
  run_row_loss(function, ex, row_source<T>(rows), n, labels, value_sink<T>(function, "loss", loss, n),
               gradient_sink<T>(function, grad, n, k), f);
}

}  // namespace weakly::inline v0::detail
