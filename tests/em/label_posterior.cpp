// SPDX-License-Identifier: MIT
#include "em_reference.hpp"
#include "sanitizer.hpp"

#include <weakly/em/label_posterior.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace {

using weakly::index_t;
using weakly::observations;

constexpr double inf = std::numeric_limits<double>::infinity();

template <class T>
struct outcome {
  std::vector<T> posterior, loss, grad;

  outcome(index_t n, index_t k)
      : posterior(static_cast<std::size_t>(n * k)),
        loss(static_cast<std::size_t>(n)),
        grad(static_cast<std::size_t>(n * k)) {}
};

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}
template <class T>
bool same_bits(const outcome<T>& a, const outcome<T>& b) {
  return same_bits(a.posterior, b.posterior) && same_bits(a.loss, b.loss) && same_bits(a.grad, b.grad);
}

template <class T>
outcome<T> run(const std::vector<T>& logits, index_t k, const observations& o) {
  const index_t n = o.rows();
  outcome<T> r(n, k);
  weakly::label_posterior(weakly::view(logits.data(), n, k), o, weakly::view(r.posterior.data(), n, k), r.loss,
                          weakly::view(r.grad.data(), n, k), {.impossible = weakly::impossible_row::keep});
  return r;
}

bool close(double got, double want, double relative, double absolute = 0) {
  if (std::isnan(want)) return std::isnan(got);
  return got == want || std::abs(got - want) <= relative * std::abs(want) + absolute;
}

// Everything that may be observed of n rows of k classes, with the memory behind it.
struct scene {
  index_t n, k;
  std::vector<double> logits, transition, likelihood;
  std::vector<std::uint8_t> mask;
  std::vector<std::uint64_t> words;
  std::vector<std::int32_t> offsets{0}, ids, label, kind;
  weakly::candidate_sets by_mask() const { return weakly::candidate_masks(weakly::view(mask.data(), n, k)); }
  weakly::candidate_sets by_bits() const {
    return weakly::candidate_bits(weakly::view(words.data(), n, (k + 63) / 64), k);
  }
  weakly::candidate_sets by_lists() const { return weakly::candidate_lists(offsets, ids, k); }
  auto t() const { return weakly::view(transition.data(), k, k); }

  scene(index_t rows, index_t classes, double scale, unsigned seed) : n(rows), k(classes) {
    std::mt19937 random(seed);
    std::normal_distribution<double> logit(0, scale);
    std::uniform_real_distribution<double> uniform(0, 1);
    for (index_t i = 0; i < n * k; ++i) logits.push_back(static_cast<double>(static_cast<float>(logit(random))));
    for (index_t c = 0; c < k && k <= 2000; ++c) {  // longer rows are looked at with sets alone
      double sum = 0;
      for (index_t l = 0; l < k; ++l) sum += transition.emplace_back(uniform(random) + (c == l ? 3.0 : 0.0));
      for (index_t l = 0; l < k; ++l) transition[static_cast<std::size_t>(c * k + l)] /= sum;
    }
    words.resize(static_cast<std::size_t>(n * ((k + 63) / 64)));
    for (index_t i = 0; i < n; ++i) {
      const double share = i % 5 == 0 ? 1.0 : i % 5 == 1 ? 0.0 : uniform(random);
      const auto sure = static_cast<index_t>(random() % static_cast<unsigned>(k));
      for (index_t j = 0; j < k; ++j) {
        const bool member = j == sure || uniform(random) < share;
        mask.push_back(member ? 7 : 0);
        likelihood.push_back(j == sure ? 0.0 : uniform(random));
        if (!member) continue;
        ids.push_back(static_cast<std::int32_t>(j));
        words[static_cast<std::size_t>(i * ((k + 63) / 64) + j / 64)] |= std::uint64_t(1) << (j % 64);
      }
      offsets.push_back(static_cast<std::int32_t>(ids.size()));
      label.push_back(i % 6 == 3 ? -1 : static_cast<std::int32_t>(random() % static_cast<unsigned>(k)));
      kind.push_back(static_cast<std::int32_t>(random() % 6));
    }
  }

  // Likelihood of each class, in long double, of every form of observation.
  using weight_of = std::function<long double(index_t row, index_t c)>;
  std::vector<std::pair<observations, weight_of>> forms() const {
    const auto member = [this](index_t i, index_t c) { return mask[static_cast<std::size_t>(i * k + c)] != 0; };
    const auto of = [this](index_t c, index_t l) {
      return static_cast<long double>(transition[static_cast<std::size_t>(c * k + l)]);
    };
    const auto y = [this](index_t i) { return index_t(label[static_cast<std::size_t>(i)]); };
    using weakly::set_likelihood;
    return {
        {weakly::nothing_observed(n, k), [](index_t, index_t) { return 1.0L; }},
        {weakly::observed_labels(label, k), [y](index_t i, index_t c) { return y(i) < 0 || y(i) == c ? 1.0L : 0.0L; }},
        {weakly::complementary_labels(label, k), [y](index_t i, index_t c) { return y(i) == c ? 0.0L : 1.0L; }},
        {weakly::observed_sets(by_mask()), [member](index_t i, index_t c) { return member(i, c) ? 1.0L : 0.0L; }},
        {weakly::noisy_labels_observed(label, t()),
         [y, of](index_t i, index_t c) { return y(i) < 0 ? 1.0L : of(c, y(i)); }},
        {weakly::observed_likelihoods(weakly::view(likelihood.data(), n, k)),
         [this](index_t i, index_t c) {
           return static_cast<long double>(likelihood[static_cast<std::size_t>(i * k + c)]);
         }},
        {weakly::noisy_sets_observed(by_lists(), t(), set_likelihood::sum),
         [=, this](index_t i, index_t c) {
           long double sum = 0;
           for (index_t l = 0; l < k; ++l) sum += member(i, l) ? of(c, l) : 0;
           return sum;
         }},
        {weakly::noisy_sets_observed(by_bits(), t(), set_likelihood::product),
         [=, this](index_t i, index_t c) {
           long double product = 1;
           for (index_t l = 0; l < k; ++l) product *= member(i, l) ? of(c, l) : 1;
           return product;
         }},
        {weakly::noisy_sets_observed(by_mask(), t(), set_likelihood::inclusion),
         [=, this](index_t i, index_t c) {
           long double product = 1;
           for (index_t l = 0; l < k; ++l) product *= member(i, l) ? of(c, l) : 1 - of(c, l);
           return product;
         }},
    };
  }

