// SPDX-License-Identifier: MIT
#include "em_checks.hpp"

#include <weakly/em/batch_posterior.hpp>
#include <weakly/em/transition_matrix.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>

using namespace em_checks;
using weakly::discard;

namespace {

// A batch of everything: rows that are labelled, unlabelled, noisy, sets and noisy sets in turn, and bags behind.
struct batch {
  index_t k = 3, r = 60, n = 75;
  std::vector<int> label, kind;
  std::vector<std::uint8_t> mask;
  std::vector<double> transition{0.8, 0.1, 0.1, 0.2, 0.7, 0.1, 0.1, 0.3, 0.6};
  std::vector<std::int64_t> begin{0, 4, 4, 9, 15}, counts{1, 2, 1, 0, 0, 0, 5, 0, 0, 2, 2, 2};
  std::vector<weakly::observations> parts;
  std::vector<std::byte> memory;

  batch() {
    for (index_t i = 0; i < r; ++i) {
      label.push_back(static_cast<int>(i * i % k));
      kind.push_back(static_cast<int>(i % 5));
      for (index_t c = 0; c < k; ++c) mask.push_back(c == i % k || (i / 5 + c) % 2 == 0);
    }
    const auto t = weakly::view(transition.data(), k, k);
    const auto sets = weakly::candidate_masks(rows(mask, k));
    parts = {weakly::observed_labels(label, k), weakly::nothing_observed(r, k), weakly::noisy_labels_observed(label, t),
             weakly::observed_sets(sets), weakly::noisy_sets_observed(sets, t, weakly::set_likelihood::sum)};
    memory.resize(weakly::class_counts_scratch(weakly::class_count_states(rows(counts, k)), 6, k));
  }
  weakly::observations observed() const { return weakly::mixed_observations(kind, parts); }
};

}  // namespace

