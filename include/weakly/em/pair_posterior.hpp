// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/bags.hpp>
#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/em/detail/exponent_row.hpp>
#include <weakly/em/detail/impossible_row.hpp>
#include <weakly/em/detail/leave_one_out.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>

namespace weakly::inline v0 {

/// What is known of the classes (c, d) of the two items of each pair: weights R(c, d) >= 0, P(what was observed | c, d)
/// up to a factor. Holds views, which must outlive it.
class pair_relation {
 public:
  /// Both are of one class: R = I.
  static pair_relation similar() { return pair_relation(form::similar); }
  /// They are of two classes: R = 1 - I.
  static pair_relation dissimilar() { return pair_relation(form::dissimilar); }
  /// The class number of the first is not below that of the second: R(c, d) = [c >= d].
  static pair_relation first_at_least() { return pair_relation(form::ordered); }
  /// They are similar with probability s(i): R = s I + (1 - s) (1 - I). 0 and 1 are dissimilar and similar.
  template <real_vector Confidence>
  static pair_relation similarity_confidence(const Confidence& s) {
    return pair_relation(form::confidence, s, 0);
  }
  /// Two classes; difference(i) in [-1, 1] is P(second is 1) - P(first is 1) by somebody's judgement, of which the sign
  /// is used: where it is positive the first is not 1 with the second 0, where it is negative not the other way round.
  template <real_vector Difference>
  static pair_relation confidence_difference(const Difference& difference) {
    return pair_relation(form::difference, difference, -1);
  }
  /// R itself, k x k. Throws value_error for weights that are negative, infinite or NaN. O(k^2).
  template <real_matrix Weights>
  static pair_relation weights(const Weights& r) {
    pair_relation made(form::weights);
    made.weight_ = detail::row_source<double>(view(r));
    made.size_ = view(r).extent(0);
    detail::require_extent("pair_relation: weights", view(r), 1, made.size_);
    for (index_t c = 0; c < made.size_; ++c)
      for (index_t d = 0; d < made.size_; ++d)
        if (const double w = made.weight_.at(c, d); !(w >= 0 && w < std::numeric_limits<double>::infinity()))
          detail::fail<value_error>("pair_relation: weight ", w, " of classes ", c, " and ", d,
                                    "; weights are finite, zero or more");
    return made;
  }

  /// Throws shape_error unless this is about n pairs of k classes.
  void require_pairs(const char* function, index_t n, index_t k) const {
    if ((form_ == form::confidence || form_ == form::difference) && size_ != n)
      detail::fail<shape_error>(function, ": ", size_, " confidences for ", n, " pairs; give one for each");
    if (form_ == form::weights && size_ != k)
      detail::fail<shape_error>(function, ": weights of ", size_, " classes for scores of ", k);
    if (form_ == form::difference && k != 2)
      detail::fail<shape_error>(function, ": confidence differences are of two classes, scores have ", k);
  }

  /// to_first(c) = log of the sum over d of R(c, d) exp(second(d)), to_second(d) the same over c, for pair i.
  void messages(index_t i, const double* first, const double* second, index_t k, double* to_first,
                double* to_second) const {
    switch (form_) {
      case form::similar:
        std::copy_n(second, k, to_first);
        std::copy_n(first, k, to_second);
        return;
      case form::dissimilar:
        detail::log_leave_one_out(second, k, to_first);
        detail::log_leave_one_out(first, k, to_second);
        return;
      case form::ordered: {
        double sum = -std::numeric_limits<double>::infinity();
        for (index_t c = 0; c < k; ++c) to_first[c] = sum = math::log_add_exp(sum, second[c]);
        sum = -std::numeric_limits<double>::infinity();
        for (index_t d = k; d-- > 0;) to_second[d] = sum = math::log_add_exp(sum, first[d]);
        return;
      }
      case form::confidence: {
        const double s = value_.at(i, 0);
        mix(std::log(s), std::log1p(-s), first, second, k, to_first, to_second);
        return;
      }
      case form::difference: {
        const double by = value_.at(i, 0);
        const double both_first = math::log_add_exp(first[0], first[1]),
                     both_second = math::log_add_exp(second[0], second[1]);
        to_first[0] = by < 0 ? second[0] : both_second;
        to_first[1] = by > 0 ? second[1] : both_second;
        to_second[0] = by > 0 ? first[0] : both_first;
        to_second[1] = by < 0 ? first[1] : both_first;
        return;
      }
      case form::weights:
        for (index_t c = 0; c < k; ++c) {
          to_first[c] = sum_of(second, k, [&](index_t d) { return weight_.at(c, d); });
          to_second[c] = sum_of(first, k, [&](index_t d) { return weight_.at(d, c); });
        }
        return;
    }
  }

