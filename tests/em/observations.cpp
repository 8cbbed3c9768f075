// SPDX-License-Identifier: MIT
#include <weakly/core/half.hpp>
#include <weakly/em/observations.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace {

// The likelihoods of a row up to their common factor, as the observation gives them.
std::vector<double> weights_of(const weakly::observations& o, weakly::index_t row, bool valid = true) {
  std::vector<double> w(static_cast<std::size_t>(o.classes()), -1.0);
  weakly::observed_row found;
  CHECK(o.weights(row, 0, o.classes(), w.data(), found) == valid);
  for (double& x : w) x *= std::exp(found.log_scale);
  return w;
}

bool near(const std::vector<double>& got, const std::vector<double>& want) {
  bool equal = got.size() == want.size();
  for (std::size_t i = 0; equal && i < want.size(); ++i) equal = std::abs(got[i] - want[i]) < 1e-15;
  return equal;
}

const std::vector<double> transition{0.7, 0.2, 0.1, 0.1, 0.8, 0.1, 0.0, 0.3, 0.7};

}  // namespace

TEST_CASE("every observation gives the likelihood of its table") {
  const auto t = weakly::view(transition.data(), 3, 3);
  const std::vector<std::int8_t> label{1, -1, 5};
  const std::vector<int> mask{1, 0, 1};
  const auto sets = weakly::candidate_masks(weakly::view(mask.data(), 1, 3));
  CHECK(near(weights_of(weakly::nothing_observed(2, 3), 1), {1, 1, 1}));
  CHECK(near(weights_of(weakly::observed_labels(label, 3), 0), {0, 1, 0}));
  CHECK(near(weights_of(weakly::observed_labels(label, 3), 1), {1, 1, 1}));
  CHECK(near(weights_of(weakly::observed_labels(label, 3), 2, false), {0, 0, 0}));
  CHECK(near(weights_of(weakly::complementary_labels(label, 3), 0), {1, 0, 1}));
  CHECK(near(weights_of(weakly::observed_sets(sets), 0), {1, 0, 1}));
  CHECK(near(weights_of(weakly::noisy_labels_observed(label, t), 0), {0.2, 0.8, 0.3}));
  using weakly::set_likelihood;
  CHECK(near(weights_of(weakly::noisy_sets_observed(sets, t, set_likelihood::sum), 0), {0.8, 0.2, 0.7}));
  CHECK(near(weights_of(weakly::noisy_sets_observed(sets, t, set_likelihood::product), 0), {0.07, 0.01, 0.0}));
  CHECK(near(weights_of(weakly::noisy_sets_observed(sets, t, set_likelihood::inclusion), 0), {0.056, 0.002, 0.0}));
  CHECK(near(weights_of(weakly::observed_likelihoods(t), 2), {0.0, 0.3, 0.7}));
}

TEST_CASE("a mixture is what its parts are, row by row, and a kind without a part is malformed") {
  const std::vector<int> label{0, 1, 2, 0}, kind{1, 0, 1, 2};
  const std::vector<weakly::observations> parts{weakly::nothing_observed(4, 3), weakly::observed_labels(label, 3)};
  const auto mixed = weakly::mixed_observations(kind, parts);
  CHECK(near(weights_of(mixed, 0), {1, 0, 0}));
  CHECK(near(weights_of(mixed, 1), {1, 1, 1}));
  CHECK(near(weights_of(mixed, 2), {0, 0, 1}));
  CHECK(near(weights_of(mixed, 3, false), {0, 0, 0}));
}

TEST_CASE("a product of many small factors does not vanish") {
  const weakly::index_t k = 400;
  std::vector<double> uniform(static_cast<std::size_t>(k * k), 1.0 / 400);
  std::vector<int> full(static_cast<std::size_t>(k), 1);
  const auto o = weakly::noisy_sets_observed(weakly::candidate_masks(weakly::view(full.data(), 1, k)),
                                             weakly::view(uniform.data(), k, k), weakly::set_likelihood::product);
  std::vector<float> w(static_cast<std::size_t>(k));
  weakly::observed_row found;
  CHECK(o.weights(0, 0, k, w.data(), found));
  CHECK(w[17] == 1.0f);
  CHECK(found.log_scale == doctest::Approx(-400 * std::log(400.0)).epsilon(1e-6));
}

