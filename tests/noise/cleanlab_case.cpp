// SPDX-License-Identifier: MIT
#include "cleanlab_case.hpp"

#include "golden/golden.hpp"

#include <weakly/noise/calibrate_joint.hpp>
#include <weakly/noise/confident_guess.hpp>
#include <weakly/noise/confident_joint.hpp>
#include <weakly/noise/dataset_health.hpp>
#include <weakly/noise/label_issues.hpp>
#include <weakly/noise/label_quality.hpp>
#include <weakly/noise/latent_algebra.hpp>
#include <weakly/noise/noise_matrices.hpp>
#include <weakly/noise/prune_counts.hpp>
#include <weakly/noise/rank_issues.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace cleanlab_case {

namespace {

weakly::prior_method method_named(const std::string& name) {
  static const std::map<std::string, weakly::prior_method> methods{
      {"cnt", weakly::prior_method::counts},
      {"eqn", weakly::prior_method::equation},
      {"marginal", weakly::prior_method::marginal},
      {"marginal_ps", weakly::prior_method::marginal_of_labels}};
  return methods.at(name);
}

/// A case with what every check needs: its input in the element type T, and weakly's joint of it.
template <class T>
struct typed {
  const golden::single_label& expected;
  std::vector<T> prob;
  weakly::confident_joint_result joint;
  weakly::matrix<std::int64_t> calibrated;

  explicit typed(const golden::single_label& c)
      : expected(c),
        prob(golden::stored_as<T>(c.pred_probs)),
        joint(weakly::confident_joint(c.labels, view(), {.compat = compat})),
        calibrated(weakly::calibrate_joint(joint.counts, joint.label_counts, {.compat = compat})) {}

  weakly::matrix_view<const T> view() const { return weakly::view(prob.data(), expected.n, expected.k); }

  std::vector<double> scores(const std::string& name) const {
    const std::string prefix = "adjusted_";
    const bool adjusted = name.starts_with(prefix);
    std::vector<double> out(expected.labels.size());
    weakly::label_quality(weakly::seq, expected.labels, view(),
                          adjusted ? std::span<const double>(joint.thresholds) : std::span<const double>(), out,
                          {.score = score_named(adjusted ? name.substr(prefix.size()) : name), .compat = compat});
    return out;
  }

  /// The calibrated confusion of label and most probable class.
  weakly::matrix<std::int64_t> argmax_joint() const {
    weakly::matrix<std::int64_t> counts(expected.k, expected.k);
    for (std::int64_t i = 0; i < expected.n; ++i) {
      std::int64_t best = 0;
      for (std::int64_t j = 1; j < expected.k; ++j)
        if (double(view()(i, j)) > double(view()(i, best))) best = j;
      ++counts(expected.labels[static_cast<std::size_t>(i)], best);
    }
    return weakly::calibrate_joint(counts, joint.label_counts, {.compat = compat});
  }