  /// As messages, of 1 - R: what has to be added to probability one. False where weights leave that open.
  bool complement_messages(index_t i, const double* first, const double* second, index_t k, double* to_first,
                           double* to_second) const {
    constexpr double nothing = -std::numeric_limits<double>::infinity();
    switch (form_) {
      case form::similar:
        dissimilar().messages(i, first, second, k, to_first, to_second);
        return true;
      case form::dissimilar:
        similar().messages(i, first, second, k, to_first, to_second);
        return true;
      case form::ordered: {
        double sum = nothing;
        for (index_t c = k; c-- > 0; sum = math::log_add_exp(sum, second[c])) to_first[c] = sum;
        sum = nothing;
        for (index_t d = 0; d < k; sum = math::log_add_exp(sum, first[d]), ++d) to_second[d] = sum;
        return true;
      }
      case form::confidence: {
        const double s = value_.at(i, 0);
        mix(std::log1p(-s), std::log(s), first, second, k, to_first, to_second);
        return true;
      }
      case form::difference: {
        const double by = value_.at(i, 0);
        to_first[0] = by < 0 ? second[1] : nothing;
        to_first[1] = by > 0 ? second[0] : nothing;
        to_second[0] = by > 0 ? first[1] : nothing;
        to_second[1] = by < 0 ? first[0] : nothing;
        return true;
      }
      case form::weights:
        return false;
    }
    return false;
  }

 private:
  enum class form : std::uint8_t { similar, dissimilar, ordered, confidence, difference, weights };

  explicit pair_relation(form f) : form_(f) {}
  template <class Values>
  pair_relation(form f, const Values& values, double least)
      : form_(f), value_(detail::as_column(view(values))), size_(view(values).extent(0)) {
    for (index_t i = 0; i < size_; ++i)
      if (const double x = value_.at(i, 0); !(x >= least && x <= 1))
        detail::fail<value_error>("pair_relation: confidence ", x, " of pair ", i, " is outside [", least, ", 1]");
  }

  // Relative to the greatest score whose weight is not zero: another may be greater by any amount.
  template <class Weight>
  static double sum_of(const double* x, index_t k, const Weight& weight) {
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    for (index_t j = 0; j < k; ++j)
      if (weight(j) > 0) top = std::max(top, x[j]);
    if (top == -std::numeric_limits<double>::infinity()) return top;
    for (index_t j = 0; j < k; ++j)
      if (const double w = weight(j); w > 0) sum += w * std::exp(x[j] - top);
    if (sum < std::numeric_limits<double>::infinity()) return top + std::log(sum);
    sum = 0;
    for (index_t j = 0; j < k; ++j)
      if (const double w = weight(j); w > 0) sum += 0x1p-64 * w * std::exp(x[j] - top);
    return top + (std::log(sum) + 64 * std::numbers::ln2);
  }

  // R = same I + other (1 - I), in logarithms.
  static void mix(double log_same, double log_other, const double* first, const double* second, index_t k,
                  double* to_first, double* to_second) {
    detail::log_leave_one_out(second, k, to_first);
    detail::log_leave_one_out(first, k, to_second);
    for (index_t c = 0; c < k; ++c) {
      to_first[c] = math::log_add_exp(log_same + second[c], log_other + to_first[c]);
      to_second[c] = math::log_add_exp(log_same + first[c], log_other + to_second[c]);
    }
  }

  form form_;
  detail::row_source<double> value_, weight_;
  index_t size_ = 0;
};

struct pair_posterior_options {
  impossible_row impossible = impossible_row::refuse;
};

/// Bytes of workspace for k classes, `at_once` tasks at a time.
constexpr std::size_t pair_posterior_scratch(index_t k, index_t at_once = 1) {
  return static_cast<std::size_t>(at_once) * 8 * scratch_bytes<double>(k) + 64;
}

namespace detail {

inline void require_classes(const char* function, index_t n, index_t k) {
  if (n > 0 && k == 0)
    fail<shape_error>(function, ": first and second have ", n, " rows of 0 classes; there must be at least one");
}

/// The two rows of a pair, less their greatest element, and what becomes of them.
class pair_rows {
 public:
  struct item {
    double *z, *p, *q, *message;
    double log_norm;
  };
  item first, second;

