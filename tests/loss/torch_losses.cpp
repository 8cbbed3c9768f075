// SPDX-License-Identifier: MIT
// Losses and gradients beside PyTorch's, which golden/make_losses.py has written down.
#include "loss_checks.hpp"

#include <weakly/loss/active_passive.hpp>
#include <weakly/loss/asymmetric_generalized_cross_entropy.hpp>
#include <weakly/loss/asymmetric_unhinged.hpp>
#include <weakly/loss/brier.hpp>
#include <weakly/loss/cross_entropy.hpp>
#include <weakly/loss/focal.hpp>
#include <weakly/loss/generalized_cross_entropy.hpp>
#include <weakly/loss/jensen_shannon.hpp>
#include <weakly/loss/ldam.hpp>
#include <weakly/loss/ldam_multilabel.hpp>
#include <weakly/loss/logit_adjustment.hpp>
#include <weakly/loss/mean_absolute_error.hpp>
#include <weakly/loss/normalized_cross_entropy.hpp>
#include <weakly/loss/reduction.hpp>
#include <weakly/loss/reverse_cross_entropy.hpp>
#include <weakly/loss/robust_log_loss.hpp>
#include <weakly/loss/soft_cross_entropy.hpp>
#include <weakly/loss/symmetric_cross_entropy.hpp>
#include <weakly/loss/truncated_generalized_cross_entropy.hpp>
#include <weakly/loss/weston_watkins.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

TEST_CASE("losses and gradients are those of PyTorch") {
  using namespace weakly;
  std::ifstream file(support::source_dir() / "tests/golden/torch_losses.json");
  REQUIRE(file);
  const nlohmann::json golden = nlohmann::json::parse(file);
  const auto n = golden["n"].get<index_t>(), k = golden["k"].get<index_t>();
  const auto reals = [&](const char* name) { return golden[name].get<std::vector<double>>(); };
  const auto integers = [&](const char* name) { return golden[name].get<std::vector<int>>(); };
  const std::vector<double> logits = reals("logits"), class_weights = reals("class_weights"), soft = reals("soft"),
                            margins = reals("ldam_margins"), prior = reals("prior"),
                            no_margins(static_cast<std::size_t>(k));
  const std::vector<int> labels = integers("labels"), ignored = integers("ignored"), positive = integers("positive");
  const auto x = view(logits.data(), n, k);

  using values = std::vector<double>;
  using gradient = matrix_view<double>;
  // PyTorch's reductions: the weights that make them, and the sum.
  const auto reduced = [&](const loss_labels& all, reduction how, values& l, gradient g) {
    values w(l.size());
    reduction_weights(all, k, how, w);
    cross_entropy(x, loss_labels(ignored).ignore(-100).weights(w), l, g);
    l = {loss_sum(l)};
  };
  const loss_labels kept = loss_labels(ignored).ignore(-100);
  const std::map<std::string, std::function<void(values&, gradient)>> ours{
      {"cross_entropy", [&](auto& l, auto g) { cross_entropy(x, labels, l, g); }},
      {"cross_entropy_temperature", [&](auto& l, auto g) { cross_entropy(x, labels, l, g, {.temperature = 2.5}); }},
      {"cross_entropy_smoothing", [&](auto& l, auto g) { cross_entropy(x, labels, l, g, {.smoothing = 0.1}); }},
      {"cross_entropy_weights",
       [&](auto& l, auto g) { cross_entropy(x, loss_labels(labels).class_weights(class_weights), l, g); }},
      {"cross_entropy_ignore", [&](auto& l, auto g) { cross_entropy(x, kept, l, g); }},
      {"cross_entropy_soft", [&](auto& l, auto g) { soft_cross_entropy(x, view(soft.data(), n, k), l, g); }},
      {"cross_entropy_sum", [&](auto& l, auto g) { reduced(kept.class_weights(class_weights), reduction::sum, l, g); }},
      {"cross_entropy_mean", [&](auto& l, auto g) { reduced(kept, reduction::mean, l, g); }},
      {"cross_entropy_weighted_mean",
       [&](auto& l, auto g) { reduced(kept.class_weights(class_weights), reduction::weighted_mean, l, g); }},
      {"multi_margin", [&](auto& l, auto g) { weston_watkins(x, labels, l, g, {.margin = 1, .mean = true}); }},
      {"multi_margin_2", [&](auto& l, auto g) { weston_watkins(x, labels, l, g, {.margin = 2, .mean = true}); }},
      {"binary_cross_entropy",
       [&](auto& l, auto g) { ldam_multilabel(x, view(positive.data(), n, k), no_margins, l, g); }},
      {"generalized_cross_entropy", [&](auto& l, auto g) { generalized_cross_entropy(x, labels, l, g, {.q = 0.7}); }},
      {"truncated_generalized_cross_entropy",
       [&](auto& l, auto g) { truncated_generalized_cross_entropy(x, labels, l, g, {.q = 0.7, .k = 0.3}); }},
      {"mean_absolute_error", [&](auto& l, auto g) { mean_absolute_error(x, labels, l, g); }},
      {"brier", [&](auto& l, auto g) { brier(x, labels, l, g); }},
      {"reverse_cross_entropy", [&](auto& l, auto g) { reverse_cross_entropy(x, labels, l, g); }},
      {"symmetric_cross_entropy", [&](auto& l, auto g) { symmetric_cross_entropy(x, labels, l, g); }},
      {"jensen_shannon", [&](auto& l, auto g) { jensen_shannon(x, labels, l, g, {.label_weight = 0.3}); }},
      {"asymmetric_generalized_cross_entropy",
       [&](auto& l, auto g) { asymmetric_generalized_cross_entropy(x, labels, l, g, {.a = 3, .q = 1.5}); }},
      {"asymmetric_unhinged", [&](auto& l, auto g) { asymmetric_unhinged(x, labels, l, g, {.a = 6, .q = 1.5}); }},
      {"focal", [&](auto& l, auto g) { focal(x, labels, l, g, {.gamma = 2}); }},
      {"normalized_cross_entropy", [&](auto& l, auto g) { normalized_cross_entropy(x, labels, l, g); }},
      {"active_passive",
       [&](auto& l, auto g) {
         active_passive(x, labels, l, g, asymmetric_unhinged_options{.a = 6, .q = 1.5}, {.active = 5, .passive = 2});
       }},
      {"robust_log_loss", [&](auto& l, auto g) { robust_log_loss(x, labels, l, g, {.a = 0.1}); }},
      {"logit_adjustment", [&](auto& l, auto g) { logit_adjustment(x, labels, prior_adjustment(prior, 1.5), l, g); }},
      {"ldam", [&](auto& l, auto g) { ldam(x, labels, margins, l, g, {.scale = 10}); }},
  };

  CHECK(ours.size() == golden["cases"].size());
  for (const auto& [name, run] : ours) {
    CAPTURE(name);
    REQUIRE(golden["cases"].contains(name));
    const values want = golden["cases"][name]["loss"].get<values>(), want_grad = golden["cases"][name]["grad"];
    values loss(static_cast<std::size_t>(n)), grad(static_cast<std::size_t>(n * k));
    run(loss, view(grad.data(), n, k));
    REQUIRE(loss.size() == want.size());
    for (std::size_t i = 0; i < want.size(); ++i) CHECK(loss_checks::near(loss[i], want[i], 1e-13));
    for (std::size_t i = 0; i < grad.size(); ++i) CHECK(loss_checks::near(grad[i], want_grad[i], 1e-13));
  }
}