  long double loss(const weight_of& w, index_t i, const std::vector<long double>& z) const {
    long double top = -std::numeric_limits<long double>::infinity(), all = 0, allowed = 0;
    for (const long double x : z) top = std::max(top, x);
    for (index_t c = 0; c < k; ++c) {
      const long double e = std::exp(z[static_cast<std::size_t>(c)] - top);
      all += e;
      allowed += e * w(i, c);
    }
    return std::log(all) - std::log(allowed);
  }
};

}  // namespace

TEST_CASE("label_posterior renormalises the softmax inside a set") {
  const std::vector<double> logits{std::log(1.0), std::log(2.0), std::log(5.0)};
  const std::vector<int> mask{1, 1, 0};
  const auto r = run(logits, 3, weakly::observed_sets(weakly::candidate_masks(weakly::view(mask.data(), 1, 3))));
  CHECK(r.posterior[0] == doctest::Approx(1.0 / 3).epsilon(1e-15));
  CHECK(r.posterior[1] == doctest::Approx(2.0 / 3).epsilon(1e-15));
  CHECK(r.posterior[2] == 0);
  CHECK(r.loss[0] == doctest::Approx(std::log(8.0 / 3)).epsilon(1e-15));
  CHECK(r.grad[2] == doctest::Approx(5.0 / 8).epsilon(1e-15));
}

TEST_CASE("label_posterior agrees with its plain form for every observation, and its gradient with differences") {
  for (const index_t k : {index_t(2), index_t(3), index_t(10), index_t(64), index_t(65), index_t(300)}) {
    const scene s(k < 100 ? (support::sanitized && k > 10 ? 5 : 31) : 4, k, 3, static_cast<unsigned>(k));
    int form = 0;
    for (const auto& [o, w] : s.forms()) {
      CAPTURE(k);
      CAPTURE(form++);
      const auto r = run(s.logits, k, o);
      const std::vector<float> logits(s.logits.begin(), s.logits.end());
      const auto single = run(logits, k, o);
      for (index_t i = 0; i < s.n; ++i) {
        std::vector<long double> z(s.logits.begin() + i * k, s.logits.begin() + (i + 1) * k);
        const auto want = static_cast<double>(s.loss(w, i, z));
        // Whether the observation has a likelihood of its own or only a scale: losses near zero keep their digits.
        CHECK(close(r.loss[static_cast<std::size_t>(i)], want, 1e-12, 1e-13));
        CHECK(close(double(single.loss[static_cast<std::size_t>(i)]), want, 2e-5, 2e-5));
        double sum = 0;
        for (index_t c = 0; c < k; ++c) sum += r.posterior[static_cast<std::size_t>(i * k + c)];
        CHECK(std::abs(sum - 1) <= 1e-13);
        for (index_t c = 0; c<k; c += k> 100 || support::sanitized ? 37 : 1) {
          const auto at = static_cast<std::size_t>(c), all = static_cast<std::size_t>(i * k + c);
          const long double centre = z[at], h = 1e-6L;
          z[at] = centre + h;
          const long double above = s.loss(w, i, z);
          z[at] = centre - h;
          const auto slope = static_cast<double>((above - s.loss(w, i, z)) / (2 * h));
          z[at] = centre;
          CHECK(close(r.grad[all], slope, 1e-8, 1e-9));
          CHECK(close(double(single.grad[all]), slope, 1e-5, 1e-5));
          // p - q, and q by itself: a step of EM is a step of the likelihood.
          long double total = 0, top = *std::max_element(z.begin(), z.end());
          for (const long double x : z) total += std::exp(x - top);
          const auto p = static_cast<double>(std::exp(z[at] - top) / total);
          CHECK(close(r.grad[all], p - r.posterior[all], 1e-11, 1e-13));
        }
      }
    }
  }
}

