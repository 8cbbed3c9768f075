// SPDX-License-Identifier: MIT
#include "coding_rate_oracle.hpp"
#include "sanitizer.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/rate/rate_reduction.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

namespace oracle = coding_rate_oracle;
using oracle::index_t;
using oracle::reals;
using weakly::discard;
using weakly::membership_view;

namespace {

auto rows(reals& v, index_t k) { return weakly::view(v.data(), k == 0 ? 0 : index_t(v.size()) / k, k); }

auto pi_of(const oracle::data& a) { return weakly::view(a.pi.data(), a.n, a.k); }

struct outcome {
  weakly::rate_reduction_result result;
  reals grad, membership_grad;
};
outcome all_of(const oracle::data& a, const membership_view& m, double eps_squared) {
  outcome o;
  o.grad.resize(a.z.size());
  o.membership_grad.resize(a.pi.size());
  o.result = weakly::rate_reduction(a.features(), m, rows(o.grad, a.d), rows(o.membership_grad, a.k),
                                    {.eps_squared = eps_squared});
  return o;
}

double worst(const reals& got, const reals& want) {
  double difference = 0, size = 0;
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    difference = std::max(difference, std::abs(got[i] - want[i]));
    if (std::isnan(got[i])) return INFINITY;
    size = std::max(size, std::abs(want[i]));
  }
  return difference / (size + 1e-300);
}

reals softmax(const reals& x, index_t k) {
  reals p(x.size());
  for (std::size_t i = 0; i < x.size(); i += std::size_t(k)) {
    double sum = 0;
    for (std::size_t j = i; j < i + std::size_t(k); ++j) sum += p[j] = std::exp(x[j]);
    for (std::size_t j = i; j < i + std::size_t(k); ++j) p[j] /= sum;
  }
  return p;
}

long double reduction(const oracle::data& a, double eps_squared) {
  return oracle::rate(a, eps_squared) - oracle::rate_of_classes(a, eps_squared);
}

struct lists {
  std::vector<std::int32_t> begin{0};
  std::vector<std::uint8_t> cls;
  reals weight;
};
lists lists_of(const oracle::data& a, bool with_zeros = false) {
  lists l;
  for (index_t i = 0; i < a.n; ++i) {
    for (index_t j = a.k; j-- > 0;)
      if (const double w = a.pi[std::size_t(i * a.k + j)]; w > 0 || with_zeros) {
        l.cls.push_back(std::uint8_t(j));
        l.weight.push_back(w);
      }
    l.begin.push_back(std::int32_t(l.cls.size()));
  }
  return l;
}

template <class E, class F>
std::string message(F f) {
#if WEAKLY_HAS_EXCEPTIONS
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "nothing was thrown";
#else
  static_cast<void>(f);
  return "";
#endif
}

}  // namespace

TEST_CASE("rate_reduction of two classes in two directions") {
  // M = I + 4/4 [[2, 0], [0, 2]], M_j = I + 4/2 [[2, 0], [0, 0]]
  reals z{1, 0, 1, 0, 0, 1, 0, 1};
  const std::vector<int> y{0, 0, 1, 1};
  const auto r = weakly::rate_reduction(rows(z, 2), membership_view::hard(y, 2), {.eps_squared = 0.5});
  CHECK(r.rate == doctest::Approx(std::log(3)).epsilon(1e-15));
  CHECK(r.class_rates[0] == doctest::Approx(std::log(5) / 2).epsilon(1e-15));
  CHECK(r.class_rate == doctest::Approx(std::log(5) / 2).epsilon(1e-15));
  CHECK(r.reduction == doctest::Approx(std::log(3) - std::log(5) / 2).epsilon(1e-14));
  CHECK(r.class_weights == reals{2, 2});
  const auto bits = weakly::rate_reduction(rows(z, 2), membership_view::hard(y, 2), {.unit = weakly::rate_unit::bits});
  CHECK(bits.rate == doctest::Approx(std::log2(3)).epsilon(1e-15));
  CHECK(bits.class_rates[1] == doctest::Approx(std::log2(5) / 2).epsilon(1e-15));
}

