// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/simd.hpp>
#include <weakly/loss/detail/delta_row.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace weakly::inline v0::detail {

/// A double as T, infinite where it is beyond T.
template <class T>
T rounded_lambda(double lambda) {
  return lambda > double(std::numeric_limits<T>::max()) ? std::numeric_limits<T>::infinity() : static_cast<T>(lambda);
}

/// exp(z) - 1 - z for |z| <= 1/2, without cancellation.
template <class T>
WEAKLY_INLINE simd::batch<T> exp_remainder(simd::batch<T> z) {
  constexpr int terms = sizeof(T) == 4 ? 8 : 15;  // the first one left out is below 1e-9 and 1e-19 of the first
  simd::batch<T> s = T(1);
  for (int i = terms; i >= 3; --i) s = simd::fma(s, z * T(1.0 / i), T(1));
  return T(0.5) * z * z * s;
}

/// The maximum over distributions p of sum p delta - lambda KL(p || uniform), its p and its KL, for every lambda in
/// [0, inf].
///
/// Away from the uniform distribution the greatest delta is taken out. Close to it (range <= lambda/2) the terms of
/// that form cancel to nothing, so delta is centred on its mean and everything is written in exp(z) - 1 - z.
template <class T>
class kl_row {
  using batch = simd::batch<T>;

 public:
  T value = 0;
  T kl = 0;

  kl_row(const delta_row<T>& row, T lambda) : lambda_(lambda) {
    const double k = double(row.classes());
    double sum = 0;
    row.read([&](index_t, index_t count, T* d) {
      sum += double(simd::sum(static_cast<const T*>(d), count));
      top_ = std::max(top_, simd::max(static_cast<const T*>(d), count));
      map_batches(d, count, d, [](batch x) { return -x; });
      low_ = std::min(low_, -simd::max(static_cast<const T*>(d), count));
    });
    const double mean = sum / k;
    if (std::isnan(mean) || top_ == std::numeric_limits<T>::infinity()) {
      value = kl = others_ = scale_ = std::numeric_limits<T>::quiet_NaN();
      kind_ = kind::uniform;
    } else if (lambda == std::numeric_limits<T>::infinity() || top_ == low_) {
      kind_ = kind::uniform;
      value = top_ == low_ ? top_ : static_cast<T>(mean);
      scale_ = static_cast<T>(1 / k);
      others_ = static_cast<T>((k - 1) / k);
    } else if (lambda == T(0)) {
      greatest(row, k);
    } else if (top_ - low_ > lambda / T(2)) {
      sharp(row, k);
    } else {
      flat(row, k, mean);
    }
  }

  /// The p of the greatest delta.
  T greatest_probability() const {
    alignas(64) T p[std::size_t(batch::size)];
    std::fill_n(p, batch::size, top_);
    probabilities(batch::size, p);
    return p[0];
  }
  T greatest_delta() const { return top_; }

  /// From delta to p, in place.
  void probabilities(index_t count, T* d) const {
    const batch scale = scale_;
    if (kind_ == kind::uniform) {
      std::fill_n(d, count, scale_);
      return;
    }
    weights(count, d);
    map_batches(d, count, d, [&](batch w) { return w * scale; });
  }

  /// The gradient by the logits: p less one at the label.
  void write_gradient(const delta_row<T>& row) const {
    row.write([&](index_t column, index_t count, T* g) {
      probabilities(count, g);
      if (const index_t at = row.label_in(column, count); at >= 0) g[at] = -others_;
    });
  }

 private:
  enum class kind : std::uint8_t { uniform, greatest, sharp, flat };

  // From delta to a multiple of p, in place.
  void weights(index_t count, T* d) const {
    const batch lambda = lambda_, top = top_, mean = mean_, shift = shift_;
    if (kind_ == kind::greatest) {
      map_batches(d, count, d, [&](batch x) { return simd::select(x == top, batch(T(1)), T(0)); });
    } else if (kind_ == kind::sharp) {
      map_batches(d, count, d, [&](batch x) { return simd::exp_nonpositive((x - top) / lambda); });
    } else {
      map_batches(d, count, d, [&](batch x) {
        const batch z = (x - mean) / lambda - shift;
        return (exp_remainder(z) + z) + T(1);
      });
    }
  }