TEST_CASE("label_posterior gives the reference results") {
  std::size_t compared = 0;
  for (const auto& [name, f] : em_reference::instances()) {
    CAPTURE(name);
    const auto& logits = f.at("logits");
    const index_t n = logits.rows, k = logits.columns;
    const auto compare = [&](const std::string& what, const std::vector<double>& got, double relative,
                             double absolute) {
      if (!f.contains(what)) return;  // noisy sets are given for few classes
      const auto& want = f.at(what).values;
      REQUIRE(got.size() == want.size());
      for (std::size_t i = 0; i < want.size(); ++i) {
        CHECK_MESSAGE(close(got[i], want[i], relative, absolute), what, "[", i, "]: ", got[i], " instead of ", want[i]);
        ++compared;
      }
    };
    const auto mask = f.at("mask").labels();
    const auto sets = weakly::candidate_masks(weakly::view(mask.data(), n, k));

    const auto plain = run(logits.values, k, weakly::observed_sets(sets));
    compare("posterior", plain.posterior, 1e-12, 1e-300);
    compare("cc_loss", plain.loss, 1e-12, 1e-300);
    compare("cc_grad", plain.grad, 1e-11, 1e-13);

    std::vector<double> ratio;
    for (const double p : f.at("prior").values) ratio.push_back(std::log(p));
    outcome<double> prior(n, k);
    weakly::label_posterior(weakly::seq, weakly::view(logits.values.data(), n, k), weakly::observed_sets(sets), ratio,
                            weakly::view(prior.posterior.data(), n, k), prior.loss, weakly::discard,
                            {.impossible = weakly::impossible_row::keep});
    compare("posterior_prior", prior.posterior, 1e-12, 1e-300);
    compare("cc_loss_prior", prior.loss, 1e-12, 1e-300);

    if (!f.contains("transition")) continue;
    const auto label = f.at("noisy_label").labels();
    const auto t = weakly::view(f.at("transition").values.data(), k, k);
    const auto noisy = run(logits.values, k, weakly::noisy_labels_observed(label, t));
    compare("noisy_posterior", noisy.posterior, 1e-12, 1e-300);
    compare("forward_loss", noisy.loss, 1e-12, 1e-300);
    compare("forward_grad", noisy.grad, 1e-11, 1e-13);

    for (const auto& [kind, text] :
         {std::pair{weakly::set_likelihood::product, "pn_product"}, std::pair{weakly::set_likelihood::sum, "pn_sum"},
          std::pair{weakly::set_likelihood::inclusion, "pn_inclusion"}}) {
      const auto r = run(logits.values, k, weakly::noisy_sets_observed(sets, t, kind));
      compare(std::string(text) + "_posterior", r.posterior, 1e-12, 1e-300);
      compare(std::string(text) + "_nll", r.loss, 1e-12, 1e-16);  // where it is zero, the reference is off by that
    }
  }
  if (compared != 0) CHECK(compared > 4500);
}

TEST_CASE_TEMPLATE("label_posterior has the same bits for every form of a set, executor, layout, batch and output", T,
                   float, double) {
  for (const index_t k : {index_t(10), index_t(100), index_t(300), index_t(5000)}) {
    CAPTURE(k);
    const index_t some = support::sanitized ? 40 : 500, few = support::sanitized ? 2 : 6;
    const scene s(k == 10 ? 500 : k == 5000 ? few : some, k, 4, 3);
    const std::vector<T> logits(s.logits.begin(), s.logits.end());
    const auto expected = run(logits, k, weakly::observed_sets(s.by_mask()));
    CHECK(same_bits(run(logits, k, weakly::observed_sets(s.by_bits())), expected));
    CHECK(same_bits(run(logits, k, weakly::observed_sets(s.by_lists())), expected));

    const observations o = weakly::observed_sets(s.by_lists());
    outcome<T> other(s.n, k);
    weakly::thread_pool pool(3);
    weakly::label_posterior(pool, weakly::view(logits.data(), s.n, k), o, weakly::view(other.posterior.data(), s.n, k),
                            other.loss, weakly::view(other.grad.data(), s.n, k));
    CHECK(same_bits(other, expected));

    std::vector<T> in_place = logits;
    weakly::label_posterior(weakly::view(in_place.data(), s.n, k), o, weakly::view(in_place.data(), s.n, k),
                            weakly::discard, weakly::discard);
    CHECK(same_bits(in_place, expected.posterior));
    in_place = logits;
    weakly::label_posterior(weakly::view(in_place.data(), s.n, k), o, weakly::discard, weakly::discard,
                            weakly::view(in_place.data(), s.n, k));
    CHECK(same_bits(in_place, expected.grad));

    std::vector<T> by_column(logits.size());
    for (index_t i = 0; i < s.n; ++i)
      for (index_t j = 0; j < k; ++j)
        by_column[static_cast<std::size_t>(j * s.n + i)] = logits[static_cast<std::size_t>(i * k + j)];
    weakly::label_posterior(weakly::view(by_column.data(), s.n, k, 1, s.n), o, weakly::discard, other.loss,
                            weakly::view(by_column.data(), s.n, k, 1, s.n));
    CHECK(same_bits(other.loss, expected.loss));
    bool equal = true;
    for (index_t i = 0; i < s.n; ++i)
      for (index_t j = 0; j < k; ++j)
        equal &= by_column[static_cast<std::size_t>(j * s.n + i)] == expected.grad[static_cast<std::size_t>(i * k + j)];
    CHECK(equal);
  }
}

TEST_CASE_TEMPLATE("a mixed batch equals the separate calls, bit for bit", T, float, double) {
  for (const index_t k : {index_t(10), index_t(300)}) {
    const scene s(200, k, 3, 5);
    const std::vector<T> logits(s.logits.begin(), s.logits.end());
    std::vector<observations> parts;
    std::vector<outcome<T>> separate;
    for (const auto& [o, w] : s.forms()) {
      if (parts.size() == 6) break;
      parts.push_back(o);
      separate.push_back(run(logits, k, o));
    }
    const auto mixed = run(logits, k, weakly::mixed_observations(s.kind, parts));
    bool equal = true;
    for (index_t i = 0; i < s.n; ++i) {
      const outcome<T>& own = separate[static_cast<std::size_t>(s.kind[static_cast<std::size_t>(i)])];
      equal &= mixed.loss[static_cast<std::size_t>(i)] == own.loss[static_cast<std::size_t>(i)];
      for (index_t j = i * k; j < (i + 1) * k; ++j)
        equal &= mixed.posterior[static_cast<std::size_t>(j)] == own.posterior[static_cast<std::size_t>(j)] &&
                 mixed.grad[static_cast<std::size_t>(j)] == own.grad[static_cast<std::size_t>(j)];
    }
    CHECK(equal);
  }
}

