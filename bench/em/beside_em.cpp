// SPDX-License-Identifier: MIT
// Everything of em/ that has no bench of its own, once each, beside a copy of as many floats in the same run.
#include "../loss/loss_arrays.hpp"

#include <weakly/core/matrix.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/em/anchor_points.hpp>
#include <weakly/em/backward_correction.hpp>
#include <weakly/em/batch_posterior.hpp>
#include <weakly/em/candidate_argmax.hpp>
#include <weakly/em/class_balance.hpp>
#include <weakly/em/class_counts.hpp>
#include <weakly/em/class_counts_one_vs_rest.hpp>
#include <weakly/em/class_top_rows.hpp>
#include <weakly/em/complement_loss.hpp>
#include <weakly/em/distribution_alignment.hpp>
#include <weakly/em/em_consistency.hpp>
#include <weakly/em/leveraged_weighted.hpp>
#include <weakly/em/mean_scores.hpp>
#include <weakly/em/multiple_instance.hpp>
#include <weakly/em/pair_posterior.hpp>
#include <weakly/em/pair_similarity.hpp>
#include <weakly/em/positive_confidence.hpp>
#include <weakly/em/proden.hpp>
#include <weakly/em/prototypes.hpp>
#include <weakly/em/sharpen.hpp>
#include <weakly/em/sinkhorn.hpp>
#include <weakly/em/transition_matrix.hpp>
#include <weakly/em/two_softmax_transition.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace {

using weakly::discard;
using weakly::index_t;

constexpr index_t n = 65536, k = 100, bag = 8, few = 3;

/// 65536 x 100 scores and what goes with them; the same numbers serve as bags of 8 and as rows of 3 classes.
struct scene {
  const bench::logit_arrays& a = bench::logits(n, k);
  const bench::arrays& p = bench::data(n, k);
  float* const table = bench::huge_pages(static_cast<std::size_t>(n * k));
  std::vector<std::uint8_t> mask, positive;
  std::vector<float> prototype, confidence, loss;
  std::vector<double> transition, inverse;  // 0.9 I + 0.1 / k
  std::vector<std::int64_t> begin{0}, counts, noisy, made;
  std::vector<std::byte> memory;
  weakly::candidate_sets sets;
  weakly::matrix<double> by_column{k, k};
  weakly::class_estimate estimate{k};

  scene()
      : prototype(static_cast<std::size_t>(k * k), 0.1f),
        confidence(static_cast<std::size_t>(n), 0.7f),
        noisy(a.label),
        made(a.label) {
    std::fill_n(table, static_cast<std::size_t>(n * k), 0.01f);
    for (index_t i = 0; i < n * k; ++i) mask.push_back(i % 3 == 0 || i % k == i / k % k);
    for (index_t c = 0; c < k; ++c)
      for (index_t l = 0; l < k; ++l) {
        by_column(c, l) = transition.emplace_back((c == l ? 0.9 : 0.0) + 0.1 / k);
        inverse.push_back((c == l ? 1 / 0.9 : 0.0) - 0.1 / 0.9 / k);
      }
    for (index_t i = 0; i < n; i += bag) {
      begin.push_back(i + bag);
      positive.push_back(i % 16 == 0);
      for (const index_t c : {4, 2, 2}) counts.push_back(c);
    }
    loss.resize(static_cast<std::size_t>(n));
    memory.resize(
        std::max({weakly::sinkhorn_scratch(n, k), weakly::class_balance_scratch(k), weakly::class_top_rows_scratch(n),
                  weakly::pair_posterior_scratch(k), weakly::class_counts_scratch(75, bag, few),
                  weakly::class_counts_one_vs_rest_scratch(bag, few)}));
    sets = weakly::candidate_masks(weakly::view(mask.data(), n, k));
  }

  auto x() const { return a.logits_view(); }
  auto q() const { return p.prob_view(); }
  auto g() const { return a.grad_view(); }
  auto t() const { return weakly::view(table, n, k); }
  auto logit() const { return weakly::view(static_cast<const float*>(a.logits), n); }
  auto x3() const { return weakly::view(static_cast<const float*>(a.logits), n, few); }
  auto g3() const { return weakly::view(a.grad, n, few); }
  auto first() const { return weakly::view(static_cast<const float*>(a.logits), n / 2, k); }
  auto second() const { return weakly::view(static_cast<const float*>(a.logits) + n / 2 * k, n / 2, k); }
  auto c() const { return weakly::view(counts.data(), n / bag, few); }
  auto v() const { return weakly::view(a.extra, n); }
};