TEST_CASE("rate_reduction gives the reference results") {
  for (const oracle::stored& s : oracle::stored_cases()) {
    CAPTURE(s.name);
    const oracle::data& a = s.input;
    const auto folder = *support::reference_data("coding_rate");
    const double slack = s.name == "tiny_eps" ? 1e-7 : 1e-10;
    const bool hard = !a.label.empty();
    const outcome o =
        all_of(a, hard ? membership_view::hard(a.label, a.k) : membership_view::soft(pi_of(a)), s.eps_squared);
    CHECK(o.result.rate == doctest::Approx(s.rate).epsilon(1e-10));
    CHECK(o.result.class_rate == doctest::Approx(s.classes).epsilon(1e-10));
    CHECK(std::abs(o.result.reduction - s.reduction) <= 1e-10 * s.rate);
    CHECK(worst(o.result.class_rates, s.per_class) <= 1e-10);
    if (const auto path = folder / (s.name + "_dZ.npy"); std::filesystem::exists(path) && a.k > 1)
      CHECK(worst(o.grad, golden::read_npy(path).values) <= slack);
    if (const auto path = folder / (s.name + "_dPi.npy"); std::filesystem::exists(path))
      CHECK(worst(o.membership_grad, golden::read_npy(path).values) <= slack);
    // Without the gradient in the memberships hard classes take another way.
    reals grad(a.z.size());
    const auto m = hard ? membership_view::hard(a.label, a.k) : membership_view::soft(pi_of(a));
    const auto other =
        weakly::rate_reduction(a.features(), m, rows(grad, a.d), discard, {.eps_squared = s.eps_squared});
    if (a.k > 1) CHECK(worst(grad, o.grad) <= slack);
    CHECK(std::abs(other.reduction - s.reduction) <= 1e-10 * s.rate);
    std::ifstream file(folder / "index.json");
    const std::string text{std::istreambuf_iterator<char>(file), {}}, key = "\"dDeltaR_deps2\": ";
    const double slope = std::stod(text.substr(text.find(key, text.find("\"" + s.name + "\"")) + key.size()));
    CHECK(std::abs(o.result.eps_squared_grad - slope) <= slack * (1 + std::abs(slope)));
    const auto value =
        weakly::rate_reduction(a.features(), m, {.eps_squared = s.eps_squared, .eps_squared_grad = true});
    CHECK(std::abs(value.eps_squared_grad - slope) <= slack * (1 + std::abs(slope)));
    CHECK(std::abs(value.reduction - s.reduction) <= 1e-10 * s.rate);
  }
}

TEST_CASE("rate_reduction has the gradients of the definition, for classes of any size and membership") {
  struct shape {
    index_t n, d, k;
    bool soft;
  };
  for (const auto& [n, d, k, soft] : {shape{40, 5, 3, false},
                                      {9, 14, 3, false},
                                      {24, 10, 4, false},
                                      {20, 4, 3, true},
                                      {6, 11, 2, true},
                                      {70, 33, 2, true}}) {
    oracle::data a = oracle::make_data(n, d, k, 3, soft);
    CAPTURE(n);
    CAPTURE(d);
    CAPTURE(soft);
    const auto m = soft ? membership_view::soft(pi_of(a)) : membership_view::hard(a.label, k);
    const outcome o = all_of(a, m, 0.4);
    reals grad(a.z.size());
    weakly::rate_reduction(a.features(), m, rows(grad, d), discard, {.eps_squared = 0.4});
    CHECK(worst(grad, o.grad) < 1e-12);
    for (std::size_t e = 0; e < a.z.size(); e += a.z.size() / 7 + 1)
      CHECK(std::abs(oracle::slope(a.z[e], [&] { return reduction(a, 0.4); }) - o.grad[e]) < 2e-8);
    if (soft || n > d)  // towards a class that has no weight the function has no second side
      for (std::size_t e = 0; e < a.pi.size(); e += a.pi.size() / 9 + 1)
        CHECK(std::abs(oracle::slope(
                           a.pi[e], [&] { return oracle::rate_of_classes(a, 0.4); }, 1e-6) +
                       o.membership_grad[e]) < 2e-7);
    double eps = 0.4;
    CHECK(std::abs(oracle::slope(eps, [&] { return reduction(a, eps); }) - o.result.eps_squared_grad) < 2e-8);
  }
}

