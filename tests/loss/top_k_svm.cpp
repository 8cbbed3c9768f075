// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/top_k_svm.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace {

using weakly::index_t;
using weakly::top_k_svm_options;
using vector = std::vector<double>;

struct result {
  vector loss, grad;
  result(const vector& logits, int label, const top_k_svm_options& options) : loss(1), grad(logits.size()) {
    const auto k = static_cast<index_t>(logits.size());
    weakly::top_k_svm(weakly::view(logits.data(), 1, k), std::vector<int>{label}, loss, weakly::view(grad.data(), 1, k),
                      options);
  }
};

template <class Plain>
void check(const top_k_svm_options& options, Plain plain, const loss_checks::traits& t = {}) {
  loss_checks::check_loss([&](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss,
                              auto&& grad) { weakly::top_k_svm(ex, logits, label, loss, grad, options); },
                          plain, t);
}

}  // namespace

TEST_CASE("top_k_svm forgives a label among the greatest, and shares the last place among ties") {
  const result forgiven({1, 3, -9, -9}, 0, {.top = 2, .margin = 0});
  CHECK(forgiven.loss[0] == 1);  // the label's own zero is one of the two
  CHECK(forgiven.grad == vector{-0.5, 0.5, 0, 0});
  const result sure({9, 1, 1, 1}, 0, {.top = 2});
  CHECK(sure.loss[0] == 0);
  CHECK(sure.grad == vector{0, 0, 0, 0});
  const result tied({0, 4, 2, 2}, 0, {.top = 2, .margin = 0});
  CHECK(tied.loss[0] == 3);
  CHECK(tied.grad == vector{-1, 0.5, 0.25, 0.25});
  const result each({0, 4, -3, -3}, 0, {.top = 3, .margin = 1, .hinge_each = true});
  CHECK(each.loss[0] == doctest::Approx(5.0 / 3).epsilon(1e-15));
  CHECK(each.grad[1] == doctest::Approx(1.0 / 3).epsilon(1e-15));
  CHECK(each.grad[0] == doctest::Approx(-1.0 / 3).epsilon(1e-15));
}

TEST_CASE("top_k_svm agrees with its plain form, whatever way it is called") {
  for (const bool each : {false, true})
    for (const int top : {1, 3}) {
      loss_checks::traits t;
      t.least_classes = top + 1;
      check(
          {.top = top, .margin = 2, .hinge_each = each},
          [&](loss_checks::row f, int label) {
            std::vector<long double> delta;
            for (std::size_t j = 0; j < f.size(); ++j)
              delta.push_back(j == std::size_t(label) ? 0 : 2 + f[j] - f[std::size_t(label)]);
            std::sort(delta.begin(), delta.end(), std::greater<>());
            long double sum = 0;
            for (int m = 0; m < top; ++m) sum += each ? std::max(0.0L, delta[std::size_t(m)]) : delta[std::size_t(m)];
            return std::max(0.0L, sum / top);
          },
          t);
    }
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("top_k_svm refuses a top outside [1, k)") {
  CHECK_THROWS_AS(result({1, 2, 3}, 0, {.top = 0}), weakly::option_error);
  CHECK_THROWS_AS(result({1, 2, 3}, 0, {.top = 3}), weakly::option_error);
}
#endif