  // Sums of what f makes of delta, the label's apart: weights in place, and whatever else f adds up itself.
  template <class F>
  void sum_weights(const delta_row<T>& row, double& others, double& label, F f) {
    row.read([&](index_t column, index_t count, T* d) {
      f(count, static_cast<const T*>(d));
      weights(count, d);
      if (const index_t at = row.label_in(column, count); at >= 0) {
        label = double(d[at]);
        d[at] = 0;
      }
      others += double(simd::sum(static_cast<const T*>(d), count));
    });
  }

  void greatest(const delta_row<T>& row, double k) {
    kind_ = kind::greatest;
    double others = 0, label = 0;
    sum_weights(row, others, label, [](index_t, const T*) {});
    value = top_;
    kl = static_cast<T>(std::log(k / (others + label)));
    scale_ = static_cast<T>(1 / (others + label));
    others_ = static_cast<T>(others / (others + label));
  }

  void sharp(const delta_row<T>& row, double k) {
    kind_ = kind::sharp;
    double others = 0, label = 0, weighted = 0;
    const batch lambda = lambda_, top = top_;
    sum_weights(row, others, label, [&](index_t count, const T* d) {
      alignas(64) T part[std::size_t(delta_row<T>::block)];
      map_batches(d, count, part, [&](batch x) {
        const batch z = (x - top) / lambda;
        return simd::exp_nonpositive(z) * simd::max(z, batch(T(-1000)));  // 0 times -inf is none
      });
      weighted += double(simd::sum(static_cast<const T*>(part), count));
    });
    const double sum = others + label, excess = std::log(sum / k);
    value = static_cast<T>(double(top_) + double(lambda_) * excess);
    kl = static_cast<T>(weighted / sum - excess);
    scale_ = static_cast<T>(1 / sum);
    others_ = static_cast<T>(others / sum);
  }

  void flat(const delta_row<T>& row, double k, double mean) {
    kind_ = kind::flat;
    mean_ = static_cast<T>(mean);
    const batch lambda = lambda_, centre = mean_;
    double total = 0;
    row.read([&](index_t, index_t count, T* d) {
      map_batches(d, count, d, [&](batch x) { return (x - centre) / lambda; });
      total += double(simd::sum(static_cast<const T*>(d), count));
    });
    shift_ = static_cast<T>(total / k);
    const batch shift = shift_;
    double others = 0, label = 0, excess = 0, divergence = 0;
    sum_weights(row, others, label, [&](index_t count, const T* d) {
      alignas(64) T a[std::size_t(delta_row<T>::block)], b[std::size_t(delta_row<T>::block)];
      map_batches(d, count, a, [&](batch x) { return exp_remainder((x - centre) / lambda - shift); });
      map_batches(d, count, b, [&](batch x) {
        const batch z = (x - centre) / lambda - shift;
        return z * (z + exp_remainder(z));
      });
      excess += double(simd::sum(static_cast<const T*>(a), count));
      divergence += double(simd::sum(static_cast<const T*>(b), count));
    });
    const double growth = std::log1p(excess / k);
    value = static_cast<T>(double(mean_) + double(lambda_) * double(shift_) + double(lambda_) * growth);
    kl = static_cast<T>(divergence / k / (1 + excess / k) - growth);
    scale_ = static_cast<T>(1 / (others + label));
    others_ = static_cast<T>(others / (others + label));
  }

  kind kind_ = kind::uniform;
  T lambda_;
  T top_ = -std::numeric_limits<T>::infinity();
  T low_ = std::numeric_limits<T>::infinity();
  T mean_ = 0;
  T shift_ = 0;
  T scale_ = 0;
  T others_ = 0;
};

}  // namespace weakly::inline v0::detail
