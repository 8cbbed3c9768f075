// SPDX-License-Identifier: MIT
#include "batch_checks.hpp"
#include "loss_reference.hpp"
#include "noise/allocations.hpp"

#include <weakly/core/workspace.hpp>
#include <weakly/loss/robust_contrastive.hpp>
#include <weakly/loss/robust_contrastive_step.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

using weakly::discard;
using weakly::index_t;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct anchors {
  std::vector<double> log_u, v, tau;
  explicit anchors(index_t n, double t = 0.1)
      : log_u(std::size_t(n), -infinity), v(std::size_t(n)), tau(std::size_t(n), t) {}
  weakly::contrastive_state<double> state() { return {weakly::view(log_u), weakly::view(v), weakly::view(tau)}; }
};

std::vector<std::byte> memory_for(index_t n) {
  return std::vector<std::byte>(weakly::robust_contrastive_step_scratch<double>(n));
}

}  // namespace

TEST_CASE("robust_contrastive_step gives the reference results") {
  for (const auto& c : loss_reference::cases("isogclr_step")) {
    const auto sim = c.values("sim");
    const auto n = static_cast<index_t>(c.values("tau").size());
    anchors a(n);
    a.log_u = c.values("log_u");
    a.v = c.values("v");
    a.tau = c.values("tau");
    const weakly::robust_contrastive_step_options options{.gamma = c.number.at("gamma"),
                                                          .beta = c.number.at("beta"),
                                                          .eta = c.number.at("eta"),
                                                          .rho = c.number.at("rho"),
                                                          .min_temperature = c.number.at("tau_min"),
                                                          .max_temperature = c.number.at("tau_max"),
                                                          .clip = c.number.at("clip")};
    std::vector<double> grad(sim.size());
    auto memory = memory_for(n);
    weakly::workspace space(memory);
    const double loss = weakly::robust_contrastive_step(weakly::seq, weakly::view(sim.data(), n, n), a.state(), space,
                                                        weakly::view(grad.data(), n, n), options);
    loss_reference::check_array(c, "loss", {loss});
    loss_reference::check_array(c, "dsim", grad);
    loss_reference::check_array(c, "log_u_new", a.log_u);
    loss_reference::check_array(c, "v_new", a.v);
    loss_reference::check_array(c, "tau_new", a.tau);

    // With a momentum that is the slope alone and no clipping, the momentum shows the slope.
    anchors b(n);
    b.log_u = c.values("log_u");
    b.tau = c.values("tau");
    auto plain = options;
    plain.beta = 1;
    plain.clip = infinity;
    weakly::workspace again(memory);
    weakly::robust_contrastive_step(weakly::view(sim.data(), n, n), b.state(), again, discard, plain);
    loss_reference::check_array(c, "grad_tau", b.v);
  }
}

TEST_CASE("robust_contrastive_step on a first visit has the gradient of the exact loss, both ways") {
  const index_t n = 9;
  const auto sim = batch_checks::normal<double>(n * n, 0.5, 3);
  anchors rows(n, 0.2), columns(n, 0.1);
  auto memory = memory_for(n);
  std::vector<double> grad(sim.size()), exact(sim.size()), slope(std::size_t(n), 0.0);
  weakly::workspace space(memory), other(memory);
  weakly::robust_contrastive(weakly::view(sim.data(), n, n), rows.tau, columns.tau, other,
                             weakly::view(exact.data(), n, n), slope, discard, {.rho = 0.3});
  weakly::robust_contrastive_step(weakly::view(sim.data(), n, n), rows.state(), columns.state(), space,
                                  weakly::view(grad.data(), n, n), {.beta = 1, .eta = 0});
  for (std::size_t e = 0; e < grad.size(); ++e) CHECK(grad[e] == doctest::Approx(exact[e]).epsilon(1e-12));
  for (std::size_t i = 0; i < slope.size(); ++i)
    CHECK(rows.v[i] == doctest::Approx(slope[i] * double(n)).epsilon(1e-12));
}

TEST_CASE("robust_contrastive_step: repeated visits of the same batch settle, temperatures stay in their bounds") {
  const index_t n = 12;
  const auto sim = batch_checks::normal<double>(n * n, 0.5, 4);
  anchors a(n, 0.3);
  auto memory = memory_for(n);
  for (int visit = 0; visit < 400; ++visit) {
    weakly::workspace space(memory);
    weakly::robust_contrastive_step(weakly::seq, weakly::view(sim.data(), n, n), a.state(), space, discard,
                                    {.rho = 0.5, .min_temperature = 0.05, .max_temperature = 0.7});
    for (const double t : a.tau) CHECK((t >= 0.05 && t <= 0.7));
  }
  // Settled: the slope is zero inside the bounds.
  std::vector<double> slope(a.tau.size());
  weakly::workspace space(memory);
  weakly::robust_contrastive(weakly::view(sim.data(), n, n), a.tau, discard, space, discard, slope, discard,
                             {.rho = 0.5});
  index_t inside = 0;
  for (std::size_t i = 0; i < slope.size(); ++i) {
    if (a.tau[i] <= 0.05 || a.tau[i] >= 0.7) continue;
    ++inside;
    CHECK(std::abs(slope[i] * double(n)) < 1e-3);
  }
  CHECK(inside > 0);
}