TEST_CASE("rate_reduction of a softmax goes on to its logits") {
  oracle::data a = oracle::make_data(15, 4, 3, 5, true);
  reals logits(a.pi.size());
  for (std::size_t e = 0; e < logits.size(); ++e) logits[e] = std::log(a.pi[e]);
  const outcome o = all_of(a, membership_view::soft(pi_of(a)), 0.5);
  for (index_t i = 0; i < a.n; i += 4)
    for (index_t j = 0; j < a.k; ++j) {
      double mean = 0;
      for (index_t c = 0; c < a.k; ++c)
        mean += a.pi[std::size_t(i * a.k + c)] * o.membership_grad[std::size_t(i * a.k + c)];
      const std::size_t e = std::size_t(i * a.k + j);
      oracle::data b = a;
      const double want = oracle::slope(logits[e], [&] {
        b.pi = softmax(logits, b.k);
        return reduction(b, 0.5);
      });
      CHECK(std::abs(a.pi[e] * (o.membership_grad[e] - mean) - want) < 1e-8);
    }
}

TEST_CASE("rate_reduction is the same for sparse and dense memberships, zero entries included") {
  for (const auto& [n, d] : {std::pair<index_t, index_t>{50, 6}, {7, 12}}) {
    oracle::data a = oracle::make_data(n, d, 4, 8, true);
    for (index_t i = 0; i < n; ++i) {  // half of the entries zero
      double sum = 0;
      for (index_t j = 0; j < 4; ++j) sum += a.pi[std::size_t(i * 4 + j)] *= (i + j) % 2 == 0 ? 1 : 0;
      for (index_t j = 0; j < 4; ++j) a.pi[std::size_t(i * 4 + j)] /= sum;
    }
    const outcome dense = all_of(a, membership_view::soft(pi_of(a)), 0.5);
    for (const bool with_zeros : {false, true}) {
      const lists l = lists_of(a, with_zeros);
      reals grad(a.z.size()), entry_grad(l.weight.size());
      const auto r = weakly::rate_reduction(a.features(), membership_view::sparse(l.begin, l.cls, l.weight, 4),
                                            rows(grad, d), entry_grad);
      CHECK(r.reduction == doctest::Approx(dense.result.reduction).epsilon(1e-13));
      CHECK(worst(grad, dense.grad) < 1e-12);
      reals want;
      for (index_t i = 0; i < n; ++i)
        for (index_t j = 4; j-- > 0;)
          if (with_zeros || a.pi[std::size_t(i * 4 + j)] > 0)
            want.push_back(dense.membership_grad[std::size_t(i * 4 + j)]);
      CHECK(worst(entry_grad, want) < 1e-12);
    }
  }
}