TEST_CASE_TEMPLATE("label_posterior of many rows, written past the caches, is that of few", T, float, double) {
  for (const index_t k : {index_t(3), index_t(10), index_t(100), index_t(1001)}) {
    CAPTURE(k);
    const index_t n = 4800000 / index_t(sizeof(T)) / k, some = 17;
    const scene s(some, k, 3, 4);
    std::vector<T> few(s.logits.begin(), s.logits.end()), logits;
    few[2] = 60;                                     // a row that is not plain
    few[std::size_t(k) + 1] = -static_cast<T>(inf);  // an excluded class
    few[2 * std::size_t(k)] = static_cast<T>(std::nan(""));
    std::vector<std::uint8_t> mask;
    for (index_t i = 0; i < n; ++i) {
      logits.insert(logits.end(), few.begin() + i % some * k, few.begin() + (i % some + 1) * k);
      mask.insert(mask.end(), s.mask.begin() + i % some * k, s.mask.begin() + (i % some + 1) * k);
    }
    const auto keep = weakly::label_posterior_options{.impossible = weakly::impossible_row::keep};
    const outcome<T> want = run(few, k, weakly::observed_sets(s.by_mask()));
    const auto sets = weakly::observed_sets(weakly::candidate_masks(weakly::view(mask.data(), n, k)));
    const auto same = [&](const T* got, const std::vector<T>& rows, index_t columns) {
      bool equal = true;
      for (index_t i = 0; i < n; ++i)
        equal &=
            std::memcmp(got + i * columns, rows.data() + i % some * columns, std::size_t(columns) * sizeof(T)) == 0;
      return equal;
    };
    const auto size = static_cast<std::size_t>(n * k);
    std::vector<T> q(size + 1, T(7)), g(size + 3, T(7)), loss(static_cast<std::size_t>(n));
    weakly::label_posterior(weakly::view(logits.data(), n, k), sets, weakly::view(q.data() + 1, n, k), weakly::discard,
                            weakly::discard, keep);
    CHECK(q[0] == 7);
    CHECK(same(q.data() + 1, want.posterior, k));
    weakly::label_posterior(weakly::view(logits.data(), n, k), sets, weakly::view(q.data(), n, k), loss,
                            weakly::view(g.data() + 2, n, k), keep);
    CHECK(same(q.data(), want.posterior, k));
    CHECK(same(loss.data(), want.loss, 1));
    CHECK(g[1] == 7);
    CHECK(g[size + 2] == 7);
    CHECK(same(g.data() + 2, want.grad, k));
    weakly::label_posterior(weakly::view(logits.data(), n, k), sets, weakly::discard, loss,
                            weakly::view(logits.data(), n, k), keep);
    CHECK(same(logits.data(), want.grad, k));
  }
}

TEST_CASE("sets in one byte, two bytes and bits of logits that are 1000 apart decide within themselves in float") {
  // The candidates are so improbable that their probabilities vanish in float and in double.
  for (const index_t k : {index_t(4), index_t(300)}) {
    std::vector<float> logits(static_cast<std::size_t>(2 * k), 1000.0f);
    std::vector<std::int16_t> mask(logits.size());
    logits[0] = logits[1] = -1000.0f;
    logits[1] += 1;
    mask[0] = mask[1] = 1;
    for (std::size_t j = std::size_t(k); j < logits.size(); ++j) {
      logits[j] = j % 2 == 0 ? -1000.0f : -2000.0f;  // all far down, even ones observed
      mask[j] = j % 2 == 0;
    }
    const auto r = run(logits, k, weakly::observed_sets(weakly::candidate_masks(weakly::view(mask.data(), 2, k))));
    CHECK(double(r.posterior[0]) == doctest::Approx(1 / (1 + std::exp(1.0))).epsilon(1e-6));
    CHECK(double(r.posterior[0]) + double(r.posterior[1]) == doctest::Approx(1.0).epsilon(1e-6));
    CHECK(double(r.loss[0]) == doctest::Approx(2000 + std::log(double(k - 2)) - std::log(1 + std::exp(1.0))));
    CHECK(double(r.grad[0]) == doctest::Approx(-double(r.posterior[0])));
    CHECK(double(r.grad[2]) == doctest::Approx(1.0 / double(k - 2)));
    CHECK(double(r.posterior[std::size_t(k)]) == doctest::Approx(2.0 / double(k)).epsilon(1e-6));
    CHECK(r.posterior[std::size_t(k) + 1] == 0);
    CHECK(r.loss[1] == 0);
  }
}

TEST_CASE_TEMPLATE("a set is decided within itself, however improbable all of it is", T, float, double) {
  const std::vector<T> logits{0, -2000, -1999, 0, 3, 3};
  const std::vector<int> mask{0, 1, 1, 1, 1, 1};
  const auto r = run(logits, 3, weakly::observed_sets(weakly::candidate_masks(weakly::view(mask.data(), 2, 3))));
  CHECK(double(r.posterior[1]) == doctest::Approx(1 / (1 + std::exp(1.0))).epsilon(1e-6));
  CHECK(double(r.loss[0]) == doctest::Approx(1999 - std::log1p(std::exp(-1.0))).epsilon(1e-6));
  CHECK(double(r.grad[0]) == doctest::Approx(1.0));
  CHECK(r.loss[1] == T(0));  // a full set
  for (int j = 3; j < 6; ++j) CHECK(r.grad[static_cast<std::size_t>(j)] == T(0));
  const std::vector<int> one{2};
  const std::vector<T> row{1, 2, 3};
  const auto single = run(row, 3, weakly::observed_labels(one, 3));
  CHECK(single.posterior[2] == T(1));
  CHECK(single.posterior[0] == T(0));
}

