// SPDX-License-Identifier: MIT
// What every loss of logits and labels must do, checked against its plain form in long double.
#pragma once

#include "support.hpp"

#include <weakly/core/executor.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/row_softmax.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

// What all losses share is compiled once, by loss_checks.cpp.
extern template class weakly::detail::softmax_loss_rows<float>;
extern template class weakly::detail::softmax_loss_rows<double>;
extern template class weakly::detail::whole_rows<float>;
extern template class weakly::detail::whole_rows<double>;

namespace loss_checks {

using weakly::index_t;
using row = std::span<const long double>;

struct traits {
  bool shift_invariant = true;      // and so the gradient sums to zero
  bool permutation_free = true;     // renaming the classes renames the gradient
  double smooth_step = 1e-6;        // step of the central differences
  double double_tolerance = 1e-11;  // relative to max(1, |exact|)
  double float_factor = 1;          // of float_error
  double temperature = 1;           // that the scores are divided by and the loss multiplied with
  index_t least_classes = 2;
  double scale = 3;  // deviation of the logits
};

template <class T>
struct batch_of_rows {
  index_t n = 0, k = 0;
  std::vector<T> logits;
  std::vector<int> label;
  std::vector<T> loss, grad;

  batch_of_rows(index_t rows, index_t classes, double scale, unsigned seed) : n(rows), k(classes) {
    std::mt19937 random(seed);
    std::normal_distribution<double> logit(0, scale);
    for (index_t i = 0; i < n * k; ++i) logits.push_back(static_cast<T>(static_cast<float>(logit(random))));
    for (index_t i = 0; i < n; ++i) label.push_back(static_cast<int>(random() % static_cast<unsigned>(k)));
    loss.resize(static_cast<std::size_t>(n));
    grad.resize(static_cast<std::size_t>(n * k));
  }
  auto x() const { return weakly::view(logits.data(), n, k); }
  auto g() { return weakly::view(grad.data(), n, k); }
  std::vector<long double> exact_row(index_t i) const {
    std::vector<long double> r;
    for (index_t j = 0; j < k; ++j)
      r.push_back(static_cast<long double>(static_cast<double>(logits[std::size_t(i * k + j)])));
    return r;
  }
};

/// How far float arithmetic may be off for a row, relative to max(1, |exact|). A score has a relative error of one
/// rounding of the range r of the scores, which is r / temperature in the exponent and so in an exponential and a
/// probability. A sum in lanes adds a rounding for each batch of classes; exp (four roundings), log, the quotient and
/// the tree that joins the lanes add sixteen at most. The logarithm is multiplied with the temperature, all with the
/// slope of the loss in it.
struct float_error {
  double value, gradient;
  float_error(row f, const traits& t);
};

inline bool near(double got, double want, double tolerance) {
  return std::abs(got - want) <= tolerance * std::max(1.0, std::abs(want));
}

template <class V>
bool same_bits(const V& a, const V& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
}

/// call(ex, logits, labels, loss, grad) of a loss, compiled for few types however it is called: float, double, half
/// and bfloat16, with and without either output, an executor that may be any, views.
class any_loss {
 public:
  template <class Call>
    requires(!std::is_same_v<Call, any_loss>)
  any_loss(Call call)
      : single_(of<float>(call)),
        wide_(of<double>(call)),
        half_([call](const work<weakly::half>& w) { call(*w.ex, w.logits, *w.labels, w.loss, w.grad); }),
        brain_([call](const work<weakly::bfloat16>& w) { call(*w.ex, w.logits, *w.labels, weakly::discard, w.grad); }),
        deep_([call](executor& ex, const weakly::tensor_view<const double, 3>& x, const weakly::loss_labels& y,
                     const weakly::tensor_view<double, 2>& loss,
                     const weakly::tensor_view<double, 3>& grad) { call(ex, x, y, loss, grad); }) {}