TEST_CASE("rate_reduction is the same after a rotation, a permutation and for two copies of the data") {
  const oracle::data a = oracle::make_data(60, 6, 3, 11);
  const auto of = [](const oracle::data& b) {
    return weakly::rate_reduction(b.features(), membership_view::hard(b.label, b.k)).reduction;
  };
  const double want = of(a);
  oracle::data turned = a;
  for (index_t i = 0; i < a.n; ++i) {
    double& x = turned.z[std::size_t(i * 6 + 1)];
    double& y = turned.z[std::size_t(i * 6 + 4)];
    const double u = x, v = y;
    x = 0.6 * u - 0.8 * v;
    y = 0.8 * u + 0.6 * v;
  }
  CHECK(of(turned) == doctest::Approx(want).epsilon(1e-13));
  oracle::data reversed = a;
  std::reverse(reversed.label.begin(), reversed.label.end());
  for (index_t i = 0; i < a.n; ++i) std::copy_n(a.z.begin() + (a.n - 1 - i) * 6, 6, reversed.z.begin() + i * 6);
  CHECK(of(reversed) == doctest::Approx(want).epsilon(1e-13));
  oracle::data twice = a;
  twice.n *= 2;
  twice.z.insert(twice.z.end(), a.z.begin(), a.z.end());
  twice.label.insert(twice.label.end(), a.label.begin(), a.label.end());
  CHECK(of(twice) == doctest::Approx(want).epsilon(1e-13));
}

TEST_CASE("rate_reduction is not negative, and nothing where there is one class") {
  for (unsigned seed = 0; seed < unsigned(support::rounds(40)); ++seed) {
    const auto n = index_t(1 + seed * 7 % 50), d = index_t(1 + seed * 5 % 30), k = index_t(1 + seed % 6);
    const oracle::data a = oracle::make_data(n, d, k, seed, seed % 2 == 0);
    const auto m = seed % 2 == 0 ? membership_view::soft(pi_of(a)) : membership_view::hard(a.label, k);
    const auto r = weakly::rate_reduction(a.features(), m, {.eps_squared = seed % 3 == 0 ? 0.01 : 0.5});
    CHECK(r.reduction > -1e-13 * (1 + r.rate));
    CHECK(std::abs(r.reduction - (r.rate - r.class_rate)) < 1e-13 * (1 + r.rate));
    if (seed % 2 == 1 && k == 1) CHECK(r.reduction == 0);
    const std::vector<std::uint8_t> same(std::size_t(n), 3);
    reals grad(a.z.size());
    const auto one = weakly::rate_reduction(a.features(), membership_view::hard(same, 5), rows(grad, d), discard);
    CHECK(one.reduction == 0);
    CHECK(std::abs(one.eps_squared_grad) < 1e-13);
    for (const double g : grad) CHECK(std::abs(g) < 1e-13);
  }
}

TEST_CASE("rate_reduction of few and of many rows a class agrees where the sides meet") {
  // 0.56 d = 22.4 at d = 40: the class of 22 rows goes by its Gram matrix, that of 23 by its covariance.
  oracle::data a = oracle::make_data(145, 40, 3, 13);
  for (index_t i = 0; i < 145; ++i) a.label[std::size_t(i)] = i < 22 ? 0 : i < 45 ? 1 : 2;
  for (index_t i = 0; i < 145; ++i)
    for (index_t j = 0; j < 3; ++j) a.pi[std::size_t(i * 3 + j)] = a.label[std::size_t(i)] == j;
  const outcome o = all_of(a, membership_view::hard(a.label, 3), 0.5);  // all by their covariance
  reals grad(a.z.size());
  const auto mixed = weakly::rate_reduction(a.features(), membership_view::hard(a.label, 3), rows(grad, 40), discard);
  CHECK(worst(grad, o.grad) < 1e-12);
  CHECK(worst(mixed.class_rates, o.result.class_rates) < 1e-12);
  for (index_t j = 0; j < 3; ++j)
    CHECK(mixed.class_rates[std::size_t(j)] ==
          doctest::Approx(double(oracle::rate_of_class(a, j, 0.5))).epsilon(1e-13));
  CHECK(mixed.eps_squared_grad == doctest::Approx(o.result.eps_squared_grad).epsilon(1e-12));
}