TEST_CASE("impossible, malformed and undefined rows stay by themselves") {
  const index_t k = 4;
  std::vector<double> logits{0, 1, 2, 3, 0, 1, 2, 3, -inf, 1, 2, 3, std::nan(""), 1, 2, 3, 0, 1, 2, inf, 0, 1, 2, 3};
  const std::vector<int> offsets{0, 2, 2, 3, 5, 7, 9}, ids{0, 1, 0, 1, 2, 1, 2, 2, 3};
  const observations o = weakly::observed_sets(weakly::candidate_lists(offsets, ids, k));
  const auto r = run(logits, k, o);
  CHECK(r.loss[0] ==
        doctest::Approx(std::log1p(std::exp(1.0) + std::exp(2.0) + std::exp(3.0)) - std::log1p(std::exp(1.0))));
  CHECK(r.loss[1] == inf);  // an empty set
  CHECK(std::isnan(r.posterior[4]));
  CHECK(r.loss[2] == inf);  // only class 0, which the scores exclude
  CHECK(std::isnan(r.loss[3]));
  CHECK(std::isnan(r.loss[4]));
  CHECK(std::isfinite(r.loss[5]));
#if WEAKLY_HAS_EXCEPTIONS
  outcome<double> other(6, k);
  std::string message;
  const auto call = [&](const observations& what) {
    message.clear();
    try {
      weakly::label_posterior(weakly::view(logits.data(), 6, k), what, weakly::view(other.posterior.data(), 6, k),
                              other.loss, weakly::view(other.grad.data(), 6, k));
    } catch (const weakly::error& e) {
      message = e.what();
    }
  };
  call(o);
  CHECK(message.find("row 1 is impossible (2 such rows)") != std::string::npos);
  CHECK(other.loss[5] == r.loss[5]);
  const std::vector<int> backwards{0, 2, 1, 3, 5, 7, 9}, beyond{0, 2, 2, 3, 5, 7, 99};
  call(weakly::observed_sets(weakly::candidate_lists(backwards, ids, k)));
  CHECK(message.find("row 1 is malformed") != std::string::npos);
  call(weakly::observed_sets(weakly::candidate_lists(beyond, ids, k)));
  CHECK(message.find("row 5 is malformed") != std::string::npos);
  for (const std::vector<int>& bad :
       {std::vector<int>{1, 0, 0, 1, 2, 1, 2, 2, 3}, std::vector<int>{0, 0, 0, 1, 2, 1, 2, 2, 3},
        std::vector<int>{0, 4, 0, 1, 2, 1, 2, 2, 3}, std::vector<int>{-1, 1, 0, 1, 2, 1, 2, 2, 3}}) {
    call(weakly::observed_sets(weakly::candidate_lists(offsets, bad, k)));
    CHECK(message.find("row 0 is malformed") != std::string::npos);
  }
  const std::vector<int> label{0, 1, 4, 3, -2, 0};
  call(weakly::observed_labels(label, k));
  CHECK(message.find("row 2 is malformed (2 such rows)") != std::string::npos);
  std::vector<std::uint64_t> word(6, 1);
  word[3] = 1u << 4;
  call(weakly::observed_sets(weakly::candidate_bits(weakly::view(word.data(), 6, 1), k)));
  CHECK(message.find("row 3 is malformed") != std::string::npos);

  call(weakly::nothing_observed(5, k));
  CHECK(message.find("observations of 5 rows and 4 classes for scores of 6 rows") != std::string::npos);
  CHECK_THROWS_AS(weakly::candidate_bits(weakly::view(word.data(), 6, 1), 65), weakly::shape_error);
  CHECK_THROWS_AS(weakly::candidate_lists(std::vector<int>(), ids, k), weakly::shape_error);
  CHECK_THROWS_AS(weakly::noisy_labels_observed(label, weakly::view(logits.data(), 3, 4)), weakly::shape_error);
  CHECK_THROWS_AS(weakly::mixed_observations(label, {}), weakly::shape_error);
#endif
}

namespace {

// posterior, loss and gradient of one row in long double, of likelihoods given as logarithms.
struct truth {
  std::vector<long double> posterior, grad;
  long double loss;

  truth(const std::vector<long double>& z, const std::vector<long double>& log_t) {
    long double top = -INFINITY, top_in = -INFINITY, in = 0, out = 0, top_out = -INFINITY;
    for (std::size_t c = 0; c < z.size(); ++c) {
      top = std::max(top, z[c]);
      top_in = std::max(top_in, z[c] + log_t[c]);
      if (log_t[c] < 0) top_out = std::max(top_out, z[c]);
    }
    for (std::size_t c = 0; c < z.size(); ++c) {
      in += std::exp(z[c] + log_t[c] - top_in);
      if (log_t[c] < 0) out -= std::expm1(log_t[c]) * std::exp(z[c] - top_out);
    }
    loss = out > 0 ? std::log1p(std::exp(top_out - top_in) * out / in) : 0.0L;
    if (std::isinf(loss)) loss = top_out - top_in + std::log(out) - std::log(in);
    long double all = 0;
    for (const long double x : z) all += std::exp(x - top);
    for (std::size_t c = 0; c < z.size(); ++c) {
      posterior.push_back(std::exp(z[c] + log_t[c] - top_in) / in);
      grad.push_back(std::exp(z[c] - top) / all - posterior.back());
    }
  }
};

// Within so many roundings: an exponential has as many as its exponent is large, a sum of logarithms likewise. A loss
// that is next to nothing is such an exponential itself: `per_exponent` roundings more for each unit of it.
template <class T>
void check(const outcome<T>& got, const truth& want, double roundings, double per_exponent = 0) {
  const double unit = roundings * double(std::numeric_limits<T>::epsilon());
  const double exponent = want.loss > 0 && want.loss < 1 ? -std::log(double(want.loss)) : 0;
  const double of_loss = (roundings + per_exponent * exponent) * double(std::numeric_limits<T>::epsilon());
  CHECK(close(double(got.loss[0]), double(want.loss), of_loss, double(std::numeric_limits<T>::min())));
  for (std::size_t c = 0; c < want.posterior.size(); ++c) {
    const bool posterior = close(double(got.posterior[c]), double(want.posterior[c]), 0, unit);
    const bool grad = close(double(got.grad[c]), double(want.grad[c]), 0, unit);
    if (posterior && grad) continue;
    CAPTURE(c);
    CHECK(posterior);
    CHECK(grad);
  }
}

const long double never = -std::numeric_limits<long double>::infinity();

}  // namespace

