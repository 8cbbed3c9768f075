// SPDX-License-Identifier: MIT
#include "em_checks.hpp"
#include "noise/allocations.hpp"

#include <weakly/em/backward_correction.hpp>
#include <weakly/em/batch_posterior.hpp>
#include <weakly/em/candidate_argmax.hpp>
#include <weakly/em/candidate_list_posterior.hpp>
#include <weakly/em/class_balance.hpp>
#include <weakly/em/class_top_rows.hpp>
#include <weakly/em/complement_loss.hpp>
#include <weakly/em/distribution_alignment.hpp>
#include <weakly/em/em_consistency.hpp>
#include <weakly/em/label_posterior.hpp>
#include <weakly/em/leveraged_weighted.hpp>
#include <weakly/em/mean_scores.hpp>
#include <weakly/em/proden.hpp>
#include <weakly/em/prototypes.hpp>
#include <weakly/em/sharpen.hpp>
#include <weakly/em/sinkhorn.hpp>
#include <weakly/em/transition_matrix.hpp>

#include <cstddef>
#include <cstdint>

using namespace em_checks;

TEST_CASE("what goes beside EM, on rows and in estimators, allocates nothing") {
  using namespace weakly;
  for (const index_t k : {index_t(10), index_t(700)}) {
    CAPTURE(k);
    const index_t n = 40;
    const auto x = normal(n, k, 2, 1), p = softmax(x, k);
    const std::vector<float> logits(x.begin(), x.end()), prob(p.begin(), p.end());
    std::vector<std::uint8_t> mask;
    std::vector<int> label(static_cast<std::size_t>(n), 1);
    for (index_t i = 0; i < n * k; ++i) mask.push_back(i % 3 == 0 || i % k == 1);
    std::vector<double> identity = zeros(k * k);
    for (index_t c = 0; c < k; ++c) identity[std::size_t(c * k + c)] = 1;
    std::vector<float> loss = zeros<float>(n), out = zeros<float>(n * k), target = zeros<float>(n * k);
    std::vector<float> prototype = zeros<float>(k * k);
    std::vector<std::byte> memory(sinkhorn_scratch(n, k) + class_balance_scratch(k) + class_top_rows_scratch(n));
    workspace scratch(memory);
    const candidate_sets sets = candidate_masks(rows(mask, k));
    const observations observed = observed_sets(sets);
    transition_estimator transition(k);
    class_estimate estimate(k);
    const auto z = rows(logits, k), q = rows(prob, k);
    const auto g = rows(out, k), t = rows(target, k);
    const auto eye = rows(identity, k);

    std::vector<int> offsets(std::size_t(n + 1), 3 + static_cast<int>(k)), ids{0, 2, 4}, no_bags{0};
    offsets[0] = 0;
    offsets[1] = 3;
    for (int c = 0; c < static_cast<int>(k); ++c) ids.push_back(c);
    std::vector<float> slots(ids.size());
    const auto before = allocations::count();
    backward_correction(z, label, transition_inverse(eye, eye), loss, g);
    em_consistency(z, z, observed, loss, g);
    label_posterior(z, observed, t, loss, g);
    label_posterior(z, noisy_labels_observed(label, eye), t, loss, g);
    label_posterior(z, noisy_sets_observed(sets, eye, set_likelihood::inclusion), t, loss, g,
                    {.impossible = impossible_row::keep});
    candidate_list_posterior(z, candidate_lists(offsets, ids, k), slots, {.impossible = impossible_row::keep});
    batch_posterior(z, nothing_observed(n, k), no_bags, weakly::view(label.data(), 0, k), scratch, t, loss, g);
    complement_loss(z, sets, loss, g);
    uniform_targets(sets, t);
    proden_step(z, sets, t, loss, g);
    leveraged_weights(z, sets, t);
    leveraged_weighted(z, sets, t, loss, g, {.base = leveraged_loss::cross_entropy});
    mean_scores(g, z, q);
    sharpen(q, 0.5, g);
    keep_top_classes(q, 3, g);
    confident_rows(q, 0.5, loss);
    candidate_argmax(z, sets, label);
    update_prototypes(z, label, rows(prototype, k));
    prototype_targets(z, sets, t, 0.9);
    class_top_rows(q, 3, scratch, label);
    class_balance(q, scratch, g);
    sinkhorn(z, scratch, g);
    transition.add(q, label);
    estimate.update(q);
    CHECK(allocations::count() == before);
  }
}
