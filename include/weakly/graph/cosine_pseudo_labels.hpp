// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/core/workspace.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace weakly::inline v0 {

struct cosine_pseudo_labels_options {
  double prior_weight = 0.6;  ///< b, in [0, 1]: share of the prior where one is given
  bool absolute = true;       ///< |cos|, ERASE's: an embedding opposite to its prototype is as near as one along it
  bool softmax = true;        ///< without, the combination itself, and no temperature
  double temperature = 1;     ///< positive: less is nearer to the greatest alone
};

/// Bytes of workspace for k prototypes of d elements.
constexpr std::size_t cosine_pseudo_labels_scratch(index_t k, index_t d) { return scratch_bytes<double>(k * d); }

namespace detail {

class cosine_rows {
 public:
  static constexpr index_t block = 512;

  row_source<double> embeddings, prior;
  const double* unit = nullptr;  // k x d, prototypes of length one or zero
  index_t k = 0, d = 0;
  double prior_weight = 0;
  bool absolute = true;

  /// Whether every element is a number; then `scale` is a power of two that keeps squares of its elements in range, and
  /// `length` the length of the row in that scale.
  bool measure(const row_source<double>& x, index_t i, double& scale, double& length) const {
    double buffer[std::size_t(block)], top = 0;
    bool number = true;
    for_parts(d, [&](index_t j, index_t count) {
      const double* const part = x.part(i, j, count, buffer);
      for (index_t e = 0; e < count; ++e) {
        number &= std::abs(part[e]) <= std::numeric_limits<double>::max();
        top = std::max(top, std::abs(part[e]));
      }
    });
    scale = top == 0 || (top > 1e-100 && top < 1e100) ? 1 : std::ldexp(1.0, std::clamp(-std::ilogb(top), -1020, 1020));
    double squares = 0;
    for_parts(number ? d : 0, [&](index_t j, index_t count) {
      const double* const part = scaled(x.part(i, j, count, buffer), scale, count, buffer);
      squares += dot(part, part, count);
    });
    length = std::sqrt(squares);
    return number;
  }

  /// value[c] = b prior(i, first + c) + (1 - b) cos(i, first + c)
  void combine(index_t i, double scale, double length, index_t first, index_t count, double* value) const {
    double buffer[std::size_t(block)];
    std::fill_n(value, count, 0.0);
    for_parts(length > 0 ? d : 0, [&](index_t j, index_t elements) {
      const double* const part = scaled(embeddings.part(i, j, elements, buffer), scale, elements, buffer);
      for (index_t c = 0; c < count; ++c) value[c] += dot(part, unit + (first + c) * d + j, elements);
    });
    const double* const before = prior.empty() ? nullptr : prior.part(i, first, count, buffer);
    for (index_t c = 0; c < count; ++c) {
      const double cosine = length == 0 ? 0 : value[c] / length;  // NaN where the length is
      value[c] = absolute ? std::abs(cosine) : cosine;
      if (before != nullptr) value[c] = prior_weight * before[c] + (1 - prior_weight) * value[c];
    }
  }

  /// Whether every element of the prior is a number.
  bool prior_is_finite(index_t i) const {
    double buffer[std::size_t(block)];
    bool finite = true;
    for_parts(prior.empty() ? 0 : k, [&](index_t c, index_t count) {
      const double* const part = prior.part(i, c, count, buffer);
      for (index_t e = 0; e < count; ++e) finite &= std::abs(part[e]) <= std::numeric_limits<double>::max();
    });
    return finite;
  }

  template <class F>
  static void for_parts(index_t length, F f) {
    for (index_t j = 0; j < length; j += block) f(j, std::min(block, length - j));
  }