TEST_CASE_TEMPLATE("label_posterior: what all scores have in common does not matter", T, float, double) {
  const std::vector<int> mask{1, 0, 0, 1, 0, 0, 0};
  std::mt19937 random(3);
  for (const double offset : {0.0, 50.0, 1000.0, -1000.0, 1e5, sizeof(T) == 4 ? 1e8 : 1e16}) {
    CAPTURE(offset);
    const std::vector<T> equal(4, T(offset));
    const auto four =
        run(equal, 4, weakly::observed_sets(weakly::candidate_masks(weakly::view(mask.data() + 3, 1, 4))));
    CHECK(close(double(four.loss[0]), std::log(4.0), double(std::numeric_limits<T>::epsilon())));
    for (int repeat = 0; repeat < 50; ++repeat) {
      std::vector<T> z;
      std::vector<long double> exact, log_t;
      for (const int member : mask) {
        z.push_back(T(offset + double(random() % 2000) / 200));
        exact.push_back(z.back());
        log_t.push_back(member != 0 ? 0.0L : never);
      }
      check(run(z, 7, weakly::observed_sets(weakly::candidate_masks(weakly::view(mask.data(), 1, 7)))),
            truth(exact, log_t), 64);
    }
  }
}

TEST_CASE_TEMPLATE("label_posterior: scores far apart and far from zero, in a batch and alone", T, float, double) {
  const double wide = sizeof(T) == 4 ? 1 : 9;  // what a double holds is so many times as far
  for (const index_t k : {3, 10, 17, 100, 300, 4200}) {
    if (support::sanitized && k > 100) break;
    const index_t n = k > 300 ? 2 : support::sanitized ? 4 : 20;
    scene s(n, k, 1, 8);
    for (double& t : s.likelihood) t = double(T(t));  // else they are rounded on the way
    for (const double scale : {4.0, 15.0, 40.0, 150.0})
      for (const double offset : {0.0, 60.0, -200.0}) {
        CAPTURE(k);
        CAPTURE(scale);
        CAPTURE(offset);
        std::vector<T> z;
        for (std::size_t j = 0; j < s.logits.size(); ++j)  // some masked, by as little as some do
          z.push_back(T(wide * (offset + (j % 7 == 6 ? -100 : scale * s.logits[j]))));
        const std::pair<observations, bool> observed[] = {
            {weakly::observed_sets(s.by_bits()), true},
            {weakly::observed_likelihoods(weakly::view(s.likelihood.data(), n, k)), false}};
        for (const auto& [o, sets] : observed) {
          const outcome<T> all = run(z, k, o);
          std::vector<T> q(z.size());
          weakly::label_posterior(weakly::view(z.data(), n, k), o, weakly::view(q.data(), n, k), weakly::discard,
                                  weakly::discard);
          CHECK(same_bits(q, all.posterior));
          for (index_t i = 0; i < n; ++i) {
            const std::vector<T> row(z.begin() + i * k, z.begin() + (i + 1) * k);
            const observations one =
                sets ? weakly::observed_sets(weakly::candidate_masks(weakly::view(s.mask.data() + i * k, 1, k)))
                     : weakly::observed_likelihoods(weakly::view(s.likelihood.data() + i * k, 1, k));
            const outcome<T> alone = run(row, k, one);
            CHECK(alone.loss[0] == all.loss[std::size_t(i)]);
            CHECK(same_bits(alone.grad, std::vector<T>(all.grad.begin() + i * k, all.grad.begin() + (i + 1) * k)));
            std::vector<long double> log_t;
            for (index_t j = i * k; j < (i + 1) * k; ++j)
              log_t.push_back(sets ? s.mask[std::size_t(j)] != 0 ? 0 : never
                                   : std::log((long double)(s.likelihood[std::size_t(j)])));
            check(alone, truth(std::vector<long double>(row.begin(), row.end()), log_t), 32, 1);
          }
        }
      }
  }
}