  pair_rows(workspace& scratch, const char* what, index_t k) : k_(k) {
    for (item* const x : {&first, &second})
      for (double** const array : {&x->z, &x->p, &x->q, &x->message}) *array = scratch.take<double>(what, k).data();
  }

  /// False for rows that are no distribution: NaN, +inf, or -inf alone.
  bool read(const row_source<double>& from, index_t i, item& to) const {
    const double* const x = from.part(i, 0, k_, to.z);
    if (x != to.z) std::copy_n(x, k_, to.z);
    exponent_row row;
    row.look_at(0, to.z, k_);
    if (!row.defined()) return false;
    map_batches(static_cast<const double*>(to.z), k_, to.z, [top = row.top](batch v) { return v - batch(top); });
    to.log_norm = std::log(softmax(to.z, 0, to.p));
    return true;
  }

  /// Posteriors from the messages, into q or another array; returns log of the sum over c and d of R exp(z(c) + z(d)),
  /// -inf where that is zero.
  double solve(double* item::*to = &item::q) const {
    constexpr double nothing = -std::numeric_limits<double>::infinity();
    double all = nothing;
    for (const item* const x : {&second, &first}) {
      batch greatest = nothing;
      for_batches<double>(k_, [&](auto at) {
        const batch both = at.load(x->message, nothing) + at.load(x->z);
        at.store(x->message, both);
        greatest = simd::max(both, greatest);
      });
      const double top = simd::reduce_max(greatest);
      const double sum = softmax(x->message, top, x->*to);  // NaN where all is zero
      all = top == nothing ? nothing : top + std::log(sum);
    }
    return all;
  }

 private:
  using batch = simd::batch<double>;

  // p = exp(x - top) over its sum, which is returned.
  double softmax(const double* x, double top, double* p) const {
    map_batches(x, k_, p, [top](batch v) { return simd::exp(v - batch(top)); });
    const double sum = simd::sum(static_cast<const double*>(p), k_);
    map_batches(static_cast<const double*>(p), k_, p, [sum](batch e) { return e / batch(sum); });
    return sum;
  }

