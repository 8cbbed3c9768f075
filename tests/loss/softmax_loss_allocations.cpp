// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "noise/allocations.hpp"

#include <weakly/loss/active_passive.hpp>
#include <weakly/loss/aldr_kl.hpp>
#include <weakly/loss/aldr_kl_step.hpp>
#include <weakly/loss/brier.hpp>
#include <weakly/loss/crammer_singer.hpp>
#include <weakly/loss/cross_entropy.hpp>
#include <weakly/loss/early_learning.hpp>
#include <weakly/loss/focal.hpp>
#include <weakly/loss/ldam.hpp>
#include <weakly/loss/ldam_multilabel.hpp>
#include <weakly/loss/ldr_kl.hpp>
#include <weakly/loss/ldr_topk.hpp>
#include <weakly/loss/logit_adjustment.hpp>
#include <weakly/loss/normalized_logits.hpp>
#include <weakly/loss/reduction.hpp>
#include <weakly/loss/robust_log_loss.hpp>
#include <weakly/loss/soft_cross_entropy.hpp>
#include <weakly/loss/top_k_svm.hpp>
#include <weakly/loss/weston_watkins.hpp>

#include <numeric>
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

TEST_CASE("losses of margins, and what normalises their logits, allocate nothing") {
  using namespace weakly;
  for (const index_t k : {index_t(10), index_t(500), index_t(5000)}) {
    CAPTURE(k);
    loss_checks::batch_of_rows<float> b(40, k, 3, 1), far(40, k, 300, 1);
    std::vector<float> table(static_cast<std::size_t>(k < 5000 ? k * k : 0), 0.1f), state(40, 1.0f), extra(40);
    std::vector<index_t> index(40);
    std::iota(index.begin(), index.end(), index_t(0));
    const auto margins = view(table.data(), k < 5000 ? k : 0, k < 5000 ? k : 0);
    const auto before = allocations::count();
    for (auto* const rows : {&b, &far}) {  // near logits need no shift, of the far ones every row does
      ldr_kl(rows->x(), b.label, b.loss, b.g(), {.margin = 0.1});
      ldr_kl(rows->x(), b.label, b.loss, b.g(), {.lambda = 0.01, .margin = 0.1});
      if (k < 5000) ldr_kl(rows->x(), b.label, b.loss, b.g(), {.margin = margin_table(margins)});
      ldr_kl(rows->x(), b.label, b.loss, b.g(), extra, {.lambda = 3});
      ldr_topk(rows->x(), b.label, b.loss, b.g(), extra, {.top = 5, .lambda = 0.5});
      aldr_kl(rows->x(), b.label, b.loss, b.g(), {.alpha = 2, .margin = 0.1});
      aldr_kl_step(rows->x(), b.label, index, state, b.loss, b.g(), {.margin = 0.1});
      crammer_singer(rows->x(), b.label, b.loss, b.g());
      weston_watkins(rows->x(), b.label, b.loss, b.g());
      top_k_svm(rows->x(), b.label, b.loss, b.g());
      normalized_logits(rows->x(), b.g(), {.softplus = true});
      normalized_logits_gradient(rows->x(), far.g(), b.g());
    }
    CHECK(allocations::count() == before);
  }
}