/// f(scene, workspace) on `columns` floats a row.
void add(const std::string& name, index_t columns, std::function<void(scene&, weakly::workspace&)> f) {
  bench::add("em/" + name + "/" + bench::size_name(n, columns), [=](benchmark::State& state) {
    static scene s;
    bench::logits(n, columns), bench::more(n, columns);
    for (auto _ : state) {
      weakly::workspace scratch(s.memory);
      f(s, scratch);
      benchmark::ClobberMemory();
    }
    state.SetBytesProcessed(state.iterations() * n * columns * 8);
  });
}

const bool registered = [] {
  using namespace weakly;
  using space = workspace;
  for (const index_t columns : {k, few, index_t(1)})
    add("floor_copy", columns, [columns](scene&, space&) {
      bench::copy_logits({bench::logits(n, columns), bench::more(n, columns)});
    });
  add("anchor_points", k, [](scene& s, space&) { benchmark::DoNotOptimize(anchor_points(s.q())); });
  add("backward_correction", k, [](scene& s, space&) {
    backward_correction(s.x(), s.noisy,
                        transition_inverse(view(s.transition.data(), k, k), view(s.inverse.data(), k, k)), s.loss,
                        s.g());
  });
  add("candidate_argmax", k, [](scene& s, space&) { candidate_argmax(s.x(), s.sets, s.made); });
  add("class_balance", k, [](scene& s, space& w) { class_balance(s.q(), w, s.g()); });
  add("class_top_rows", k, [](scene& s, space& w) { class_top_rows(s.q(), 100, w, s.made); });
  add("complement_loss", k, [](scene& s, space&) { complement_loss(s.x(), s.sets, s.loss, s.g()); });
  add("distribution_alignment", k, [](scene& s, space&) { s.estimate.update(s.q()); });
  add("em_consistency", k,
      [](scene& s, space&) { em_consistency(s.x(), s.x(), observed_sets(s.sets), s.loss, s.g()); });
  add("leveraged_weights", k, [](scene& s, space&) { leveraged_weights(s.x(), s.sets, s.t()); });
  add("leveraged_weighted", k, [](scene& s, space&) { leveraged_weighted(s.x(), s.sets, s.t(), s.loss, s.g()); });
  add("mean_scores", k, [](scene& s, space&) { mean_scores(s.g(), s.x(), s.q()); });
  add("pair_posterior", k, [](scene& s, space& w) {
    pair_posterior(s.first(), s.second(), pair_relation::similar(), w, discard, discard, discard,
                   view(s.a.grad, n / 2, k), view(s.a.grad + n / 2 * k, n / 2, k));
  });
  add("pair_similarity", k, [](scene& s, space& w) {
    pair_similarity(s.first(), s.second(), view(s.confidence.data(), n / 2), w, discard, view(s.a.grad, n / 2, k),
                    view(s.a.grad + n / 2 * k, n / 2, k));
  });
  add("uniform_targets", k, [](scene& s, space&) { uniform_targets(s.sets, s.t()); });
  add("proden_step", k, [](scene& s, space&) { proden_step(s.x(), s.sets, s.t(), s.loss, s.g()); });
  add("prototype_targets", k, [](scene& s, space&) { prototype_targets(s.x(), s.sets, s.t(), 0.9); });
  add("update_prototypes", k,
      [](scene& s, space&) { update_prototypes(s.x(), s.noisy, view(s.prototype.data(), k, k)); });
  add("sharpen", k, [](scene& s, space&) { sharpen(s.q(), 0.5, s.g()); });
  add("keep_top_classes", k, [](scene& s, space&) { keep_top_classes(s.q(), 3, s.g()); });
  add("sinkhorn", k, [](scene& s, space& w) { sinkhorn(s.x(), w, s.g()); });
  add("transition_matrix", k, [](scene& s, space&) {
    transition_estimator estimator(k);
    estimator.add(s.q(), s.noisy);
    benchmark::DoNotOptimize(estimator.finish());
  });
  add("two_softmax_transition", k,
      [](scene& s, space&) { two_softmax_noise_loss(s.x(), s.noisy, s.by_column, s.loss, s.g()); });
  add("batch_posterior", few, [](scene& s, space& w) {
    batch_posterior(s.x3(), nothing_observed(0, few), s.begin, s.c(), w, discard, discard, s.g3());
  });
  add("class_counts", few,
      [](scene& s, space& w) { class_counts(s.x3(), s.begin, s.c(), w, discard, discard, s.g3()); });
  add("class_counts_one_vs_rest", few,
      [](scene& s, space& w) { class_counts_one_vs_rest(s.x3(), s.begin, s.c(), w, discard, discard, s.g3()); });
  add("multiple_instance", 1,
      [](scene& s, space&) { multiple_instance(s.logit(), s.begin, s.positive, discard, discard, s.v()); });
  add("positive_confidence", 1,
      [](scene& s, space&) { positive_confidence(s.logit(), s.confidence, discard, discard, s.v()); });
  return true;
}();

}  // namespace
