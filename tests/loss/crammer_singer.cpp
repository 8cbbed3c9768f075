// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/crammer_singer.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace {

using weakly::crammer_singer_options;
using weakly::index_t;
using vector = std::vector<double>;

struct result {
  vector loss, grad;
  result(const vector& logits, int label, const crammer_singer_options& options) : loss(1), grad(logits.size()) {
    const auto k = static_cast<index_t>(logits.size());
    weakly::crammer_singer(weakly::view(logits.data(), 1, k), std::vector<int>{label}, loss,
                           weakly::view(grad.data(), 1, k), options);
  }
};

template <class Plain>
void check(const crammer_singer_options& options, Plain plain, const loss_checks::traits& t = {}) {
  loss_checks::check_loss([&](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss,
                              auto&& grad) { weakly::crammer_singer(ex, logits, label, loss, grad, options); },
                          plain, t);
}

}  // namespace

TEST_CASE("crammer_singer takes the greatest violation, the first of ties, and nothing beyond the margin") {
  const result tied({1, 3, 3}, 0, {.margin = 0.5});
  CHECK(tied.loss[0] == 2.5);
  CHECK(tied.grad == vector{-1, 1, 0});
  const result right({4, 3, 3}, 0, {.margin = 1});  // at the kink
  CHECK(right.loss[0] == 0);
  CHECK(right.grad == vector{0, 0, 0});
  CHECK(result({7}, 0, {}).loss[0] == 0);
}

TEST_CASE("crammer_singer agrees with its plain form, whatever way it is called") {
  check({.margin = 2}, [](loss_checks::row f, int label) {
    long double value = 0;
    for (std::size_t j = 0; j < f.size(); ++j)
      if (j != std::size_t(label)) value = std::max(value, 2 + f[j] - f[std::size_t(label)]);
    return value;
  });
}

TEST_CASE("crammer_singer gives the reference results") {
  for (const auto& c : loss_reference::cases("cs"))
    loss_reference::check_loss_and_gradient(c, [&](auto x, const auto& y, auto& l, auto g) {
      weakly::crammer_singer(x, y, l, g, {.margin = c.number.at("m")});
    });
}