  std::vector<weakly::index_t> issues(const golden::filter_result& f) const {
    const weakly::label_issue_options options{.filter_by = filter_named(f.filter_by),
                                              .frac_noise = f.frac_noise,
                                              .min_examples_per_class = f.min_examples_per_class,
                                              .compat = compat};
    std::span<const std::int64_t> to_remove;
    if (f.num_to_remove_per_class) to_remove = *f.num_to_remove_per_class;
    if (f.joint.empty()) return weakly::find_label_issues(expected.labels, view(), options, to_remove).rows;
    weakly::label_issue_estimator estimator(joint, f.joint == "raw" ? joint.counts : argmax_joint(), options,
                                            to_remove);
    estimator.add(0, expected.labels, view());
    return estimator.finish();
  }
};

template <class T>
void check_joint(const typed<T>& s, golden::comparison& c) {
  const auto& e = s.expected;
  c.close("thresholds", s.joint.thresholds, e.thresholds, 1e-12);
  c.exact("confident joint, raw", s.joint.counts.elements(), e.confident_joint_raw);
  c.exact("confident joint, calibrated", s.calibrated.elements(), e.confident_joint);
  c.close("joint", weakly::joint_distribution(s.calibrated).elements(), e.joint, 1e-15);

  std::vector<std::int64_t> guess(e.labels.size());
  weakly::confident_guess(s.view(), s.joint.thresholds, guess, {.compat = compat});
  golden::integers off_diagonal;
  for (std::size_t i = 0; i < guess.size(); ++i)
    if (guess[i] >= 0 && guess[i] != e.labels[i]) off_diagonal.push_back(static_cast<std::int64_t>(i));
  c.exact("off-diagonal rows", off_diagonal, e.off_diagonal);

  for (const auto& custom : e.custom) {
    weakly::confident_joint_estimator estimator(custom.thresholds, {.compat = compat});
    estimator.add(e.labels, s.view());
    const weakly::matrix<std::int64_t> counts = estimator.finish();
    c.exact("confident joint of given thresholds", counts.elements(), custom.confident_joint_raw);
    c.exact("the same, calibrated",
            weakly::calibrate_joint(counts, estimator.label_counts(), {.compat = compat}).elements(),
            custom.confident_joint);
  }
}

template <class T>
void check_latent(const typed<T>& s, golden::comparison& c) {
  const auto compare = [&](const std::string& key, const golden::latent& expected, const auto& joint) {
    const std::string suffix = "_converged";
    const bool converge = key.ends_with(suffix);
    const std::string method = converge ? key.substr(0, key.size() - suffix.size()) : key;
    const weakly::noise_estimate got = weakly::noise_matrices(
        joint, s.joint.label_counts, {.method = method_named(method), .converge = converge, .compat = compat});
    c.close("prior, " + key, got.prior, expected.prior, 1e-9);
    if (expected.noise_matrix.empty()) return;
    c.close("noise matrix, " + key, got.noise_matrix.elements(), expected.noise_matrix, 1e-9);
    c.close("inverse noise matrix, " + key, got.inverse_noise_matrix.elements(), expected.inverse_noise_matrix, 1e-9);
  };
  for (const auto& [key, expected] : s.expected.latents) compare(key, expected, s.calibrated);
  for (const auto& [key, expected] : s.expected.latents_from_raw) compare(key, expected, s.joint.counts);
}

template <class T>
void check_issues(const typed<T>& s, golden::comparison& c) {
  for (const auto& f : s.expected.filters)
    if (f.issues) c.exact(described(f), s.issues(f), *f.issues);
  c.exact("off-diagonal issues", s.joint.off_diagonal_issues, s.expected.num_issues.at("off_diagonal"));
  c.exact("calibrated issues", weakly::calibrated_issues(s.calibrated, s.joint.label_counts, compat),
          s.expected.num_issues.at("off_diagonal_calibrated"));
  // Handed its own raw joint, cleanlab calibrates it as it did when it counted it, and takes what is off the diagonal.
  const double trace = weakly::dataset_health(s.joint, s.calibrated, compat).joint_health;
  c.exact("calibrated issues of the raw joint", std::llrint((1 - trace) * static_cast<double>(s.expected.n)),
          s.expected.num_issues.at("off_diagonal_custom_from_raw"));
}

template <class T>
void check_scores(const typed<T>& s, golden::comparison& c, double entropy_tolerance) {
  std::map<std::string, std::vector<double>> computed;
  for (const std::string name : {"self_confidence", "normalized_margin", "confidence_weighted_entropy",
                                 "adjusted_self_confidence", "adjusted_normalized_margin"})
    computed[name] = s.scores(name);
  for (const auto& [name, expected] : s.expected.scores)
    if (expected) c.close(name, computed.at(name), *expected, name.ends_with("entropy") ? entropy_tolerance : 1e-12);

  for (const auto& ranking : s.expected.rankings) {
    if (!ranking.issues) continue;
    std::vector<weakly::index_t> rows(s.expected.labels.size());
    std::iota(rows.begin(), rows.end(), weakly::index_t{0});
    if (ranking.filter_by != "all") {
      golden::filter_result plain;
      plain.filter_by = ranking.filter_by;
      rows = s.issues(plain);
    }
    weakly::rank_issues(computed.at(ranking.score), rows);
    c.exact(ranking.filter_by + " ranked by " + ranking.score, rows, *ranking.issues);
  }
}

/// The tables are sorted by value; rows of equal value are in no order that means anything.
void check_overlaps(const std::vector<weakly::class_overlap>& got, const std::vector<golden::overlap>& expected,
                    golden::comparison& c) {
  std::map<std::pair<std::int64_t, std::int64_t>, weakly::class_overlap> by_pair;
  for (const auto& x : got) by_pair[{x.class_a, x.class_b}] = x;
  golden::integers examples, expected_examples, sorted;
  golden::reals probability, expected_probability;
  for (const auto& x : expected) {
    const auto& found = by_pair.at({x.a, x.b});
    examples.push_back(found.examples);
    expected_examples.push_back(x.count);
    probability.push_back(found.joint_probability);
    expected_probability.push_back(x.probability);
  }
  for (std::size_t i = 0; i < expected.size(); ++i) sorted.push_back(got[i].examples);
  c.exact("overlapping classes", examples, expected_examples);
  c.exact("overlapping classes in order", sorted, expected_examples);
  c.close("probability of overlapping classes", probability, expected_probability, 1e-12);
}

template <class T>
void check_health(const typed<T>& s, golden::comparison& c) {
  const auto& e = s.expected;
  const weakly::dataset_health_result health = weakly::dataset_health(s.joint, s.calibrated, compat);
  if (e.health) c.close("health", health.confident_health, *e.health, 1e-12);
  c.close("health by the joint", health.joint_health, e.health_from_joint, 1e-12);

  golden::reals quality_in_order;
  std::map<std::int64_t, weakly::class_quality> by_class;
  for (const auto& q : health.classes) {
    by_class[q.class_index] = q;
    quality_in_order.push_back(q.quality);
  }
  golden::integers issues, inverse_issues;
  golden::reals noise, inverse_noise;
  for (const std::int64_t a : e.quality.class_index) {
    const auto& q = by_class.at(a);
    issues.push_back(q.label_issues);
    inverse_issues.push_back(q.inverse_label_issues);
    noise.push_back(q.label_noise);
    inverse_noise.push_back(q.inverse_label_noise);
  }
  c.exact("issues by class", issues, e.quality.issues);
  c.exact("inverse issues by class", inverse_issues, e.quality.inverse_issues);
  c.close("noise by class", noise, e.quality.noise, 1e-12);
  c.close("inverse noise by class", inverse_noise, e.quality.inverse_noise, 1e-12);
  c.close("quality in order", quality_in_order, e.quality.quality, 1e-12);
  check_overlaps(health.overlaps, e.overlapping, c);
  if (!e.overlapping_asymmetric.empty())
    check_overlaps(weakly::overlapping_classes(s.calibrated, weakly::overlap_direction::given_to_true),
                   e.overlapping_asymmetric, c);
}

weakly::matrix<std::int64_t> counts_of(const nlohmann::json& j) {
  const auto k = static_cast<weakly::index_t>(j.size());
  weakly::matrix<std::int64_t> m(k, static_cast<weakly::index_t>(j.at(0).size()));
  std::ranges::copy(golden::integers_of(j), m.data());
  return m;
}

weakly::matrix<double> matrix_of(const nlohmann::json& j) {
  weakly::matrix<double> m(static_cast<weakly::index_t>(j.size()), static_cast<weakly::index_t>(j.at(0).size()));
  std::ranges::copy(golden::reals_of(j), m.data());
  return m;
}

template <class T>
class subject_in final : public subject {
 public:
  explicit subject_in(const golden::single_label& c) : typed_(c) {}