TEST_CASE("rate_reduction of many small classes is that of each alone") {
  const index_t k = 70, d = 12;
  const oracle::data a = oracle::make_data(900, d, k, 17);
  reals grad(a.z.size());
  const auto r = weakly::rate_reduction(a.features(), membership_view::hard(a.label, k), rows(grad, d), discard);
  for (index_t j = 0; j < k; j += 9)
    CHECK(r.class_rates[std::size_t(j)] == doctest::Approx(double(oracle::rate_of_class(a, j, 0.5))).epsilon(1e-13));
  CHECK(r.reduction == doctest::Approx(double(reduction(a, 0.5))).epsilon(1e-12));
  CHECK(worst(grad, all_of(a, membership_view::hard(a.label, k), 0.5).grad) < 1e-12);
}

TEST_CASE_TEMPLATE("rate_reduction has the same bits for every executor and layout", T, float, double) {
  struct shape {
    index_t n, d, k;
    bool soft;
  };
  for (const auto& [n, d, k, soft] :
       {shape{300, 21, 3, false}, {300, 21, 30, false}, {15, 40, 4, false}, {150, 9, 3, true}, {900, 7, 66, false}}) {
    const oracle::data a = oracle::make_data(n, d, k, 19, soft);
    const std::vector<T> z(a.z.begin(), a.z.end());
    std::vector<T> grad(z.size()), threaded(z.size()), column(z.size()), by_column(z.size()), wide(z.size() * 2),
        wide_grad(z.size() * 2, T(7));
    reals pi_grad(a.pi.size()), other_pi_grad(a.pi.size());
    const auto m = soft ? membership_view::soft(pi_of(a)) : membership_view::hard(a.label, k);
    const auto size = [&](auto& v, index_t row, index_t col) { return weakly::view(v.data(), n, d, row, col); };
    const auto first = weakly::rate_reduction(size(z, d, 1), m, size(grad, d, 1), discard);
    weakly::thread_pool pool(3);
    const auto second = weakly::rate_reduction(pool, size(z, d, 1), m, size(threaded, d, 1), discard);
    CHECK(oracle::same_bits(grad, threaded));
    CHECK(first.reduction == second.reduction);
    CHECK(first.class_rates == second.class_rates);
    for (index_t i = 0; i < n; ++i)
      for (index_t j = 0; j < d; ++j) {
        column[std::size_t(j * n + i)] = z[std::size_t(i * d + j)];
        wide[std::size_t((i * d + j) * 2)] = z[std::size_t(i * d + j)];
      }
    const auto third = weakly::rate_reduction(size(column, 1, n), m, size(by_column, 1, n), discard);
    weakly::rate_reduction(size(wide, 2 * d, 2), m, size(wide_grad, 2 * d, 2), discard);
    CHECK(first.reduction == third.reduction);
    std::size_t differing = 0, overwritten = 0;
    for (index_t i = 0; i < n; ++i)
      for (index_t j = 0; j < d; ++j) {
        const T g = grad[std::size_t(i * d + j)];
        differing += g != by_column[std::size_t(j * n + i)] || g != wide_grad[std::size_t((i * d + j) * 2)];
        overwritten += wide_grad[std::size_t((i * d + j) * 2 + 1)] != T(7);
      }
    CHECK(differing == 0);
    CHECK(overwritten == 0);
    weakly::rate_reduction(size(z, d, 1), m, discard, rows(pi_grad, k));
    weakly::rate_reduction(pool, size(column, 1, n), m, discard, rows(other_pi_grad, k));
    CHECK(oracle::same_bits(pi_grad, other_pi_grad));
  }
}