 private:
  static const double* scaled(const double* x, double scale, index_t count, double* to) {
    if (scale == 1) return x;
    for (index_t e = 0; e < count; ++e) to[e] = x[e] * scale;
    return to;
  }
  static double dot(const double* a, const double* b, index_t count) {
    using batch = simd::batch<double>;
    batch sum[2] = {0.0, 0.0};
    index_t e = 0;
    for (; e + 2 * batch::size <= count; e += 2 * batch::size) {
      sum[0] = simd::fma(simd::load(a + e), simd::load(b + e), sum[0]);
      sum[1] = simd::fma(simd::load(a + e + batch::size), simd::load(b + e + batch::size), sum[1]);
    }
    for (; e < count; e += batch::size) {
      const index_t left = std::min(batch::size, count - e);
      sum[0] = simd::fma(simd::load_partial(a + e, left), simd::load_partial(b + e, left), sum[0]);
    }
    return simd::reduce_add(sum[0] + sum[1]);
  }
};

template <class Out>
void put_pseudo_labels(const cosine_rows& rows, index_t i, double scale, double length, bool softmax,
                       double temperature, const Out& out) {
  double value[std::size_t(cosine_rows::block)];
  const index_t k = rows.k;
  const bool once = k <= cosine_rows::block;
  double top = -std::numeric_limits<double>::infinity(), sum = 0;
  const auto read = [&](index_t c, index_t count) { rows.combine(i, scale, length, c, count, value); };
  if (softmax)
    cosine_rows::for_parts(k, [&](index_t c, index_t count) {
      read(c, count);
      top = std::max(top, simd::max(static_cast<const double*>(value), count));
    });
  const auto exps = [&](index_t count) {
    map_batches(static_cast<const double*>(value), count, static_cast<double*>(value),
                [top, temperature](simd::batch<double> v) {
                  return simd::exp((v - simd::batch<double>(top)) / simd::batch<double>(temperature));
                });
  };
  if (softmax)
    cosine_rows::for_parts(k, [&](index_t c, index_t count) {
      if (!once) read(c, count);
      exps(count);
      sum += simd::sum(static_cast<const double*>(value), count);
    });
  cosine_rows::for_parts(k, [&](index_t c, index_t count) {
    if (!once || !softmax) read(c, count);
    if (softmax && !once) exps(count);
    if (softmax)
      for (index_t e = 0; e < count; ++e) value[e] /= sum;
    out.put_part(i, c, count, value);
  });
}

template <class Prior>
status cosine_pseudo_labels_of(auto& ex, const auto& embeddings, const auto& prototypes, const Prior* prior,
                               workspace& scratch, auto& out, const cosine_pseudo_labels_options& options) {
  constexpr const char* name = "cosine_pseudo_labels";
  const auto z = view(embeddings);
  const auto mu = view(prototypes);
  const auto to = view(out);
  const index_t n = z.extent(0), d = z.extent(1), k = mu.extent(0);
  require_extent("cosine_pseudo_labels: prototypes", mu, 1, d);
  require_extent("cosine_pseudo_labels: out", to, 0, n);
  require_extent("cosine_pseudo_labels: out", to, 1, k);
  if (!(options.prior_weight >= 0 && options.prior_weight <= 1))
    fail<option_error>(name, ": prior_weight is ", options.prior_weight, "; it must lie in [0, 1]");
  if (!(options.temperature > 0 && options.temperature <= std::numeric_limits<double>::max()))
    fail<option_error>(name, ": temperature is ", options.temperature, "; it must be positive and finite");
  cosine_rows rows;
  rows.embeddings = row_source<double>(z);
  rows.k = k;
  rows.d = d;
  rows.absolute = options.absolute;
  rows.prior_weight = options.prior_weight;
  if constexpr (!std::is_same_v<Prior, void>) {
    require_same_shape("cosine_pseudo_labels: prior and out", view(*prior), to);
    rows.prior = row_source<double>(view(*prior));
  }
  double* const unit = scratch.take<double>("cosine_pseudo_labels: prototypes", k * d).data();
  rows.unit = unit;
  const row_source<double> raw(mu);
  for (index_t c = 0; c < k; ++c) {
    double scale = 1, length = 0;
    if (!rows.measure(raw, c, scale, length))
      fail<value_error>(name, ": the prototype of class ", c, " is not finite; look at the embeddings of its rows");
    double buffer[std::size_t(cosine_rows::block)];
    cosine_rows::for_parts(d, [&](index_t j, index_t count) {
      const double* const x = raw.part(c, j, count, buffer);
      for (index_t e = 0; e < count; ++e) unit[c * d + j + e] = length > 0 ? x[e] * scale / length : 0;
    });
  }
  const row_sink<double> sink(to);
  shared_status bad;
  for_row_chunks(ex, n, std::max<index_t>(k, 1) * std::max<index_t>(d / 8, 1), [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      double scale = 1, length = 0;
      if (!rows.measure(rows.embeddings, i, scale, length) || !rows.prior_is_finite(i)) {
        bad.merge({i, 1});
        length = std::numeric_limits<double>::quiet_NaN();
      }
      put_pseudo_labels(rows, i, scale, length, options.softmax, options.temperature, sink);
    }
  });
  return bad.load();
}

}  // namespace detail