  const weakly::confident_joint_result& joint() const override { return typed_.joint; }
  std::vector<weakly::index_t> issues(const golden::filter_result& f) const override { return typed_.issues(f); }
  void check_joint(golden::comparison& c) const override { cleanlab_case::check_joint(typed_, c); }
  void check_latent(golden::comparison& c) const override { cleanlab_case::check_latent(typed_, c); }
  void check_issues(golden::comparison& c) const override { cleanlab_case::check_issues(typed_, c); }
  void check_scores(golden::comparison& c, double entropy_tolerance) const override {
    cleanlab_case::check_scores(typed_, c, entropy_tolerance);
  }
  void check_health(golden::comparison& c) const override { cleanlab_case::check_health(typed_, c); }

 private:
  typed<T> typed_;
};

}  // namespace

std::unique_ptr<subject> subject_of(const golden::single_label& c, const std::string& dtype) {
  std::unique_ptr<subject> out;
  golden::with_dtype(dtype, [&](auto element) { out = std::make_unique<subject_in<decltype(element)>>(c); });
  return out;
}

void check_rounding(const nlohmann::json& j, golden::comparison& c) {
  for (const auto& x : j.at("round_preserving_sum")) {
    const golden::reals input = golden::reals_of(x.at("input"));
    golden::integers rounded(input.size());
    weakly::detail::cleanlab_round(input, rounded);
    c.exact("row rounding of " + x["input"].dump(), rounded, golden::integers_of(x.at("output")));
  }
  for (const auto& x : j.value("calibrate_confident_joint", nlohmann::json::array())) {
    const auto joint = counts_of(x.at("confident_joint"));
    const golden::integers rows = golden::integers_of(x.at("label_counts"));
    for (const bool supplied : {false, true})
      c.exact("calibration of " + x["confident_joint"].dump(),
              weakly::calibrate_joint(joint, rows, {.compat = compat, .supplied = supplied}).elements(),
              golden::integers_of(x.at(supplied ? "supplied" : "computed")));
  }
  for (const auto& x : j.at("keep_at_least_n")) {
    const auto transposed = counts_of(x.at("matrix"));
    const weakly::index_t k = transposed.rows();
    weakly::matrix<std::int64_t> joint(k, k), back(k, k);
    for (weakly::index_t a = 0; a < k; ++a)
      for (weakly::index_t b = 0; b < k; ++b) joint(a, b) = transposed(b, a);
    const auto pruned = weakly::prune_counts(joint, golden::integers(static_cast<std::size_t>(k)), {},
                                             {.frac_noise = x.at("frac_noise").get<double>(),
                                              .min_examples_per_class = x.at("n").get<weakly::index_t>(),
                                              .compat = compat});
    for (weakly::index_t a = 0; a < k; ++a)
      for (weakly::index_t b = 0; b < k; ++b) back(a, b) = pruned(b, a);
    c.exact("prune counts of " + x.dump(), back.elements(), golden::integers_of(x.at("output")));
  }
}