TEST_CASE("log likelihoods are those of the weights, of factors that vanish too") {
  const auto t = weakly::view(transition.data(), 3, 3);
  const std::vector<int> label{1, -1, 0}, mask{1, 0, 1, 0, 0, 0, 1, 1, 1}, kind{2, 1, 0};
  const auto sets = weakly::candidate_masks(weakly::view(mask.data(), 3, 3));
  using weakly::set_likelihood;
  const std::vector<weakly::observations> parts{
      weakly::observed_labels(label, 3), weakly::noisy_sets_observed(sets, t, set_likelihood::sum),
      weakly::noisy_labels_observed(label, t), weakly::noisy_sets_observed(sets, t, set_likelihood::inclusion)};
  for (const auto& o : {parts[0], parts[1], parts[2], parts[3], weakly::observed_likelihoods(t),
                        weakly::observed_sets(sets), weakly::mixed_observations(kind, parts)})
    for (weakly::index_t row = 0; row < 3; ++row) {
      std::vector<double> log_t(3);
      weakly::observed_row found;
      o.log_likelihoods(row, 0, 1, log_t.data(), found);
      o.log_likelihoods(row, 1, 2, log_t.data() + 1, found);
      for (double& x : log_t) x = std::exp(x);
      CHECK(near(log_t, weights_of(o, row)));
    }
  const std::vector<double> small{1e-300, 1e-40, 0};
  std::vector<double> log_t(3);
  weakly::observed_row found;
  weakly::observed_likelihoods(weakly::view(small.data(), 1, 3)).log_likelihoods(0, 0, 3, log_t.data(), found);
  CHECK(log_t[0] == doctest::Approx(std::log(1e-300)));
  CHECK(std::isinf(log_t[2]));
}

#if WEAKLY_HAS_EXCEPTIONS
namespace {

template <class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const weakly::value_error& e) {
    return e.what();
  }
  return {};
}

}  // namespace

TEST_CASE_TEMPLATE("a transition matrix holds probabilities", T, float, double, weakly::half) {
  const weakly::index_t k = 600;
  std::vector<T> t(static_cast<std::size_t>(k * k), T(1.0f / 600));
  const std::vector<int> label{0};
  const std::vector<std::uint8_t> mask(static_cast<std::size_t>(k), 1);
  const auto sets = weakly::candidate_masks(weakly::view(mask.data(), 1, k));
  for (const float bad : {-0.5f, 1.5f, std::numeric_limits<float>::infinity(), std::nanf("")}) {
    t[std::size_t(17 * k + 599)] = T(bad);
    for (const bool columns : {false, true}) {
      const auto m = columns ? weakly::view(t.data(), k, k, 1, k) : weakly::view(t.data(), k, k);
      const std::string at = columns ? "transition(599, 17) is " : "transition(17, 599) is ";
      CHECK(message_of([&] { weakly::noisy_labels_observed(label, m); }).find("noisy_labels_observed: " + at) == 0);
      for (const auto how : {weakly::set_likelihood::product, weakly::set_likelihood::sum})
        CHECK(message_of([&] { weakly::noisy_sets_observed(sets, m, how); }).find("noisy_sets_observed: " + at) == 0);
    }
  }
  t[std::size_t(17 * k + 599)] = T(0.5f);
  const auto m = weakly::view(t.data(), k, k);
  CHECK(message_of([&] { weakly::noisy_labels_observed(label, m); }).empty());
  CHECK(message_of([&] { weakly::noisy_sets_observed(sets, m, weakly::set_likelihood::inclusion); }).empty());
  CHECK(message_of([&] {
          weakly::noisy_sets_observed(sets, m, weakly::set_likelihood::sum);
        }).find("noisy_sets_observed: row 17 of transition sums to 1.49") == 0);
}
#endif