TEST_CASE_TEMPLATE("label_posterior: no class is lost that is improbable by itself and not within its row", T, float,
                   double) {
  const double low = sizeof(T) == 4 ? 1 : 11;  // what a double holds is eleven times as far down
  for (const double top : {-34.0, -30.0, -20.0, 0.0, 10.0, 30.0})
    for (const double gap : {20.0, 36.0, 50.0, 60.0, 80.0, 87.0})
      for (const bool label_on_top : {false, true}) {
        CAPTURE(top);
        CAPTURE(gap);
        const std::vector<int> label{label_on_top ? 0 : 1};
        const std::vector<T> z{T(top * low), T((top - gap) * low), T((top - 2 * gap) * low)};
        const auto got = run(z, 3, weakly::observed_labels(label, 3));
        const truth want({z[0], z[1], z[2]}, {label_on_top ? 0 : never, label_on_top ? never : 0, never});
        CHECK(close(double(got.loss[0]), double(want.loss), 4e-6, double(std::numeric_limits<T>::min())));
        CHECK(close(double(got.grad[1]), double(want.grad[1]), 4e-6, double(std::numeric_limits<T>::min())));
        // a third class that is as good as never there changes nothing
        const std::vector<T> masked{z[0], z[1], T(-1e9)};
        CHECK(close(double(run(masked, 3, weakly::observed_labels(label, 3)).loss[0]), double(want.loss), 4e-6,
                    double(std::numeric_limits<T>::min())));
      }
  const std::vector<int> label{0};
  const std::vector<float> z{-30, -80};
  CHECK(double(run(z, 2, weakly::observed_labels(label, 2)).loss[0]) == doctest::Approx(std::exp(-50.0)).epsilon(1e-6));
}

TEST_CASE_TEMPLATE("a posterior that is sure is exactly one", T, float, double) {
  for (const index_t k :
       {index_t(1), index_t(2), index_t(3), index_t(17), index_t(300), index_t(1001), index_t(5000)}) {
    if (support::sanitized && k > 300) break;
    CAPTURE(k);
    // The last of them has so many rows that they are written past the caches.
    const index_t n = k == 1      ? 4000
                      : k == 3    ? 20000
                      : k == 1001 ? (index_t(4) << 20) / (1001 * index_t(sizeof(T))) + 2
                                  : 300;
    std::mt19937 random(2);
    std::normal_distribution<double> number(0, 3);
    std::vector<T> z;
    std::vector<int> label;
    for (index_t i = 0; i < n * k; ++i) z.push_back(T(number(random)));
    for (index_t i = 0; i < n; ++i) label.push_back(int(random() % unsigned(k)));
    std::vector<T> identity(std::size_t(k * k)), q(z.size());
    for (index_t c = 0; c < k; ++c) identity[std::size_t(c * k + c)] = 1;
    std::vector<std::uint8_t> mask(z.size());
    for (index_t i = 0; i < n; ++i) mask[std::size_t(i * k + label[std::size_t(i)])] = 1;
    const auto forms = {weakly::observed_labels(label, k),
                        weakly::observed_sets(weakly::candidate_masks(weakly::view(mask.data(), n, k))),
                        weakly::noisy_labels_observed(label, weakly::view(identity.data(), k, k))};
    for (const auto& o : forms) {
      weakly::label_posterior(weakly::view(z.data(), n, k), o, weakly::view(q.data(), n, k), weakly::discard,
                              weakly::discard);
      index_t inexact = 0;
      for (std::size_t j = 0; j < q.size(); ++j) inexact += q[j] != T(mask[j]);
      CHECK(inexact == 0);
    }
  }
}

TEST_CASE_TEMPLATE("label_posterior: a noisy set may be far more likely given one class than given another", T, float,
                   double) {
  const index_t k = 42;
  const double low = sizeof(T) == 4 ? 1e-4 : 1e-12;
  std::vector<double> t;
  std::vector<std::uint8_t> mask(std::size_t(k), 1);
  mask[40] = mask[41] = 0;
  for (index_t c = 0; c < k; ++c)
    for (index_t l = 0; l < k; ++l) t.push_back(c < 40 ? 1.0 / 42 : l < 40 ? low : 0.498);
  const auto o = weakly::noisy_sets_observed(weakly::candidate_masks(weakly::view(mask.data(), 1, k)),
                                             weakly::view(t.data(), k, k), weakly::set_likelihood::product);
  std::vector<long double> log_t;
  for (index_t c = 0; c < k; ++c) log_t.push_back(40 * std::log((long double)(c < 40 ? 1.0 / 42 : low)));
  for (const double rest : {-1000.0, -inf})
    for (const double first : {0.0, -100.0, -200.0, -219.0, -250.0, -900.0, -956.0, -inf}) {
      CAPTURE(rest);
      CAPTURE(first);
      std::vector<T> z(static_cast<std::size_t>(k), static_cast<T>(rest));
      z[0] = T(first);
      z[41] = 0;
      check(run(z, k, o), truth(std::vector<long double>(z.begin(), z.end()), log_t), sizeof(T) == 4 ? 16 : 8000);
    }
}

TEST_CASE("label_posterior: likelihoods in double decide scores in float, however small they are") {
  const std::vector<double> likelihood{1e-50, 2e-50, 1e-300, 1e-310};
  const std::vector<float> z{0, 0, -700, -690};
  const auto r = run(z, 2, weakly::observed_likelihoods(weakly::view(likelihood.data(), 2, 2)));
  CHECK(double(r.posterior[1]) == doctest::Approx(2.0 / 3));
  CHECK(double(r.loss[0]) == doctest::Approx(-std::log(1.5e-50)));
  CHECK(double(r.posterior[3]) == doctest::Approx(1 / (1 + std::exp(std::log(1e10) - 10))).epsilon(1e-5));
  const std::vector<double> t{1 - 1e-46, 1e-46, 1e-46, 1 - 1e-46};
  const std::vector<int> label{1};
  const std::vector<float> far{0, -200};
  const auto noisy = run(far, 2, weakly::noisy_labels_observed(label, weakly::view(t.data(), 2, 2)));
  CHECK(double(noisy.posterior[0]) == doctest::Approx(1.0));
  CHECK(double(noisy.loss[0]) == doctest::Approx(-std::log(1e-46)));
}