void check_noise_algebra(const nlohmann::json& j, golden::comparison& c) {
  auto rates = matrix_of(j.at("clip_noise_rates").at("input"));
  weakly::detail::clip_rates(rates, compat);
  c.close("clipped rates", rates.elements(), golden::reals_of(j.at("clip_noise_rates").at("output")), 1e-12);

  const auto& removed = j.at("remove_noise_from_class");
  c.close("noise removed from a class",
          weakly::remove_noise_from_class(matrix_of(removed.at("input")), removed.at("cls").get<weakly::index_t>())
              .elements(),
          golden::reals_of(removed.at("output")), 1e-12);

  const auto& known = j.at("py_inv_from_noise_matrix");
  const auto noise = matrix_of(known.at("noise_matrix"));
  const golden::reals ps = golden::reals_of(known.at("ps"));
  const std::vector<double> py = weakly::prior_from_noise_matrix(noise, ps, compat);
  const auto inverse = weakly::inverse_noise_matrix(noise, py, ps, compat);
  c.close("prior from the noise matrix", py, golden::reals_of(known.at("py")), 1e-12);
  c.close("inverse noise matrix", inverse.elements(), golden::reals_of(known.at("inverse_noise_matrix")), 1e-12);
  c.close("noise matrix from its inverse", weakly::noise_matrix_from_inverse(inverse, ps, py, compat).elements(),
          golden::reals_of(j.at("noise_matrix_from_inverse")), 1e-12);

  auto prob = matrix_of(j.at("compute_pyx").at("pred_probs"));
  weakly::true_label_probability(weakly::seq, prob, noise, inverse, prob);
  c.close("probability of the true label", prob.elements(), golden::reals_of(j.at("compute_pyx").at("output")), 1e-12);
}

}  // namespace cleanlab_case