  index_t k_;
};

}  // namespace detail

/// Posteriors over the classes of both items of pairs of which a relation is known.
///
///     p1 = softmax(first(i)),   p2 = softmax(second(i)),   Z = sum over c and d of p1(c) R(c, d) p2(d)
///     q1(c) = p1(c) sum over d of R(c, d) p2(d) / Z,   q2(d) = p2(d) sum over c of R(c, d) p1(c) / Z
///     loss(i) = -log Z,   grad1 = d loss / d first = p1 - q1,   grad2 = p2 - q2
///
/// first, second          n x k  logits of the two items; -inf means probability zero
/// relation                      similar, dissimilar, first_at_least, similarity_confidence, confidence_difference or
///                               any weights
/// scratch                       pair_posterior_scratch(k, tasks at once) bytes
/// posterior1, posterior2 n x k  or discard
/// loss                   n      or discard; may be negative where weights exceed one
/// grad1, grad2           n x k  or discard; outputs of an item may be the storage of its own logits
///
/// In logarithms: right for any gap between logits. Loss and gradient of what is nearly certain have all their digits,
/// 1e-22 and less, but for weights, whose error is a rounding of one. A NaN, +inf or a row of -inf makes its pair NaN;
/// an impossible pair is NaN with loss inf. Throws shape_error, workspace_error and, after all other pairs are done,
/// value_error for impossible ones unless kept. O(n k), O(n k^2) for weights, in double; allocates nothing. Same bits
/// for every executor and layout. Sources: Bao, Niu, Sugiyama, ICML 2018 (similar); Feng et al., ICML 2021
/// (comparison); Cao et al., ICML 2021 (similarity confidence); Wang et al., NeurIPS 2023 (confidence difference); Chen
/// et al., arXiv 2402.01922.
template <executor Exec, real_matrix First, real_matrix Second, real_output Posterior1, real_output Posterior2,
          real_output Loss, real_output Grad1, real_output Grad2>
void pair_posterior(Exec&& ex, const First& first, const Second& second, const pair_relation& relation,
                    workspace& scratch, Posterior1&& posterior1, Posterior2&& posterior2, Loss&& loss, Grad1&& grad1,
                    Grad2&& grad2, const pair_posterior_options& options = {}) {
  constexpr const char *name = "pair_posterior", *array = "pair_posterior: scratch";
  const index_t n = view(first).extent(0), k = view(first).extent(1);
  detail::require_classes(name, n, k);
  if (view(second).extent(0) != n || view(second).extent(1) != k)
    detail::fail<shape_error>(name, ": first has ", n, " rows of ", k, ", second ", view(second).extent(0), " rows of ",
                              view(second).extent(1));
  relation.require_pairs(name, n, k);
  const detail::row_source<double> from1(view(first)), from2(view(second));
  const auto q1 = detail::gradient_sink<double>(name, posterior1, n, k, "posterior1");
  const auto q2 = detail::gradient_sink<double>(name, posterior2, n, k, "posterior2");
  const auto g1 = detail::gradient_sink<double>(name, grad1, n, k, "grad1");
  const auto g2 = detail::gradient_sink<double>(name, grad2, n, k, "grad2");
  const auto loss_to = detail::value_sink<double>(name, "loss", loss, n);
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double nearly_certain = 0x1p-4;  // a loss below it comes from 1 - Z: p - q = (1 - Z) (q of 1 - R, less q)

  detail::shared_status impossible;
  const row_chunks chunks(n, 2 * k);
  detail::for_tasks(
      ex, chunks.count(), 8 * scratch_bytes<double>(k), scratch, array,
      [&](workspace& own) { return detail::pair_rows(own, array, k); },
      [&](detail::pair_rows& pair, index_t chunk) {
        for (index_t i = chunks.begin(chunk); i < chunks.end(chunk); ++i) {
          double value = nan;
          bool differences = false;  // p holds p - q
          const bool first_good = pair.read(from1, i, pair.first), second_good = pair.read(from2, i, pair.second);
          if (first_good && second_good) {
            relation.messages(i, pair.first.z, pair.second.z, k, pair.first.message, pair.second.message);
            const double mass = pair.solve();
            value = pair.first.log_norm + pair.second.log_norm - mass;
            if (value < nearly_certain && relation.complement_messages(i, pair.first.z, pair.second.z, k,
                                                                       pair.first.message, pair.second.message)) {
              const double by = pair.solve(&detail::pair_rows::item::p) - mass, against = math::sigmoid(by);
              value = math::softplus(by);
              for (const auto* const x : {&pair.first, &pair.second})
                for (index_t c = 0; c < k; ++c) x->p[c] = against > 0 ? against * (x->p[c] - x->q[c]) : 0;
              differences = true;
            }
          } else {
            for (const auto* const x : {&pair.first, &pair.second}) std::fill_n(x->q, k, nan);
          }
          if (value == std::numeric_limits<double>::infinity()) impossible.merge({i, 1});
          if (!loss_to.empty()) loss_to.put_rows(i, 1, &value);
          const auto put = [&](const auto& x, const auto& posterior_to, const auto& grad_to) {
            if (!posterior_to.empty()) posterior_to.put_rows(i, 1, x.q);
            for (index_t c = 0; c < k && !differences; ++c) x.p[c] -= x.q[c];
            if (!grad_to.empty()) grad_to.put_rows(i, 1, x.p);
          };
          put(pair.first, q1, g1);
          put(pair.second, q2, g2);
        }
      });
  detail::require_possible(name, "pair", impossible.load(), options.impossible);
}
template <real_matrix First, real_matrix Second, real_output Posterior1, real_output Posterior2, real_output Loss,
          real_output Grad1, real_output Grad2>
void pair_posterior(const First& first, const Second& second, const pair_relation& relation, workspace& scratch,
                    Posterior1&& posterior1, Posterior2&& posterior2, Loss&& loss, Grad1&& grad1, Grad2&& grad2,
                    const pair_posterior_options& options = {}) {
  pair_posterior(seq, first, second, relation, scratch, posterior1, posterior2, loss, grad1, grad2, options);
}

}  // namespace weakly::inline v0
