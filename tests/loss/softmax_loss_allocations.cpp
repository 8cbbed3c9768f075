// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "noise/allocations.hpp"

#include <weakly/loss/active_passive.hpp>
#include <weakly/loss/brier.hpp>
#include <weakly/loss/cross_entropy.hpp>
#include <weakly/loss/early_learning.hpp>
#include <weakly/loss/focal.hpp>
#include <weakly/loss/ldam.hpp>
#include <weakly/loss/ldam_multilabel.hpp>
#include <weakly/loss/logit_adjustment.hpp>
#include <weakly/loss/reduction.hpp>
#include <weakly/loss/robust_log_loss.hpp>
#include <weakly/loss/soft_cross_entropy.hpp>

#include <vector>

TEST_CASE("losses of a softmax, with weights and an index, and their reductions allocate nothing") {
  using namespace weakly;
  for (const index_t k : {index_t(10), index_t(500), index_t(5000)}) {
    CAPTURE(k);
    loss_checks::batch_of_rows<float> b(40, k, 3, 1);
    const auto size = static_cast<std::size_t>(40 * k);
    std::vector<float> table(size), weight(40), by_class(static_cast<std::size_t>(k));
    std::vector<double> learnt(40);
    std::vector<int> index, positive(size);
    for (int i = 0; i < 40; ++i) index.push_back(39 - i);
    const auto t = view(table.data(), 40, k);
    const auto before = allocations::count();
    const loss_labels labels = loss_labels(b.label).ignore(3);
    reduction_weights(labels, k, reduction::mean, weight);
    cross_entropy(b.x(), labels.weights(weight), b.loss, b.g(), {.temperature = 2, .smoothing = 0.1});
    soft_cross_entropy(b.x(), t, b.loss, b.g());
    focal(b.x(), labels, b.loss, b.g());
    active_passive(b.x(), labels, b.loss, b.g(), asymmetric_unhinged_options{});
    brier(b.x(), labels, b.loss, b.g());
    robust_log_loss(b.x(), labels, b.loss, b.g());
    early_learning(b.x(), labels, index, t, b.loss, b.g());
    ldam(b.x(), labels, by_class, b.loss, b.g());
    ldam_multilabel(b.x(), view(positive.data(), 40, k), by_class, b.loss, b.g());
    logit_adjustment(b.x(), labels, by_class, b.loss, b.g());
    logit_adjustment_slope(b.g(), by_class, b.loss);
    scale_rows(b.g(), weight);
    CHECK(loss_mean(b.loss) == loss_sum(b.loss) / 40);
    weighted_mean(b.loss, weight, discard, learnt);
    CHECK(allocations::count() == before);
  }
}