TEST_CASE("rate_reduction of float features is as exact as float allows, and turns to double where it does not") {
  const oracle::data a = oracle::make_data(600, 64, 8, 23);
  const std::vector<float> z(a.z.begin(), a.z.end());
  oracle::data b = a;
  b.z.assign(z.begin(), z.end());
  std::vector<float> grad(z.size());
  reals exact(z.size());
  for (const auto& [eps_squared, slack] :
       {std::pair{0.5, 4e-6}, {0.05, 2e-5}, {1e-3, 1e-10}, {1e-5, 1e-9}, {1e-8, 1e-8}}) {
    CAPTURE(eps_squared);
    const auto m = membership_view::hard(a.label, 8);
    const weakly::rate_reduction_options options{.eps_squared = eps_squared};
    const double got = weakly::rate_reduction(weakly::view(z.data(), 600, 64), m, weakly::view(grad.data(), 600, 64),
                                              discard, options)
                           .reduction,
                 want = weakly::rate_reduction(b.features(), m, rows(exact, 64), discard, options).reduction;
    CHECK(std::abs(got - want) <= slack);
    CHECK(worst(reals(grad.begin(), grad.end()), exact) < (slack < 1e-7 ? 1e-6 : 1e-4));
  }
  std::vector<float> great = z;  // whose squares overflow float
  for (float& x : great) x *= 1e25f;
  const auto r = weakly::rate_reduction(weakly::view(great.data(), 600, 64), membership_view::hard(a.label, 8));
  CHECK(std::isfinite(r.reduction));
}

TEST_CASE("rate_reduction takes empty classes, rows and features") {
  oracle::data a = oracle::make_data(40, 10, 3, 29);
  reals grad(a.z.size()), pi_grad(std::size_t(a.n * 5), 7.0);
  const auto three = weakly::rate_reduction(a.features(), membership_view::hard(a.label, 3));
  const auto five =
      weakly::rate_reduction(a.features(), membership_view::hard(a.label, 5), rows(grad, 10), rows(pi_grad, 5));
  CHECK(five.reduction == doctest::Approx(three.reduction).epsilon(1e-14));
  CHECK(five.class_rates[4] == 0);
  CHECK(five.class_weights[3] == 0);
  for (index_t i = 0; i < a.n; ++i) CHECK(pi_grad[std::size_t(i * 5 + 3)] == 0);

  reals none;
  const std::vector<int> no_label;
  const auto nothing = weakly::rate_reduction(weakly::view(none.data(), 0, 10), membership_view::hard(no_label, 3),
                                              weakly::view(none.data(), 0, 10), weakly::view(none.data(), 0, 3));
  CHECK(nothing.rate == 0);
  CHECK(nothing.reduction == 0);
  CHECK(nothing.class_rates == reals(3));
  CHECK(
      weakly::rate_reduction(weakly::view(none.data(), 0, 0), membership_view::hard(no_label, 0)).class_rates.empty());
  const std::vector<int> some{0, 1};
  CHECK(weakly::rate_reduction(weakly::view(none.data(), 2, 0), membership_view::hard(some, 2)).reduction == 0);
  reals zeros(20);
  const auto flat = weakly::rate_reduction(rows(zeros, 10), membership_view::hard(some, 2), rows(zeros, 10), discard);
  CHECK(flat.rate == 0);
}

TEST_CASE("rate_reduction_loss is the published objective with its gradients, in both conventions") {
  oracle::data a = oracle::make_data(30, 5, 3, 31);
  const auto m = membership_view::hard(a.label, 3);
  for (const auto scaling : {weakly::rate_reduction_scaling::mcr2, weakly::rate_reduction_scaling::erase}) {
    const double c = scaling == weakly::rate_reduction_scaling::erase ? 1.5 : 1;
    const auto want = [&](double eps_squared) {
      const auto scaled = oracle::rate(a, eps_squared / 1.5);
      return -2 * scaled + c * oracle::rate_of_classes(a, eps_squared);
    };
    reals grad(a.z.size()), pi_grad(a.pi.size());
    const weakly::rate_reduction_loss_options options{.eps_squared = 0.05, .gam1 = 1.5, .gam2 = 2, .scaling = scaling};
    const auto r = weakly::rate_reduction_loss(a.features(), m, rows(grad, 5), rows(pi_grad, 3), options);
    CHECK(r.loss == doctest::Approx(double(want(0.05))).epsilon(1e-13));
    for (std::size_t e = 0; e < a.z.size(); e += 17)
      CHECK(std::abs(oracle::slope(a.z[e], [&] { return want(0.05); }) - grad[e]) < 1e-7);
    for (std::size_t e = 0; e < a.pi.size(); e += 7)
      CHECK(std::abs(oracle::slope(
                         a.pi[e], [&] { return c * oracle::rate_of_classes(a, 0.05); }, 1e-6) -
                     pi_grad[e]) < 1e-6);
    double eps = 0.05;
    CHECK(std::abs(oracle::slope(eps, [&] { return want(eps); }) - r.eps_squared_grad) < 1e-6);
  }
  const auto plain = weakly::rate_reduction_loss(a.features(), m, discard, discard);
  CHECK(plain.loss == doctest::Approx(-weakly::rate_reduction(a.features(), m).reduction).epsilon(1e-13));
}

