// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"
#include "sanitizer.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/loss/aldr_kl_step.hpp>
#include <weakly/loss/ldr_kl.hpp>
#include <weakly/loss/normalized_logits.hpp>

#include <cmath>
#include <numeric>
#include <vector>

namespace {

using loss_checks::near;
using weakly::index_t;
using vector = std::vector<double>;

vector normalized(const vector& f, bool softplus) {
  vector out(f.size());
  weakly::normalized_logits(weakly::view(f.data(), 1, f.size()), weakly::view(out.data(), 1, out.size()),
                            {.softplus = softplus});
  return out;
}

vector pulled_back(const vector& f, const vector& g, bool softplus) {
  vector out(f.size());
  weakly::normalized_logits_gradient(weakly::view(f.data(), 1, f.size()), weakly::view(g.data(), 1, g.size()),
                                     weakly::view(out.data(), 1, out.size()), {.softplus = softplus});
  return out;
}

}  // namespace

TEST_CASE("normalized_logits have a mean magnitude of one") {
  CHECK(normalized({1, -2, 3}, false) == vector{0.5, -1, 1.5});
  const vector plus = normalized({0, 0, std::log(7.0)}, true);
  CHECK(near(plus[0], 3 * std::log(2.0) / (2 * std::log(2.0) + std::log(8.0)), 1e-15));
  CHECK(near(plus[2], 3 * plus[0], 1e-15));
}

TEST_CASE("normalized_logits of zeros are zero, and those far below zero keep their proportions") {
  CHECK(normalized({0, 0}, false) == vector{0, 0});
  CHECK(pulled_back({0, 0}, {1, 2}, false) == vector{0, 0});
  const vector low = normalized({-1e4, -1e4 + std::log(3.0)}, true);
  CHECK(near(low[0], 0.5, 1e-11));
  CHECK(near(low[1], 1.5, 1e-11));
  for (const double x : pulled_back({-1e4, -1e4 + 1}, {1, 2}, true)) CHECK(std::isfinite(x));
  const vector denormal = normalized({1e-310, 3e-310}, false);
  CHECK(near(denormal[1], 1.5, 1e-12));
}

TEST_CASE("normalized_logits' gradient is that of a linear function of them") {
  for (const bool softplus : {false, true})
    for (const double shift : {0.0, -60.0}) {
      const vector g{0.5, -1, 2, 0.25};
      vector f{1 + shift, -2 + shift, 0.5 + shift, 3 + shift};
      const vector got = pulled_back(f, g, softplus);
      const double h = 1e-5;
      double along = 0;
      for (std::size_t j = 0; j < 4; ++j) {
        const double centre = f[j];
        const auto value = [&](double x) {
          f[j] = x;
          const vector out = normalized(f, softplus);
          f[j] = centre;
          return std::inner_product(out.begin(), out.end(), g.begin(), 0.0);
        };
        CHECK(near(got[j], (value(centre + h) - value(centre - h)) / (2 * h), 1e-8));
        along += f[j] * got[j];
      }
      if (!softplus) CHECK(std::abs(along) < 1e-13);
    }
}

TEST_CASE("normalized_logits and their gradient work in place, on any executor, layout and row length") {
  for (const index_t k : {index_t(7), index_t(1300)}) {
    const loss_checks::batch_of_rows<float> b(support::sanitized ? 40 : 200, k, 3, 1);
    std::vector<float> out(b.logits.size()), grad(b.logits.size()), both = b.logits;
    weakly::normalized_logits(b.x(), weakly::view(out.data(), b.n, k), {.softplus = true});
    weakly::normalized_logits_gradient(b.x(), b.x(), weakly::view(grad.data(), b.n, k), {.softplus = true});
    weakly::thread_pool pool(3);
    weakly::normalized_logits(pool, weakly::view(both.data(), b.n, k), weakly::view(both.data(), b.n, k),
                              {.softplus = true});
    CHECK(loss_checks::same_bits(both, out));
    both = b.logits;
    weakly::normalized_logits_gradient(pool, b.x(), weakly::view(both.data(), b.n, k),
                                       weakly::view(both.data(), b.n, k), {.softplus = true});
    CHECK(loss_checks::same_bits(both, grad));
    for (index_t i = 0; i < b.n; ++i)
      for (index_t j = 0; j < k; ++j) both[std::size_t(j * b.n + i)] = b.logits[std::size_t(i * k + j)];
    const auto by_column = weakly::view(both.data(), b.n, k, 1, b.n);
    weakly::normalized_logits(by_column, by_column, {.softplus = true});
    for (index_t i = 0; i < b.n; i += 13)
      for (index_t j = 0; j < k; ++j) CHECK(both[std::size_t(j * b.n + i)] == out[std::size_t(i * k + j)]);
  }
}

TEST_CASE("ldr_kl of normalized logits is what the authors' code computes") {
  for (const auto& c : loss_reference::cases("ldr_authors")) {
    const auto logits = c.array("logits");
    const auto n = logits.shape[0], k = logits.shape[1];
    const auto f = weakly::view(logits.values.data(), n, k);
    vector v(logits.values.size()), loss(static_cast<std::size_t>(n));
    const auto view = weakly::view(v.data(), n, k);
    weakly::normalized_logits(f, view, {.softplus = true});
    weakly::ldr_kl(view, c.labels(), loss, view, {.lambda = c.number.at("lam"), .margin = c.number.at("margin")});
    weakly::normalized_logits_gradient(f, view, view, {.softplus = true});
    loss_reference::check_array(c, "loss", loss);
    loss_reference::check_array(c, "grad", v);
  }
}

TEST_CASE("aldr_kl_step of normalized logits, smoothed and without margin in the state, is the authors' ALDR") {
  for (const auto& c : loss_reference::cases("aldr_authors")) {
    const auto logits = c.array("logits");
    const auto n = logits.shape[0], k = logits.shape[1];
    const auto f = weakly::view(logits.values.data(), n, k);
    const bool softplus = c.number.at("softplus") != 0;
    std::vector<int> index(static_cast<std::size_t>(n));
    std::iota(index.begin(), index.end(), 0);
    vector v(logits.values.size()), loss(static_cast<std::size_t>(n)), state = c.values("lam_prev");
    const auto view = weakly::view(v.data(), n, k);
    weakly::normalized_logits(f, view, {.softplus = softplus});
    weakly::aldr_kl_step(view, c.labels(), index, state, loss, view,
                         {.lambda0 = c.number.at("lam0"),
                          .alpha = c.number.at("alpha"),
                          .margin = c.number.at("margin"),
                          .smoothing = c.number.at("eps"),
                          .state_margin = false});
    weakly::normalized_logits_gradient(f, view, view, {.softplus = softplus});
    loss_reference::check_array(c, "loss", loss);
    loss_reference::check_array(c, "lam", state);
    loss_reference::check_array(c, "grad", v);
  }
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("normalized_logits refuse shapes that disagree") {
  vector f(6), out(4);
  CHECK_THROWS_AS(weakly::normalized_logits(weakly::view(f.data(), 2, 3), weakly::view(out.data(), 2, 2)),
                  weakly::shape_error);
  CHECK_THROWS_AS(weakly::normalized_logits_gradient(weakly::view(f.data(), 2, 3), weakly::view(out.data(), 2, 2),
                                                     weakly::view(f.data(), 2, 3)),
                  weakly::shape_error);
}
#endif
