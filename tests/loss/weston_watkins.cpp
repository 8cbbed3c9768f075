// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/weston_watkins.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace {

using weakly::index_t;
using weakly::weston_watkins_options;
using vector = std::vector<double>;

struct result {
  vector loss, grad;
  result(const vector& logits, int label, const weston_watkins_options& options) : loss(1), grad(logits.size()) {
    const auto k = static_cast<index_t>(logits.size());
    weakly::weston_watkins(weakly::view(logits.data(), 1, k), std::vector<int>{label}, loss,
                           weakly::view(grad.data(), 1, k), options);
  }
};

template <class Plain>
void check(const weston_watkins_options& options, Plain plain, const loss_checks::traits& t = {}) {
  loss_checks::check_loss([&](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss,
                              auto&& grad) { weakly::weston_watkins(ex, logits, label, loss, grad, options); },
                          plain, t);
}

}  // namespace

TEST_CASE("weston_watkins adds up every violation, and divides by k on request") {
  const result r({1, 3, 2.5, -4}, 0, {.margin = 0.5});
  CHECK(r.loss[0] == 4.5);
  CHECK(r.grad == vector{-2, 1, 1, 0});
  const result mean({1, 3, 2.5, -4}, 0, {.margin = 0.5, .mean = true});
  CHECK(mean.loss[0] == 1.125);
  CHECK(mean.grad == vector{-0.5, 0.25, 0.25, 0});
  const result kink({1, 0}, 0, {.margin = 1});
  CHECK(kink.loss[0] == 0);
  CHECK(kink.grad == vector{0, 0});
  CHECK(result({7}, 0, {}).loss[0] == 0);
}

TEST_CASE("weston_watkins agrees with its plain form, whatever way it is called") {
  check({.margin = 2}, [](loss_checks::row f, int label) {
    long double value = 0;
    for (std::size_t j = 0; j < f.size(); ++j)
      if (j != std::size_t(label)) value += std::max(0.0L, 2 + f[j] - f[std::size_t(label)]);
    return value;
  });
}

TEST_CASE("weston_watkins gives the reference results") {
  for (const auto& c : loss_reference::cases("ww"))
    loss_reference::check_loss_and_gradient(c, [&](auto x, const auto& y, auto& l, auto g) {
      weakly::weston_watkins(x, y, l, g, {.margin = c.number.at("m")});
    });
}