TEST_CASE("rate_reduction names what is wrong with its input") {
  oracle::data a = oracle::make_data(8, 3, 2, 37);
  reals grad(a.z.size());
  const auto hard = membership_view::hard(a.label, 2);
  const auto run = [&](double eps_squared = 0.5) {
    weakly::rate_reduction(a.features(), hard, rows(grad, 3), discard, {.eps_squared = eps_squared});
  };
  for (const double bad : {0.0, -1.0, std::nan(""), HUGE_VAL, 1e-320}) CHECK_THROWS_AS(run(bad), weakly::option_error);
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    a.z[std::size_t(4 * 3 + 1)] = bad;
    CHECK_THROWS_AS(run(), weakly::value_error);
#if WEAKLY_HAS_EXCEPTIONS
    CHECK(message<weakly::value_error>(run).find("feature 1 of row 4") != std::string::npos);
#endif
    CHECK(grad == reals(a.z.size()));
  }
  a.z[std::size_t(4 * 3 + 1)] = 1e200;
  CHECK_THROWS_WITH_AS(run(), "rate_reduction: the squares of the features overflow at row 4; scale the features down",
                       weakly::value_error);
  a.z[std::size_t(4 * 3 + 1)] = 0;
  const std::vector<signed char> low{0, 1, 0, -1, 0, 0, 0, 0};
  CHECK_THROWS_AS(weakly::rate_reduction(a.features(), membership_view::hard(low, 2)), weakly::label_error);
  CHECK_THROWS_AS(weakly::rate_reduction(a.features(), membership_view::hard(a.label, 0)), weakly::label_error);
  CHECK_THROWS_AS(membership_view::hard(a.label, -1), weakly::option_error);
  for (const double bad : {-0.5, std::nan(""), HUGE_VAL, 0.5}) {
    reals pi = a.pi;
    pi[4] = bad;
    CHECK_THROWS_AS(weakly::rate_reduction(a.features(), membership_view::soft(rows(pi, 2))), weakly::value_error);
  }
  reals short_grad(6);
  CHECK_THROWS_AS(weakly::rate_reduction(a.features(), hard, rows(short_grad, 3), discard), weakly::shape_error);
  CHECK_THROWS_AS(weakly::rate_reduction(a.features(), hard, discard, rows(short_grad, 2)), weakly::shape_error);
  const std::vector<int> few{0, 1};
  CHECK_THROWS_AS(weakly::rate_reduction(a.features(), membership_view::hard(few, 2)), weakly::shape_error);
  CHECK_THROWS_AS(weakly::rate_reduction_loss(a.features(), hard, discard, discard, {.gam1 = 0}), weakly::option_error);
  CHECK_THROWS_AS(weakly::rate_reduction_loss(a.features(), hard, discard, discard, {.gam2 = -1}),
                  weakly::option_error);
}