TEST_CASE_TEMPLATE("label_posterior: a log ratio is added to what is left of the scores", T, float, double) {
  const double offset = sizeof(T) == 4 ? 5000 : 5e12;
  const std::vector<T> z{T(offset), T(offset), T(offset) + 1000}, ratio{0, T(-2.3), -T(inf)};
  std::vector<T> q(3), loss(1);
  weakly::label_posterior(weakly::seq, weakly::view(z.data(), 1, 3), weakly::nothing_observed(1, 3), ratio,
                          weakly::view(q.data(), 1, 3), loss, weakly::discard);
  CHECK(close(double(q[1]), 1 / (1 + std::exp(-double(ratio[1]))), double(std::numeric_limits<T>::epsilon())));
  CHECK(q[2] == 0);
  CHECK(loss[0] == 0);
#if WEAKLY_HAS_EXCEPTIONS
  for (const double bad : {inf, std::nan("")}) {
    const std::vector<T> wrong{0, 0, T(bad)};
    std::string message;
    try {
      weakly::label_posterior(weakly::seq, weakly::view(z.data(), 1, 3), weakly::nothing_observed(1, 3), wrong,
                              weakly::view(q.data(), 1, 3), loss, weakly::discard);
    } catch (const weakly::value_error& e) {
      message = e.what();
    }
    CHECK(message.find("label_posterior: log_ratio of class 2 is") == 0);
  }
#endif
}

TEST_CASE("a noisy set that is full or empty") {
  for (const index_t k : {index_t(7), index_t(support::sanitized ? 150 : 600)}) {
    std::mt19937 random(3);
    std::vector<double> t, z;
    for (index_t c = 0; c < k; ++c) {
      double sum = 0;
      for (index_t l = 0; l < k; ++l) sum += t.emplace_back(double(random() % 1000));
      for (index_t l = 0; l < k; ++l) t[std::size_t(c * k + l)] /= sum;
      z.push_back(double(random() % 100) / 50);
    }
    using weakly::set_likelihood;
    const auto of = [&](std::uint8_t member, set_likelihood how) {
      const std::vector<std::uint8_t> mask(std::size_t(k), member);
      return run(z, k,
                 weakly::noisy_sets_observed(weakly::candidate_masks(weakly::view(mask.data(), 1, k)),
                                             weakly::view(t.data(), k, k), how));
    };
    const auto full = of(1, set_likelihood::sum);
    CHECK(full.loss[0] >= 0);
    CHECK(full.loss[0] < 1e-13);
    const auto empty = of(0, set_likelihood::product), nothing = run(z, k, weakly::nothing_observed(1, k));
    CHECK(empty.posterior == nothing.posterior);
    CHECK(empty.loss[0] == 0);
    CHECK(of(0, set_likelihood::sum).loss[0] == inf);
    std::vector<long double> log_t;
    for (index_t c = 0; c < k; ++c) {
      long double sum = 0;
      for (index_t l = 0; l < k; ++l) sum += std::log1p(-(long double)(t[std::size_t(c * k + l)]));
      log_t.push_back(sum);
    }
    const truth want(std::vector<long double>(z.begin(), z.end()), log_t);
    const auto out = of(0, set_likelihood::inclusion);
    CHECK(close(out.loss[0], double(want.loss), 1e-12));
    CHECK(close(out.posterior[1], double(want.posterior[1]), 1e-12));
  }
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("label_posterior says what is wrong with an observation or an output, and does the other rows") {
  const std::vector<double> z(6, 1.0);
  std::vector<double> q(6), loss(3);
  const auto message = [&](const observations& o) {
    try {
      weakly::label_posterior(weakly::view(z.data(), 3, 2), o, weakly::view(q.data(), 3, 2), loss, weakly::discard);
    } catch (const weakly::error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  for (const double bad : {-0.5, 1.5, inf, std::nan("")}) {
    const std::vector<double> likelihood{0.5, 0.25, 0.5, bad, 0.25, 0.75};
    const std::vector<float> single(likelihood.begin(), likelihood.end());
    for (const auto& o : {weakly::observed_likelihoods(weakly::view(likelihood.data(), 3, 2)),
                          weakly::observed_likelihoods(weakly::view(single.data(), 3, 2))}) {
      const std::string text = message(o);
      CHECK(text.find("row 1 is malformed (1 such row): its likelihood of class 1 is") != std::string::npos);
      CHECK(q[4] == 0.25);
      CHECK(q[0] == doctest::Approx(2.0 / 3));
      CHECK(std::isnan(q[2]));
    }
  }
  const std::vector<int> kind{0, 7, -1}, label{0, 2, 1};
  const std::vector<observations> parts{weakly::nothing_observed(3, 2), weakly::observed_labels(label, 2)};
  CHECK(message(weakly::mixed_observations(kind, parts)).find("its kind is 7; kinds number the 2 parts") !=
        std::string::npos);
  CHECK(message(parts[1]).find("its label is 2; labels lie in [0, 2)") != std::string::npos);
  std::vector<double> wrong(9);
  try {
    weakly::label_posterior(weakly::view(z.data(), 3, 2), parts[0], weakly::view(wrong.data(), 3, 3), loss,
                            weakly::discard);
    CHECK(false);
  } catch (const weakly::shape_error& e) {
    CHECK(std::string(e.what()).find("label_posterior: posterior has 3 rows of 3, logits have 3 rows of 2") == 0);
  }
  try {
    weakly::label_posterior(weakly::view(z.data(), 3, 2), parts[0], weakly::discard, loss,
                            weakly::view(wrong.data(), 3, 3));
    CHECK(false);
  } catch (const weakly::shape_error& e) {
    CHECK(std::string(e.what()).find("label_posterior: grad has 3 rows of 3, logits have 3 rows of 2") == 0);
  }
}
#endif
