// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "sanitizer.hpp"

#include <weakly/core/simd.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <doctest/doctest.h>

template class weakly::detail::softmax_loss_rows<float>;
template class weakly::detail::softmax_loss_rows<double>;
template class weakly::detail::whole_rows<float>;
template class weakly::detail::whole_rows<double>;

namespace loss_checks {

float_error::float_error(row f, const traits& t) {
  const auto [low, high] = std::minmax_element(f.begin(), f.end());
  const double range = static_cast<double>(*high - *low), unit = t.float_factor * 0x1p-24;
  const double sums = double(f.size()) / double(weakly::simd::batch<float>::size) + 16;
  value = unit * (range + std::max(t.temperature, 1.0) * sums);
  gradient = unit * (range / t.temperature + sums);
}

void check_values_and_gradients(const any_loss& call, const plain_loss& plain, const traits& t) {
  for (const index_t k : {index_t(2), index_t(3), index_t(8), index_t(10), index_t(37), index_t(300), index_t(1000)}) {
    if (k < t.least_classes) continue;
    CAPTURE(k);
    batch_of_rows<double> b(k < 100 ? 19 : 3, k, t.scale, static_cast<unsigned>(k));
    call(weakly::seq, b.x(), b.label, b.loss, b.g());
    batch_of_rows<float> single(b.n, k, t.scale, static_cast<unsigned>(k));
    call(weakly::seq, single.x(), single.label, single.loss, single.g());
    for (index_t i = 0; i < b.n; ++i) {
      CAPTURE(i);
      std::vector<long double> f = b.exact_row(i);
      const int label = b.label[static_cast<std::size_t>(i)];
      const double want = static_cast<double>(plain(row(f), label));
      const float_error bound(f, t);
      CHECK(near(b.loss[static_cast<std::size_t>(i)], want, t.double_tolerance));
      CHECK(near(single.loss[static_cast<std::size_t>(i)], want, bound.value));
      for (index_t j = 0; j < k; j += (k > 50 ? 41 : 1)) {
        const index_t at = j == 0 && k > 50 ? label : j;  // the label's entry is always among those looked at
        long double& x = f[static_cast<std::size_t>(at)];
        const long double centre = x, h = static_cast<long double>(t.smooth_step);
        x = centre + h;
        const long double above = plain(row(f), label);
        x = centre - h;
        const long double below = plain(row(f), label);
        x = centre;
        const double slope = static_cast<double>((above - below) / (2 * h));
        CAPTURE(at);
        CHECK(near(b.grad[static_cast<std::size_t>(i * k + at)], slope, 1e-8));
        CHECK(near(single.grad[static_cast<std::size_t>(i * k + at)], slope, bound.gradient));
      }
      if (!t.shift_invariant) continue;
      double sum = 0, magnitude = 0;
      for (index_t j = 0; j < k; ++j) {
        sum += b.grad[static_cast<std::size_t>(i * k + j)];
        magnitude += std::abs(b.grad[static_cast<std::size_t>(i * k + j)]);
      }
      CHECK(std::abs(sum) <= 1e-13 * std::max(1.0, magnitude));
    }
  }
}

void check_a_million_classes(const any_loss& call, const plain_loss& plain, const traits& t) {
  constexpr index_t n = 3, k = 1000000;
  batch_of_rows<double> b(n, k, t.scale, 6);
  batch_of_rows<float> single(n, k, t.scale, 6);
  b.label[1] = single.label[1] = static_cast<int>(k - 1);
  call(weakly::seq, b.x(), b.label, b.loss, b.g());
  call(weakly::seq, single.x(), single.label, single.loss, single.g());
  for (index_t i = 0; i < n; ++i) {
    CAPTURE(i);
    const std::vector<long double> f = b.exact_row(i);
    const double want = static_cast<double>(plain(row(f), b.label[std::size_t(i)]));
    const float_error bound(f, t);
    CHECK(near(b.loss[std::size_t(i)], want, t.double_tolerance));
    CHECK(near(single.loss[std::size_t(i)], want, bound.value));
    double sum = 0, of_single = 0;
    for (index_t j = 0; j < k; ++j) {
      sum += b.grad[std::size_t(i * k + j)];
      of_single += double(single.grad[std::size_t(i * k + j)]);
    }
    CHECK(std::abs(sum) <= 1e-12);
    CHECK(std::abs(of_single) <= bound.gradient);
  }
}

void check_invariances(const any_loss& call, const traits& t) {
  for (const index_t k : {index_t(10), index_t(300)}) {
    CAPTURE(k);
    batch_of_rows<double> b(9, k, t.scale, 3);
    call(weakly::seq, b.x(), b.label, b.loss, b.g());
    if (t.shift_invariant) {
      batch_of_rows<double> shifted = b;
      for (double& x : shifted.logits) x += 1024;  // exact for logits that are floats
      call(weakly::seq, shifted.x(), shifted.label, shifted.loss, shifted.g());
      for (std::size_t i = 0; i < b.loss.size(); ++i) CHECK(near(shifted.loss[i], b.loss[i], 1e-12));
      for (std::size_t i = 0; i < b.grad.size(); ++i) CHECK(near(shifted.grad[i], b.grad[i], 1e-12));
    }
    if (t.permutation_free) {
      std::vector<index_t> to(static_cast<std::size_t>(k));
      for (index_t j = 0; j < k; ++j) to[static_cast<std::size_t>(j)] = (7 * j + 3) % k;
      batch_of_rows<double> renamed = b;
      for (index_t i = 0; i < b.n; ++i) {
        for (index_t j = 0; j < k; ++j)
          renamed.logits[std::size_t(i * k + to[std::size_t(j)])] = b.logits[std::size_t(i * k + j)];
        renamed.label[std::size_t(i)] = static_cast<int>(to[std::size_t(b.label[std::size_t(i)])]);
      }
      call(weakly::seq, renamed.x(), renamed.label, renamed.loss, renamed.g());
      for (index_t i = 0; i < b.n; ++i) {
        CHECK(near(renamed.loss[std::size_t(i)], b.loss[std::size_t(i)], 1e-12));
        for (index_t j = 0; j < k; ++j)
          CHECK(near(renamed.grad[std::size_t(i * k + to[std::size_t(j)])], b.grad[std::size_t(i * k + j)], 1e-12));
      }
    }
  }
}

void check_ways_to_call(const any_loss& call, const traits& t) {
  for (const index_t k : {index_t(10), index_t(300), index_t(9000)}) {
    CAPTURE(k);
    const index_t n = k == 9000 ? (support::sanitized ? 4 : 9) : k == 300 && support::sanitized ? 80 : 700;
    batch_of_rows<float> b(n, k, t.scale, 5), other = b;
    call(weakly::seq, b.x(), b.label, b.loss, b.g());

    weakly::thread_pool pool(3);
    call(pool, other.x(), other.label, other.loss, other.g());
    CHECK(same_bits(other.loss, b.loss));
    CHECK(same_bits(other.grad, b.grad));

    std::fill(other.loss.begin(), other.loss.end(), -1.0f);
    call(weakly::seq, other.x(), other.label, other.loss, weakly::discard);
    CHECK(same_bits(other.loss, b.loss));
    std::fill(other.grad.begin(), other.grad.end(), -1.0f);
    call(weakly::seq, other.x(), other.label, weakly::discard, other.g());
    CHECK(same_bits(other.grad, b.grad));

    std::vector<float> both = b.logits;
    call(weakly::seq, weakly::view(both.data(), b.n, k), b.label, other.loss, weakly::view(both.data(), b.n, k));
    CHECK(same_bits(both, b.grad));

    std::vector<float> by_column(b.logits.size()), grad_by_column(b.logits.size());
    for (index_t i = 0; i < b.n; ++i)
      for (index_t j = 0; j < k; ++j) by_column[std::size_t(j * b.n + i)] = b.logits[std::size_t(i * k + j)];
    call(weakly::seq, weakly::view(by_column.data(), b.n, k, 1, b.n), b.label, other.loss,
         weakly::view(grad_by_column.data(), b.n, k, 1, b.n));
    CHECK(same_bits(other.loss, b.loss));
    for (index_t i = 0; i < b.n; ++i)
      for (index_t j = 0; j < k; ++j) other.grad[std::size_t(i * k + j)] = grad_by_column[std::size_t(j * b.n + i)];
    CHECK(same_bits(other.grad, b.grad));

    const index_t part = b.n / 3;  // rows do not know their neighbours
    call(weakly::seq, weakly::view(b.logits.data() + part * k, b.n - part, k),
         std::span(b.label).subspan(std::size_t(part)), std::span(other.loss).subspan(std::size_t(part)),
         weakly::view(other.grad.data() + part * k, b.n - part, k));
    CHECK(same_bits(other.loss, b.loss));
    CHECK(same_bits(other.grad, b.grad));

    // The storage types give what their values as floats do.
    std::vector<weakly::half> half_logits, half_grad(b.logits.size());
    std::vector<weakly::bfloat16> brain_logits, brain_grad(b.logits.size());
    std::vector<float> rounded_half, rounded_brain;
    for (const float x : b.logits) {
      rounded_half.push_back(float(half_logits.emplace_back(x)));
      rounded_brain.push_back(float(brain_logits.emplace_back(x)));
    }
    call(weakly::seq, weakly::view(rounded_half.data(), b.n, k), b.label, b.loss, b.g());
    call(weakly::seq, weakly::view(half_logits.data(), b.n, k), b.label, other.loss,
         weakly::view(half_grad.data(), b.n, k));
    CHECK(same_bits(other.loss, b.loss));
    call(weakly::seq, weakly::view(rounded_brain.data(), b.n, k), b.label, weakly::discard, other.g());
    call(weakly::seq, weakly::view(brain_logits.data(), b.n, k), b.label, weakly::discard,
         weakly::view(brain_grad.data(), b.n, k));
    bool equal = true;
    for (std::size_t i = 0; i < b.grad.size(); ++i)
      equal &= half_grad[i].bits == weakly::half(b.grad[i]).bits &&
               brain_grad[i].bits == weakly::bfloat16(other.grad[i]).bits;
    CHECK(equal);
  }
  // A batch [2, 3, k] is six rows.
  batch_of_rows<double> b(6, 10, t.scale, 8), other = b;
  call(weakly::seq, b.x(), b.label, b.loss, b.g());
  call(weakly::seq, weakly::tensor_view<const double, 3>(b.logits.data(), {2, 3, 10}),
       weakly::tensor_view<const int, 2>(b.label.data(), {2, 3}),
       weakly::tensor_view<double, 2>(other.loss.data(), {2, 3}),
       weakly::tensor_view<double, 3>(other.grad.data(), {2, 3, 10}));
  CHECK(same_bits(other.loss, b.loss));
  CHECK(same_bits(other.grad, b.grad));
}

void check_weights_and_bad_input(const any_loss& call, const traits& t) {
  for (const index_t k : {index_t(10), index_t(300)}) {
    CAPTURE(k);
    batch_of_rows<double> b(20, k, t.scale, 9), other = b;
    call(weakly::seq, b.x(), b.label, b.loss, b.g());

    std::vector<double> weight, class_weight;
    for (index_t i = 0; i < b.n; ++i) weight.push_back(i == 2 ? 0.0 : 0.25 * static_cast<double>(i));
    for (index_t j = 0; j < k; ++j) class_weight.push_back(j == 1 ? 0.0 : 2.0);
    other.logits[std::size_t(2 * k)] = std::numeric_limits<double>::quiet_NaN();  // of a row that weighs nothing
    other.label[3] = -100;
    call(weakly::seq, other.x(),
         weakly::loss_labels(other.label).ignore(-100).weights(weight).class_weights(class_weight), other.loss,
         other.g());
    for (index_t i = 0; i < b.n; ++i) {
      const double w = i == 3 ? 0.0 : weight[std::size_t(i)] * class_weight[std::size_t(b.label[std::size_t(i)])];
      CHECK(near(other.loss[std::size_t(i)], w * b.loss[std::size_t(i)], 1e-14));
      for (index_t j = 0; j < k; ++j)
        CHECK(near(other.grad[std::size_t(i * k + j)], w * b.grad[std::size_t(i * k + j)], 1e-14));
    }

    // NaN and +inf stay in their rows.
    other = b;
    other.logits[std::size_t(4 * k + 1)] = std::numeric_limits<double>::quiet_NaN();
    other.logits[std::size_t(5 * k + k - 1)] = std::numeric_limits<double>::infinity();
    other.logits[std::size_t(6 * k + b.label[6])] = std::numeric_limits<double>::infinity();
    call(weakly::seq, other.x(), other.label, other.loss, other.g());
    for (index_t i = 0; i < b.n; ++i) {
      const std::span<const double> got(other.grad.data() + i * k, std::size_t(k)),
          was(b.grad.data() + i * k, std::size_t(k));
      if (i >= 4 && i <= 6) {
        CHECK(std::isnan(other.loss[std::size_t(i)]));
        CHECK(std::any_of(got.begin(), got.end(), [](double x) { return std::isnan(x); }));
      } else {
        CHECK(other.loss[std::size_t(i)] == b.loss[std::size_t(i)]);
        CHECK(std::equal(got.begin(), got.end(), was.begin()));
      }
    }

    // Logits whose differences are finite give finite numbers.
    for (const double size : {1e4, 1e30}) {
      other = b;
      for (double& x : other.logits) x *= size;
      for (index_t j = 0; j < k; ++j) other.logits[std::size_t(j)] = -size;  // all equal
      call(weakly::seq, other.x(), other.label, other.loss, other.g());
      CHECK(std::all_of(other.loss.begin(), other.loss.end(), [](double x) { return std::isfinite(x); }));
      CHECK(std::all_of(other.grad.begin(), other.grad.end(), [](double x) { return std::isfinite(x); }));
    }

#if WEAKLY_HAS_EXCEPTIONS
    other = b;
    other.label[7] = static_cast<int>(k);
    other.label[9] = -1;
    std::string message;
    try {
      call(weakly::seq, other.x(), other.label, other.loss, other.g());
    } catch (const weakly::label_error& e) {
      message = e.what();
    }
    CHECK(message.find("label " + std::to_string(k) + " of row 7") != std::string::npos);
    CHECK(message.find("2 such rows") != std::string::npos);
    for (index_t i = 0; i < b.n; ++i) {
      const double expected = i == 7 || i == 9 ? 0.0 : b.loss[std::size_t(i)];
      CHECK(other.loss[std::size_t(i)] == expected);
    }
    std::vector<double> fewer(std::size_t(b.n - 1));
    CHECK_THROWS_AS(call(weakly::seq, b.x(), b.label, fewer, b.g()), weakly::shape_error);
    CHECK_THROWS_AS(call(weakly::seq, b.x(), std::span(b.label).first(3), b.loss, b.g()), weakly::shape_error);
    CHECK_THROWS_AS(call(weakly::seq, b.x(), b.label, b.loss, weakly::view(b.grad.data(), b.n, k - 1)),
                    weakly::shape_error);
    CHECK_THROWS_AS(
        call(weakly::seq, weakly::view(b.logits.data(), b.n, 0), b.label, b.loss, weakly::view(b.grad.data(), b.n, 0)),
        weakly::shape_error);
#endif
    call(weakly::seq, weakly::view(b.logits.data(), 0, k), std::span(b.label).first(0), std::span(b.loss).first(0),
         weakly::view(b.grad.data(), 0, k));
  }
}

void check_loss(const any_loss& call, const plain_loss& plain, const traits& t) {
  check_values_and_gradients(call, plain, t);
  check_invariances(call, t);
  check_ways_to_call(call, t);
  check_weights_and_bad_input(call, t);
}

}  // namespace loss_checks