TEST_CASE("a batch of rows of every kind and of bags equals the separate calls, bit for bit") {
  batch b;
  const index_t m = 4;
  const std::vector<double> logits = normal(b.n, b.k, 2, 9);
  const std::vector<float> x(logits.begin(), logits.end());
  std::vector<float> q = zeros<float>(b.n * b.k), g = q, want_q = q, want_g = q, loss = zeros<float>(b.r + m);
  std::vector<float> want_loss = loss;
  weakly::workspace scratch(b.memory);
  weakly::batch_posterior(rows(x, b.k), b.observed(), b.begin, rows(b.counts, b.k), scratch, rows(q, b.k), loss,
                          rows(g, b.k));
  for (std::size_t kind = 0; kind < b.parts.size(); ++kind) {
    std::vector<float> own_q = zeros<float>(b.r * b.k), own_g = own_q, own = zeros<float>(b.r);
    weakly::label_posterior(weakly::view(x.data(), b.r, b.k), b.parts[kind], rows(own_q, b.k), own, rows(own_g, b.k));
    for (std::size_t i = kind; i < own.size(); i += b.parts.size()) {
      want_loss[i] = own[i];
      std::copy_n(&own_q[3 * i], 3, &want_q[3 * i]);
      std::copy_n(&own_g[3 * i], 3, &want_g[3 * i]);
    }
  }
  const index_t first = b.r * b.k, left = b.n - b.r;
  weakly::workspace again(b.memory);
  weakly::class_counts(weakly::view(x.data() + first, left, b.k), b.begin, rows(b.counts, b.k), again,
                       weakly::view(want_q.data() + first, left, b.k), weakly::view(want_loss.data() + b.r, m),
                       weakly::view(want_g.data() + first, left, b.k));
  CHECK(same_bits(q, want_q));
  CHECK(same_bits(loss, want_loss));
  CHECK(same_bits(g, want_g));
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("batch_posterior refuses rows and bags that do not add up") {
  batch b;
  const std::vector<double> x = normal(b.n, b.k, 1, 1);
  std::vector<double> loss = zeros(b.r + 3);
  weakly::workspace scratch(b.memory);
  const auto call = [&](index_t n, const auto& begin) {
    weakly::batch_posterior(weakly::view(x.data(), n, b.k), b.observed(), begin, rows(b.counts, b.k), scratch, discard,
                            loss, discard);
  };
  CHECK_THROWS_AS(call(b.n, b.begin), weakly::shape_error);  // a loss too few
  loss.push_back(0);
  CHECK_THROWS_AS(call(b.r - 1, b.begin), weakly::shape_error);
  CHECK_THROWS_AS(call(b.n - 1, b.begin), weakly::shape_error);
  CHECK_THROWS_AS(call(b.n, std::vector<int>{0, 4, 3, 9, 15}), weakly::shape_error);
}

TEST_CASE("batch_posterior refuses shapes before it writes, and does all rows and bags before it throws") {
  const std::vector<double> z{0, 1, 0, -INFINITY, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
  const std::vector<int> label{0, 1, 1}, begin{0, 2, 4}, counts{1, 1, 1, 1}, not_all{1, 1, 1, 0};
  std::vector<double> q, g, loss;
  std::vector<std::byte> memory(weakly::class_counts_scratch(4, 2, 2));
  const auto message = [&](const auto& y, const auto& of_bags, index_t classes, index_t columns) {
    q.assign(14, 7.0);
    g.assign(14, 7.0);
    loss.assign(5, 7.0);
    weakly::workspace scratch(memory);
    try {
      weakly::batch_posterior(rows(z, 2), weakly::observed_labels(y, classes), begin, rows(of_bags, 2), scratch,
                              weakly::view(q.data(), 7, columns, 2, 1), loss, rows(g, 2));
    } catch (const weakly::error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  const auto untouched = [&] { return q == std::vector<double>(14, 7.0) && loss == std::vector<double>(5, 7.0); };
  CHECK(message(label, counts, 3, 2).find("batch_posterior: observations of 3 rows and 3 classes") == 0);
  CHECK(untouched());
  CHECK(message(label, counts, 2, 1).find("batch_posterior: posterior has 7 rows of 1") == 0);
  CHECK(untouched());

  CHECK(message(label, counts, 2, 2).find("batch_posterior: the observation of row 1 is impossible") == 0);
  CHECK(loss[0] == doctest::Approx(std::log1p(std::exp(1.0))));
  CHECK(std::isinf(loss[1]));
  CHECK(loss[2] == doctest::Approx(std::log(2.0)));
  CHECK(q[6] + q[8] == doctest::Approx(1.0));
  CHECK(loss[4] == doctest::Approx(std::log(2.0)));

  const std::string both = message(label, not_all, 2, 2);
  CHECK(both.find("batch_posterior: the observation of row 1 is impossible") == 0);
  CHECK(both.find("class_counts: the observation of bag 1 is impossible") != std::string::npos);
  const std::vector<int> fine{0, 0, 1}, bad{0, 5, 1};
  CHECK(message(fine, not_all, 2, 2).find("class_counts: the observation of bag 1 is impossible") == 0);
  CHECK(loss[2] == doctest::Approx(std::log(2.0)));
  CHECK(message(bad, counts, 2, 2)
            .find("batch_posterior: the observation of row 1 is malformed (1 such row): its label "
                  "is 5") == 0);
  CHECK(loss[4] == doctest::Approx(std::log(2.0)));
}
#endif

// With all parameters free the classes of each row are a categorical distribution shared by rows alike: full-batch EM
// of class prior and transition matrix, in which no step may lower the likelihood.
TEST_CASE("EM with exact M-steps of transition matrix and class prior never lowers the likelihood") {
  const index_t n = 400, k = 4;
  std::mt19937 random(4);
  std::vector<int> label, kind;
  std::vector<std::uint8_t> mask;
  for (index_t i = 0; i < n; ++i) {
    const auto truth = static_cast<int>(random() % 8 / 3);  // classes 0, 1 and, less often, 2
    label.push_back(random() % 10 < 7 ? truth : static_cast<int>(random() % unsigned(k)));
    kind.push_back(i % 3 == 0);
    for (index_t c = 0; c < k; ++c) mask.push_back(c == truth || random() % 3 == 0);
  }
  const std::vector<double> logits = normal(n, k, 1, 2);
  std::vector<double> ratio = zeros(k), q = zeros(n * k), loss = zeros(n), prior;
  std::vector<double> start;
  for (index_t c = 0; c < k; ++c)
    for (index_t l = 0; l < k; ++l) start.push_back(c == l ? 0.4 : 0.2);
  weakly::matrix<double> transition = weakly::transition_matrix(weakly::view(start.data(), k, k));
  // The model of a row is softmax(logits + log w); a prior as M-step has to be one of its own, so logits are zero
  // there.
  const std::vector<double> flat = zeros(n * k);
  for (const bool with_prior : {false, true}) {
    const auto& z = with_prior ? flat : logits;
    std::fill(ratio.begin(), ratio.end(), 0.0);
    double before = std::numeric_limits<double>::infinity(), first = 0;
    for (int step = 0; step < 60; ++step) {
      const std::vector<weakly::observations> parts{weakly::noisy_labels_observed(label, transition),
                                                    weakly::observed_sets(weakly::candidate_masks(rows(mask, k)))};
      weakly::label_posterior(weakly::seq, rows(z, k), weakly::mixed_observations(kind, parts), ratio, rows(q, k), loss,
                              discard);
      double total = 0;
      for (const double x : loss) total += x;
      CHECK(total <= before * (1 + 1e-13));
      if (step == 0) first = total;
      before = total;
      // Rows whose label is not the noisy one take no part in the counts of the transition.
      std::vector<int> noisy = label;
      for (std::size_t i = 0; i < noisy.size(); ++i)
        if (kind[i] != 0) noisy[i] = -1;
      weakly::transition_estimator estimator(k);
      estimator.add(rows(q, k), noisy);
      transition = estimator.finish();
      if (!with_prior) continue;
      prior = weakly::class_prior(estimator.class_counts());
      for (std::size_t c = 0; c < prior.size(); ++c) ratio[c] = std::log(prior[c]);
    }
    CHECK(before < first - 1);
  }
}