TEST_CASE("rate_reduction reports the pivot where precision is lost") {
  // Rows that differ by less than a rounding of their squares, at a condition number beyond double.
  const index_t n = 40, d = 6;
  reals z(std::size_t(n * d), 1.0);
  for (index_t i = 0; i < n; ++i) z[std::size_t(i * d + i % d)] += 1e-12 * double(i);
  const std::vector<int> y(std::size_t(n), 0);
  const auto text = message<weakly::value_error>(
      [&] { weakly::rate_reduction(rows(z, d), membership_view::hard(y, 1), {.eps_squared = 1e-25}); });
#if WEAKLY_HAS_EXCEPTIONS
  CHECK(text.find("pivot") != std::string::npos);
#endif
}

TEST_CASE("rate_reduction names the class and the pivot of a factor that fails, alone or among lanes") {
  // The features of one class are the same, and 1 is lost beside 2^60: its second pivot is exactly 0.
  for (const index_t k : {3, 70}) {
    reals z;
    std::vector<int> y;
    for (index_t c = 0; c < k; ++c)
      for (const double x : {1.0, 0.0, 1.0, 0.0}) {
        const bool same = c == k - 2;
        z.insert(z.end(), {same ? 1.0 : x, same ? 1.0 : 1 - x});
        y.push_back(int(c));
      }
    reals grad(z.size());
    const auto text = message<weakly::value_error>([&] {
      weakly::rate_reduction(rows(z, 2), membership_view::hard(y, k), rows(grad, 2), discard,
                             {.eps_squared = std::ldexp(1.0, -59)});
    });
#if WEAKLY_HAS_EXCEPTIONS
    CHECK(text.find("rate_reduction: the matrix of class " + std::to_string(k - 2) + " lost") == 0);
    CHECK(text.find("at pivot 1; eps_squared 1.7347") != std::string::npos);
#endif
  }
}

TEST_CASE("rate_reduction of float features takes factors that float does not hold") {
  std::vector<float> z{0, 0, 0, 0, 0, 0, 0, 0};
  const auto m = [](const std::vector<int>& y) { return membership_view::hard(y, 2); };
  const std::vector<int> y{0, 1, 0, 1};
  const auto features = weakly::view(z.data(), 4, 2);
  CHECK(weakly::rate_reduction(features, m(y), {.eps_squared = 1e-40}).rate == 0);
  for (const auto& [size, eps_squared] : {std::pair{1e-23F, 1e-50}, {1e18F, 1e42}}) {
    for (std::size_t e = 0; e < z.size(); ++e) z[e] = size * float(1 + e * e % 5);
    reals same(z.begin(), z.end()), grad(8), want(8);
    const weakly::rate_reduction_options options{.eps_squared = eps_squared};
    const auto got = weakly::rate_reduction(features, m(y), rows(grad, 2), discard, options),
               exact = weakly::rate_reduction(rows(same, 2), m(y), rows(want, 2), discard, options);
    CHECK(got.rate == doctest::Approx(exact.rate).epsilon(1e-12));
    CHECK(got.class_rate == doctest::Approx(exact.class_rate).epsilon(1e-12));
    CHECK(worst(grad, want) < 1e-12);
  }
  z = {1, 0, 0, 1, 0.5F, 0.5F, 0.25F, 0.125F};
  reals same(z.begin(), z.end()), grad(8), want(8);
  weakly::rate_reduction_loss(features, m(y), rows(grad, 2), discard, {.gam2 = 1e39});
  weakly::rate_reduction_loss(rows(same, 2), m(y), rows(want, 2), discard, {.gam2 = 1e39});
  CHECK(worst(grad, want) < 1e-12);
  CHECK_THROWS_AS(weakly::rate_reduction_loss(features, m(y), discard, discard, {.eps_squared = 1e-5, .gam1 = 1e308}),
                  weakly::option_error);
  CHECK_THROWS_AS(weakly::rate_reduction_loss(features, m(y), discard, discard, {.gam1 = 1e200, .gam2 = 1e200}),
                  weakly::option_error);
}