  template <class Ex, class Logits, class Loss, class Grad>
  void operator()(Ex&& ex, const Logits& logits, const weakly::loss_labels& labels, Loss&& loss, Grad&& grad) const {
    executor any = [&ex](index_t n, const std::function<void(index_t)>& f) { ex(n, f); };
    if constexpr (Logits::rank == 3) {
      deep_(any, logits, labels, loss, grad);
    } else {
      using T = typename Logits::value_type;
      work<T> w{&any, logits, &labels, {}, {}};
      if constexpr (!is_discarded<Loss>) w.loss = weakly::view(loss);
      if constexpr (!is_discarded<Grad>) w.grad = grad;
      if constexpr (std::is_same_v<T, float>)
        single_(w);
      else if constexpr (std::is_same_v<T, double>)
        wide_(w);
      else if constexpr (std::is_same_v<T, weakly::half>)
        half_(w);
      else
        brain_(w);
    }
  }

 private:
  using executor = std::function<void(index_t, const std::function<void(index_t)>&)>;

  template <class X>
  static constexpr bool is_discarded = std::is_same_v<std::remove_cvref_t<X>, weakly::discard_output>;

  template <class T>
  struct work {
    executor* ex;
    weakly::matrix_view<const T> logits;
    const weakly::loss_labels* labels;
    weakly::vector_view<weakly::arithmetic_t<T>> loss;
    weakly::matrix_view<T> grad;
  };

  template <class T, class Call>
  static std::function<void(const work<T>&)> of(Call call) {
    return [call](const work<T>& w) {
      if (w.grad.data() == nullptr && w.logits.size() != 0)
        call(*w.ex, w.logits, *w.labels, w.loss, weakly::discard);
      else if (w.loss.data() == nullptr && w.logits.size() != 0)
        call(*w.ex, w.logits, *w.labels, weakly::discard, w.grad);
      else
        call(*w.ex, w.logits, *w.labels, w.loss, w.grad);
    };
  }

  std::function<void(const work<float>&)> single_;
  std::function<void(const work<double>&)> wide_;
  std::function<void(const work<weakly::half>&)> half_;
  std::function<void(const work<weakly::bfloat16>&)> brain_;
  std::function<void(executor&, const weakly::tensor_view<const double, 3>&, const weakly::loss_labels&,
                     const weakly::tensor_view<double, 2>&, const weakly::tensor_view<double, 3>&)>
      deep_;
};

/// The value of a loss in long double.
using plain_loss = std::function<long double(row f, int label)>;

void check_values_and_gradients(const any_loss& call, const plain_loss& plain, const traits& t);
void check_invariances(const any_loss& call, const traits& t);
/// Outputs that are left out, layouts, storage, executors, in place: never another number.
void check_ways_to_call(const any_loss& call, const traits& t);
void check_weights_and_bad_input(const any_loss& call, const traits& t);
/// All of them.
void check_loss(const any_loss& call, const plain_loss& plain, const traits& t = {});

/// Value of three rows of a million classes, and a gradient that sums to zero, in double and in float.
void check_a_million_classes(const any_loss& call, const plain_loss& plain, const traits& t = {});

/// Options at the limit of the arithmetic T: refused, or finite on a confident row, right or wrong.
template <class T, class Call>
void check_finite_or_refused(const Call& call, bool refused) {
  const std::vector<T> logits{40, 0, 0, 40, 0, T(-1e30)};
  const std::vector<int> label{0, 1};
  std::vector<T> loss(2), grad(6);
  const auto run = [&] { call(weakly::view(logits.data(), 2, 3), label, loss, weakly::view(grad.data(), 2, 3)); };
  if (refused) {
    CHECK_THROWS_AS(run(), weakly::option_error);
    return;
  }
  run();
  for (const auto* out : {&loss, &grad})
    for (const T x : *out) CHECK(std::isfinite(x));
}

/// log of the sum of exp, in long double.
inline long double log_sum_exp(row f) {
  long double top = f[0], sum = 0;
  for (const long double x : f) top = std::max(top, x);
  for (const long double x : f) sum += std::exp(x - top);
  return top + std::log(sum);
}

}  // namespace loss_checks