/// Labels by the nearest prototype, in direction, and by what was believed before.
///
///     v(i, c) = b prior(i, c) + (1 - b) |cos(embeddings(i), prototypes(c))|
///     out(i)  = softmax(v(i) / temperature)
///
/// embeddings  n x d   prototypes  k x d  class_means
/// prior       n x k   such as labels propagated once before training; left out, v is the cosine alone
/// scratch             cosine_pseudo_labels_scratch(k, d) bytes
/// out         n x k   may be the storage of `prior`
///
/// A row or prototype of length zero has the cosine zero. An embedding or prior that holds NaN or an infinity makes its
/// row NaN; returned are the first such row and their number. Throws shape_error; option_error; value_error for a
/// prototype that is not finite; workspace_error. O(n k d), in double whatever the
/// types, lengths of any magnitude; allocates nothing. Same bits for every executor and layout. Source: ERASE,
/// CIKM 2024, arXiv 2312.08852.
template <executor Exec, real_matrix Embeddings, real_matrix Prototypes, real_matrix Prior, writable_matrix Out>
  requires real_matrix<Out> status cosine_pseudo_labels(Exec&& ex, const Embeddings& embeddings,
                                                        const Prototypes& prototypes, const Prior& prior,
                                                        workspace& scratch, Out&& out,
                                                        const cosine_pseudo_labels_options& options = {}) {
    return detail::cosine_pseudo_labels_of(ex, embeddings, prototypes, &prior, scratch, out, options);
  }
template <executor Exec, real_matrix Embeddings, real_matrix Prototypes, writable_matrix Out>
  requires real_matrix<Out> status cosine_pseudo_labels(Exec&& ex, const Embeddings& embeddings,
                                                        const Prototypes& prototypes, workspace& scratch, Out&& out,
                                                        const cosine_pseudo_labels_options& options = {}) {
    return detail::cosine_pseudo_labels_of<void>(ex, embeddings, prototypes, nullptr, scratch, out, options);
  }
template <real_matrix Embeddings, real_matrix Prototypes, real_matrix Prior, writable_matrix Out>
  requires real_matrix<Out> status cosine_pseudo_labels(const Embeddings& embeddings, const Prototypes& prototypes,
                                                        const Prior& prior, workspace& scratch, Out&& out,
                                                        const cosine_pseudo_labels_options& options = {}) {
    return cosine_pseudo_labels(seq, embeddings, prototypes, prior, scratch, out, options);
  }
template <real_matrix Embeddings, real_matrix Prototypes, writable_matrix Out>
  requires real_matrix<Out> status cosine_pseudo_labels(const Embeddings& embeddings, const Prototypes& prototypes,
                                                        workspace& scratch, Out&& out,
                                                        const cosine_pseudo_labels_options& options = {}) {
    return cosine_pseudo_labels(seq, embeddings, prototypes, scratch, out, options);
  }

}  // namespace weakly::inline v0