TEST_CASE("robust_contrastive_step never overflows: similarities far apart, small temperatures, old averages") {
  const index_t n = 4;
  std::vector<double> sim{-1, 1, 1, 1, 1, -1, 1, 1, -1, -1, 1, -1, 1, 1, 1, 1};
  std::vector<float> single(sim.begin(), sim.end()), grad(16);
  for (const double old : {-800.0, 0.0, 800.0, -infinity}) {
    anchors a(n, 0.005);
    a.log_u.assign(4, old);
    auto memory = memory_for(n);
    weakly::workspace space(memory);
    const double loss =
        weakly::robust_contrastive_step(weakly::seq, weakly::view(single.data(), n, n), a.state(), space,
                                        weakly::view(grad.data(), n, n), {.min_temperature = 0.005});
    CHECK(std::isfinite(loss));
    for (const float g : grad) CHECK(std::isfinite(g));
    for (const double u : a.log_u) CHECK(std::isfinite(u));
  }
}

TEST_CASE("robust_contrastive_step: an anchor that sees a NaN keeps its state") {
  const index_t n = 4;
  auto sim = batch_checks::normal<double>(n * n, 0.5, 4);
  sim[2 * 4 + 1] = std::numeric_limits<double>::quiet_NaN();
  anchors a(n), before(n);
  auto memory = memory_for(n);
  weakly::workspace space(memory);
  CHECK(std::isnan(
      weakly::robust_contrastive_step(weakly::seq, weakly::view(sim.data(), n, n), a.state(), space, discard)));
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK((a.log_u[i] == before.log_u[i]) == (i == 2));
    CHECK((a.tau[i] == before.tau[i]) == (i == 2));
  }
}

TEST_CASE("robust_contrastive_step gives the same bits whatever way it is called and allocates nothing") {
  for (const index_t n : {index_t(5), index_t(300)}) {
    auto memory = memory_for(n);
    anchors rows(n), columns(n);
    std::vector<double> first;
    const auto call = [&](auto&& ex, auto s, auto grad) {
      const auto size = std::size_t(n);
      for (anchors* a : {&rows, &columns}) {
        a->log_u.assign(size, 1.5);
        a->v.assign(size, 0.1);
        a->tau.assign(size, 0.2);
      }
      weakly::workspace space(memory);
      return weakly::robust_contrastive_step(ex, s, rows.state(), columns.state(), space, grad);
    };
    batch_checks::check_ways_to_call(n, n, 0.5, call);
    const auto x = batch_checks::normal<float>(n * n, 0.5, 1);
    std::vector<float> grad(x.size());
    CHECK(allocations::during(
              [&] { call(weakly::seq, weakly::view(x.data(), n, n), weakly::view(grad.data(), n, n)); }) == 0);
  }
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("robust_contrastive_step refuses state of another size, temperatures and options outside their domains") {
  const std::vector<double> sim(16);
  auto memory = memory_for(4);
  const auto call = [&](anchors a, const weakly::robust_contrastive_step_options& o) {
    weakly::workspace space(memory);
    weakly::robust_contrastive_step(weakly::seq, weakly::view(sim.data(), 4, 4), a.state(), space, discard, o);
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(call(anchors(3), {}), weakly::shape_error);
  for (const double t : {0.0, -1.0, nan, infinity}) CHECK_THROWS_AS(call(anchors(4, t), {}), weakly::value_error);
  for (const double bad : {-0.1, nan}) {
    CHECK_THROWS_AS(call(anchors(4), {.gamma = bad}), weakly::option_error);
    CHECK_THROWS_AS(call(anchors(4), {.beta = bad}), weakly::option_error);
    CHECK_THROWS_AS(call(anchors(4), {.eta = bad}), weakly::option_error);
    CHECK_THROWS_AS(call(anchors(4), {.rho = bad}), weakly::option_error);
    CHECK_THROWS_AS(call(anchors(4), {.min_temperature = bad}), weakly::option_error);
    CHECK_THROWS_AS(call(anchors(4), {.max_temperature = bad}), weakly::option_error);
    CHECK_THROWS_AS(call(anchors(4), {.clip = bad}), weakly::option_error);
  }
  CHECK_THROWS_AS(call(anchors(4), {.gamma = 0}), weakly::option_error);
  CHECK_THROWS_AS(call(anchors(4), {.beta = 1.5}), weakly::option_error);
  CHECK_THROWS_AS(call(anchors(4), {.min_temperature = 1, .max_temperature = 0.5}), weakly::option_error);
}
#endif
