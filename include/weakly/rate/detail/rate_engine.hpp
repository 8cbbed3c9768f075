// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/rate/detail/aligned_array.hpp>
#include <weakly/rate/detail/cholesky.hpp>
#include <weakly/rate/detail/feature_rows.hpp>
#include <weakly/rate/detail/lane_cholesky.hpp>
#include <weakly/rate/detail/symmetric_products.hpp>
#include <weakly/rate/membership_view.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace weakly::inline v0::detail {

// The d x d side costs d^3 a class, its Gram matrix m^2 d + m^3 / 3 + 2 m^2 d: equal at m = 0.56 d, for the value alone
// at 0.53 d, and at 0.73 d where the covariance of the class is not a part of the whole that is needed anyway.
inline constexpr double gram_below_gradient = 0.56;
inline constexpr double gram_below_value = 0.53;
inline constexpr double gram_below_alone = 0.73;

// From so many classes of so few features on, the d x d factors of several classes share a register.
inline constexpr index_t lanes_from_classes = 64;
inline constexpr index_t lanes_up_to_features = 64;

// A float factor has lost half its digits at this condition number, so from here on all is done in double.
inline constexpr double float_condition = 1e4;

struct rate_request {
  std::string_view function;
  double eps_squared = 0;
  double scale = 1;        // of the matrix inside R
  double rate_factor = 1;  // the gradients are those of rate_factor R - class_factor R_c
  double class_factor = 1;
  bool slope = false;  // whether d - tr M^-1 is wanted
};

struct engine_terms {
  double rate = 0;                  // 1/2 log det M
  double trace = 0;                 // d - tr M^-1
  std::vector<double> class_rate;   // 1/2 log det M_j
  std::vector<double> class_trace;  // d - tr M_j^-1
};

/// Everything that coding_rate and rate_reduction compute, with products and factors in S.
template <class S>
class rate_engine {
 public:
  rate_request ask;
  row_source<S> x;
  index_t n = 0;
  index_t d = 0;
  const class_rows* classes = nullptr;  // none: the coding rate alone
  row_sink<S> grad;                     // n x d, or empty
  row_sink<double> dense_grad;          // n x k, or empty
  row_sink<double> entry_grad;          // one for each entry of a sparse list, or empty

  /// False where float does not suffice; then nothing was written.
  template <executor Exec>
  bool run(Exec&& ex, engine_terms& out) {
    const index_t k = classes != nullptr ? classes->k : 0;
    out.class_rate.assign(std::size_t(k), 0.0);
    out.class_trace.assign(std::size_t(k), 0.0);
    if (n == 0 || d == 0) {
      clear_memberships(true);
      return true;
    }
    pitch_ = padded_pitch(d);
    beta_ = static_cast<double>(d) / ask.eps_squared;
    if (!holds_factors()) return false;
    weighted_ = classes != nullptr && !classes->hard;
    by_row_ = weighted_ || !dense_grad.empty();
    inverts_ = ask.slope || !grad.empty() || !dense_grad.empty() || !entry_grad.empty();
    needs_inverse_ = inverts_ && (!grad.empty() || !dense_grad.empty() || !entry_grad.empty());
    global_gram_ = n < d;
    choose_sides();
    norm_.assign(std::size_t(n), 0.0);
    if (norms_first()) {
      for_row_chunks(ex, n, d, [&](index_t first, index_t last) { measure(first, last); });
      if (!suffices(ex)) return false;
    }
    accumulate(ex);
    if (!suffices(ex)) return false;
    if (k > 0)
      factor_with_classes(ex, out);
    else
      factor_global(out);
    if (by_row_ && needs_inverse_)
      write_rows(ex, out);
    else if (!grad.empty())
      write_gradient(ex);
    return true;
  }

 private:
  using tile = product_tile<S>;
  static constexpr index_t rows_a_task = 64;

  // Rows whose outer products one task adds up.
  struct part {
    index_t cls;         // -1: to the whole alone
    const index_t* row;  // nullptr: consecutive rows
    index_t first, count;
    S* sum;
  };

  void choose_sides() {
    gram_.assign(classes != nullptr ? std::size_t(classes->k) : 0, 0);
    const double below = static_cast<double>(d) * (global_gram_ || weighted_ ? gram_below_alone
                                                   : inverts_                ? gram_below_gradient
                                                                             : gram_below_value);
    for (std::size_t c = 0; c < gram_.size(); ++c) {
      const index_t m = classes->size(index_t(c));
      gram_[c] = static_cast<double>(m) < below;
      // A class of all rows takes the way of the whole, so that their difference is exactly zero.
      if (!weighted_ && m == n) gram_[c] = global_gram_;
      // The derivative in a membership needs the inverse of the d x d side for rows that are not in the class.
      if (!dense_grad.empty() && m < n) gram_[c] = 0;
      for (index_t e = classes->begin[c]; weighted_ && gram_[c] != 0 && e < classes->begin[c + 1]; ++e)
        if (!(classes->weight[std::size_t(e)] > 1e-60 * classes->mass[c])) gram_[c] = 0;
    }
  }

  // Whether what sums and products are multiplied by keeps its digits in S, whatever eps_squared and the loss's
  // factors.
  bool holds_factors() const {
    if constexpr (std::is_same_v<S, double>) return true;
    const double of_rate = ask.rate_factor * ask.scale;
    for (const double by :
         {beta_, ask.scale * beta_, of_rate, of_rate * beta_, ask.class_factor, ask.class_factor * beta_})
      if (by != 0 && !(std::abs(by) > 1e-25 && std::abs(by) < 1e25)) return false;
    return true;
  }

  bool is_empty(index_t c) const { return !(classes->mass[std::size_t(c)] > 0); }

  // Row norms are free beside the products; ahead of them they cost a pass, which spares float products that are to be
  // repeated in double.
  bool norms_first() const {
    if (global_gram_) return true;
    if constexpr (std::is_same_v<S, double>) return false;
    const index_t some = std::min<index_t>(n, 64);
    std::vector<S> buffer(static_cast<std::size_t>(d));
    double sum = 0;
    for (index_t i = 0; i < some; ++i) sum += square(x.part(i, 0, d, buffer.data()));
    return !(beta_ * sum / static_cast<double>(some) < float_condition / 4);
  }

  double square(const S* row) const {
    using batch = simd::batch<S>;
    constexpr int chains = 4;
    batch sum[std::size_t(chains)];
    simd::unroll<chains>([&](auto c) { sum[c] = batch(S(0)); });
    index_t j = 0;
    for (; j + chains * batch::size <= d; j += chains * batch::size)
      simd::unroll<chains>([&](auto c) {
        const batch v = simd::load(row + j + c * batch::size);
        sum[c] = simd::fma(v, v, sum[c]);
      });
    S rest = 0;
    for (; j < d; ++j) rest += row[j] * row[j];
    return static_cast<double>(simd::reduce_add((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest);
  }
  void measure(index_t first, index_t last) {
    std::vector<S> buffer(static_cast<std::size_t>(d));
    for (index_t i = first; i < last; ++i) norm_[std::size_t(i)] = square(x.part(i, 0, d, buffer.data()));
  }

  // Names the row of a NaN, and says whether S holds what follows: an upper bound of the condition number from traces.
  template <executor Exec>
  bool suffices(Exec& ex) const {
    double total = 0;
    for (const double s : norm_) total += s;
    if (!std::isfinite(total)) {
      require_finite_features(ask.function, ex, x, n);
      if constexpr (std::is_same_v<S, float>) return false;
      index_t i = 0;
      while (i + 1 < n && std::isfinite(norm_[std::size_t(i)])) ++i;
      fail<value_error>(ask.function, ": the squares of the features overflow at row ", i, "; scale the features down");
    }
    if constexpr (std::is_same_v<S, float>) {
      if (ask.scale * beta_ * total / static_cast<double>(n) > float_condition) return false;
      for (std::size_t c = 0; c < gram_.size(); ++c) {
        double trace = 0;
        for (index_t e = classes->begin[c]; e < classes->begin[c + 1]; ++e)
          trace += weight(e) * norm_[std::size_t(classes->row[std::size_t(e)])];
        if (trace * beta_ > float_condition * classes->mass[c]) return false;
      }
    }
    return true;
  }

  double weight(index_t e) const { return weighted_ ? classes->weight[std::size_t(e)] : 1.0; }
  // What row z of a class enters its matrix with, I + per_class(c) sum of (root z)(root z)'.
  double root(index_t c, index_t e) const {
    return weighted_ ? std::sqrt(classes->weight[std::size_t(e)] / classes->mass[std::size_t(c)]) : 1.0;
  }
  double per_class(index_t c) const { return weighted_ ? beta_ : beta_ / classes->mass[std::size_t(c)]; }

  // Sums of outer products: one slot a part, and the parts of a class or of the whole one after the other.
  template <executor Exec>
  void accumulate(Exec& ex) {
    if (!global_gram_ && !weighted_ && classes != nullptr)
      for (std::size_t c = 0; c < gram_.size(); ++c)
        if (gram_[c] != 0)
          loose_.insert(loose_.end(), classes->row.begin() + classes->begin[c],
                        classes->row.begin() + classes->begin[c + 1]);
    const index_t most = std::max<index_t>({4 * d, 256, (n + 15) / 16});
    const auto cut = [&](index_t cls, const index_t* row, index_t count) {
      const index_t pieces = (count + most - 1) / most;
      for (index_t p = 0; p < pieces; ++p) {
        const index_t first = count * p / pieces;
        parts_.push_back({cls, row, first, count * (p + 1) / pieces - first, nullptr});
      }
    };
    first_part_.assign(gram_.size() + 1, 0);
    for (std::size_t c = 0; c < gram_.size(); ++c) {
      first_part_[c] = parts_.size();
      if (gram_[c] == 0 && !is_empty(index_t(c)))
        cut(index_t(c), classes->row.data() + classes->begin[c], classes->size(index_t(c)));
    }
    first_part_.back() = parts_.size();
    if (!global_gram_) {
      if (classes == nullptr || weighted_)
        cut(-1, nullptr, n);
      else
        cut(-1, loose_.data(), index_t(loose_.size()));
    }
    const index_t size = pitch_ * pitch_;
    sums_ = aligned_array<S>(static_cast<index_t>(parts_.size()) * size);
    for (std::size_t p = 0; p < parts_.size(); ++p) parts_[p].sum = sums_.data() + static_cast<index_t>(p) * size;
    ex(static_cast<index_t>(parts_.size()), [&](index_t p) { add_up(parts_[std::size_t(p)]); });

    if (!global_gram_) global_ = aligned_array<S>(size);
    constexpr index_t stripe = 16;
    ex((d + stripe - 1) / stripe, [&](index_t s) {
      for (index_t i = s * stripe; i < std::min(d, (s + 1) * stripe); ++i) merge_row(i * pitch_, i + 1);
    });
  }

  void add_up(const part& p) {
    const bool measures = !global_gram_ && !(weighted_ && p.cls >= 0);
    const bool scales = weighted_ && p.cls >= 0;
    const aligned_array<S> packed(tile::depth * pitch_), buffer(tile::depth * pitch_);
    const S* row[std::size_t(tile::depth)];
    for (index_t first = p.first; first < p.first + p.count; first += tile::depth) {
      const index_t count = std::min(tile::depth, p.first + p.count - first);
      for (index_t r = 0; r < count; ++r) {
        const index_t i = p.row != nullptr ? p.row[first + r] : first + r;
        S* const copy = buffer.data() + r * pitch_;
        row[r] = x.part(i, 0, d, copy);
        if (measures) norm_[std::size_t(i)] = square(row[r]);
        if (!scales) continue;
        const S factor = static_cast<S>(root(p.cls, classes->begin[std::size_t(p.cls)] + first + r));
        for (index_t j = 0; j < d; ++j) copy[j] = factor * row[r][j];
        row[r] = copy;
      }
      pack_strips(static_cast<const S* const*>(row), count, d, pitch_, packed.data());
      add_outer_products(static_cast<const S*>(packed.data()), count, d, S(1), p.sum, pitch_, first > p.first);
    }
  }

  void merge_row(index_t at, index_t count) {
    S* const whole = global_.data() == nullptr ? nullptr : global_.data() + at;
    if (whole != nullptr) std::fill_n(whole, count, S(0));
    const auto add = [count](const S* from, S* to) {
      for (index_t j = 0; j < count; ++j) to[j] += from[j];
    };
    for (std::size_t c = 0; c < gram_.size(); ++c) {
      for (std::size_t p = first_part_[c] + 1; p < first_part_[c + 1]; ++p)
        add(parts_[p].sum + at, parts_[first_part_[c]].sum + at);
      if (whole != nullptr && !weighted_ && first_part_[c] < first_part_[c + 1])
        add(parts_[first_part_[c]].sum + at, whole);
    }
    for (std::size_t p = first_part_.back(); whole != nullptr && p < parts_.size(); ++p) add(parts_[p].sum + at, whole);
  }

  // I + factor C, factored.
  void factor_covariance(cholesky<S>& f, const S* sum, double factor, index_t cls) const {
    const S by = static_cast<S>(factor);
    for (index_t i = 0; i < d; ++i) {
      S* const to = f.row(i, pitch_);
      for (index_t j = 0; j <= i; ++j) to[j] = by * sum[i * pitch_ + j];
      to[i] += S(1);
    }
    require_factor(f.run(d), cls);
  }
  // I + factor B B', factored: `row` are the m rows of B.
  void factor_gram(cholesky<S>& f, const S* const* row, index_t m, double factor, index_t cls) const {
    const index_t pitch = padded_pitch(m);
    const aligned_array<S> packed(tile::depth * pitch);
    std::fill_n(f.row(0, pitch), pitch * pitch, S(0));
    for (index_t k = 0; k < d; k += tile::depth) {
      const index_t depth = std::min(tile::depth, d - k);
      pack_transposed(row, m, k, depth, pitch, packed.data());
      add_outer_products(static_cast<const S*>(packed.data()), depth, m, S(1), f.row(0, pitch), pitch);
    }
    const S by = static_cast<S>(factor);
    for (index_t i = 0; i < m; ++i) {
      S* const to = f.row(i, pitch);
      for (index_t j = 0; j <= i; ++j) to[j] *= by;
      to[i] += S(1);
    }
    require_factor(f.run(m), cls);
  }
  void require_factor(index_t pivot, index_t cls) const {
    if (pivot < 0) return;
    const std::string of = cls < 0 ? std::string("the whole batch") : "class " + std::to_string(cls);
    const std::string with = ask.scale == 1 ? std::string() : " with gam1 " + to_text(ask.scale);
    fail<value_error>(ask.function, ": the matrix of ", of, " lost its positive definiteness at pivot ", pivot,
                      "; eps_squared ", ask.eps_squared, with, " is too small for features of this scale");
  }

  // rows - tr of the inverse of an m x m matrix; forms the inverse where that is needed.
  double trace_term(cholesky<S>& f, index_t m, const S*& inverse) const {
    if (!inverts_) return 0;
    if (!needs_inverse_) return static_cast<double>(m) - f.trace_of_inverse();
    inverse = f.invert();
    double sum = 0;
    for (index_t i = 0; i < m; ++i) sum += 1 - static_cast<double>(inverse[i * padded_pitch(m) + i]);
    return sum;
  }

  void factor_global(engine_terms& out) {
    const double factor = ask.scale * beta_ / static_cast<double>(n);
    const index_t m = global_gram_ ? n : d;
    cholesky<S> f(m, inverts_);
    std::vector<const S*> row;
    aligned_array<S> copies;
    if (global_gram_) {
      copies = aligned_array<S>(n * pitch_);
      fetch(nullptr, 0, n, copies.data(), row);
      factor_gram(f, row.data(), n, factor, -1);
    } else {
      factor_covariance(f, global_.data(), factor, -1);
    }
    out.rate = f.half_log_det();
    const S* inverse = nullptr;
    out.trace = trace_term(f, m, inverse);
    if (grad.empty()) return;
    const index_t pitch = padded_pitch(m);
    if (global_gram_) {
      whole_inverse_ = aligned_array<S>(pitch * pitch);
      mirror(inverse, n, pitch, whole_inverse_.data());
      whole_packed_ = aligned_array<S>(n * pitch_);
      pack_all(row.data(), n, whole_packed_.data());
    } else {
      std::copy_n(inverse, pitch * pitch, global_.data());
      whole_packed_ = aligned_array<S>(pitch * pitch);
      pack_inverse(global_.data(), S(1), nullptr, S(0), whole_packed_.data());
    }
  }

  void fetch(const index_t* index, index_t first, index_t count, S* copies, std::vector<const S*>& row) const {
    row.resize(std::size_t(count));
    for (index_t r = 0; r < count; ++r)
      row[std::size_t(r)] = x.part(index != nullptr ? index[first + r] : first + r, 0, d, copies + r * pitch_);
  }
  static void mirror(const S* lower, index_t m, index_t pitch, S* to) {
    for (index_t i = 0; i < m; ++i)
      for (index_t j = 0; j <= i; ++j) to[i * pitch + j] = to[j * pitch + i] = lower[i * pitch + j];
  }
  void pack_all(const S* const* row, index_t m, S* to) const {
    for (index_t k = 0; k < m; k += tile::depth)
      pack_strips(row + k, std::min(tile::depth, m - k), d, pitch_, to + k * pitch_);
  }
  // fa a + fb b of lower triangles, as a right factor; it may take the place of a or b.
  void pack_inverse(const S* a, S fa, const S* b, S fb, S* to) const {
    aligned_array<S> full(pitch_ * pitch_);
    for (index_t i = 0; i < d; ++i)
      for (index_t j = 0; j <= i; ++j)
        full.data()[i * pitch_ + j] = full.data()[j * pitch_ + i] =
            fa * a[i * pitch_ + j] + (b != nullptr ? fb * b[i * pitch_ + j] : S(0));
    std::vector<const S*> row(static_cast<std::size_t>(d));
    for (index_t i = 0; i < d; ++i) row[std::size_t(i)] = full.data() + i * pitch_;
    pack_all(row.data(), d, to);
  }
  packed_rows<S> factor_of(const S* packed, index_t rows) const { return {packed, rows, pitch_, tile::depth, false}; }

  // What a class of the Gram side keeps for the rows that are written later.
  struct gram_class {
    aligned_array<S> inverse, packed;
  };

  // The whole and the classes of the d x d side side by side, since neither needs the other, and then what needs both.
  template <executor Exec>
  void factor_with_classes(Exec& ex, engine_terms& out) {
    if (by_row_ && needs_inverse_) kept_.resize(gram_.size());
    std::vector<index_t> large, small;
    for (index_t c = 0; c < classes->k; ++c)
      if (!is_empty(c)) (gram_[std::size_t(c)] != 0 ? small : large).push_back(c);
    const bool in_lanes = classes->k >= lanes_from_classes && d <= lanes_up_to_features;
    const index_t each = in_lanes ? lane_cholesky<S>::lanes : 1;
    const auto larges = static_cast<index_t>(large.size()), groups = (larges + each - 1) / each;
    ex(1 + groups, [&](index_t t) {
      const index_t first = (t - 1) * each;
      if (t == 0)
        factor_global(out);
      else if (in_lanes)
        factor_lanes(large.data() + first, std::min(each, larges - first), out);
      else
        factor_large(large[std::size_t(first)], out);
    });
    const index_t packs = needs_inverse_ ? larges : 0;
    ex(packs + static_cast<index_t>(small.size()), [&](index_t t) {
      if (t < packs)
        pack_class(large[std::size_t(t)]);
      else
        factor_small(small[std::size_t(t - packs)], out);
    });
  }

  void factor_lanes(const index_t* cls, index_t count, engine_terms& out) {
    lane_cholesky<S> f(d);
    for (index_t l = 0; l < lane_cholesky<S>::lanes; ++l) {
      const index_t c = cls[std::min(l, count - 1)];  // lanes without a class repeat the last
      const S* const sum = sum_of(c);
      const S by = static_cast<S>(per_class(c));
      for (index_t i = 0; i < d; ++i) {
        for (index_t j = 0; j <= i; ++j) f.at(i, j)[l] = by * sum[i * pitch_ + j];
        f.at(i, i)[l] += S(1);
      }
    }
    if (!f.run()) require_factor(f.bad_pivot, cls[std::min(f.bad_lane, count - 1)]);
    double trace[std::size_t(lane_cholesky<S>::lanes)];
    for (index_t l = 0; l < count; ++l) out.class_rate[std::size_t(cls[l])] = f.half_log_det(l);
    if (!inverts_) return;
    f.invert(needs_inverse_, trace);
    const aligned_array<S> inverse(needs_inverse_ ? pitch_ * pitch_ : 0);
    for (index_t l = 0; l < count; ++l) {
      out.class_trace[std::size_t(cls[l])] = static_cast<double>(d) - trace[l];
      if (!needs_inverse_) continue;
      for (index_t i = 0; i < d; ++i)
        for (index_t j = 0; j <= i; ++j) inverse.data()[i * pitch_ + j] = f.at(i, j)[l];
      keep_inverse(cls[l], inverse.data());
    }
  }

  void factor_large(index_t c, engine_terms& out) {
    cholesky<S> f(d, inverts_);
    factor_covariance(f, sum_of(c), per_class(c), c);
    out.class_rate[std::size_t(c)] = f.half_log_det();
    const S* inverse = nullptr;
    out.class_trace[std::size_t(c)] = trace_term(f, d, inverse);
    if (needs_inverse_) keep_inverse(c, inverse);
  }

  S* sum_of(index_t c) const { return parts_[first_part_[std::size_t(c)]].sum; }

  // Where the covariance was: its inverse, and then what rows of the class are multiplied by.
  void keep_inverse(index_t c, const S* inverse) const { std::copy_n(inverse, pitch_ * pitch_, sum_of(c)); }
  void pack_class(index_t c) const {
    S* const own = sum_of(c);
    if (by_row_ || global_gram_)
      pack_inverse(own, S(1), nullptr, S(0), own);
    else
      pack_inverse(global_.data(), static_cast<S>(ask.rate_factor * ask.scale), own, static_cast<S>(-ask.class_factor),
                   own);
  }

  void factor_small(index_t c, engine_terms& out) {
    const index_t begin = classes->begin[std::size_t(c)], m = classes->size(c);
    const index_t* const index = classes->row.data() + begin;
    const aligned_array<S> copies(m * pitch_);
    std::vector<const S*> row;
    fetch(index, 0, m, copies.data(), row);
    if (weighted_)
      for (index_t r = 0; r < m; ++r) {
        S* const to = copies.data() + r * pitch_;
        const S factor = static_cast<S>(root(c, begin + r));
        for (index_t j = 0; j < d; ++j) to[j] = factor * row[std::size_t(r)][j];
        row[std::size_t(r)] = to;
      }
    cholesky<S> f(m, inverts_);
    factor_gram(f, row.data(), m, per_class(c), c);
    out.class_rate[std::size_t(c)] = f.half_log_det();
    const S* inverse = nullptr;
    out.class_trace[std::size_t(c)] = trace_term(f, m, inverse);
    if (!needs_inverse_) return;
    const index_t pitch = padded_pitch(m);
    gram_class own{aligned_array<S>(pitch * pitch), aligned_array<S>(m * pitch_)};
    mirror(inverse, m, pitch, own.inverse.data());
    pack_all(row.data(), m, own.packed.data());
    if (by_row_) {
      kept_[std::size_t(c)] = std::move(own);
      return;
    }
    if (grad.empty()) return;
    output_rows rows(*this, m);
    for (index_t first = 0; first < m; first += rows_a_task) {
      const index_t count = std::min(rows_a_task, m - first);
      rows.begin(index + first, count);
      add_whole(index, first, count, row.data() + first, rows.row());
      const S* left[std::size_t(rows_a_task)];
      for (index_t r = 0; r < count; ++r) left[r] = own.inverse.data() + (first + r) * pitch;
      multiply_rows(static_cast<const S* const*>(left), count, factor_of(own.packed.data(), m), d,
                    static_cast<S>(-ask.class_factor * beta_ / static_cast<double>(n)), true, rows.row());
      rows.end();
    }
  }

  // Rows of the gradient: where they lie, or copies that are stored at the end.
  class output_rows {
   public:
    output_rows(const rate_engine& of, index_t most) : of_(of), copies_(std::min(most, rows_a_task) * of.pitch_) {}
    void begin(const index_t* index, index_t count, index_t first = 0) {
      count_ = count;
      for (index_t r = 0; r < count; ++r) {
        index_[r] = index != nullptr ? index[r] : first + r;
        S* const direct = of_.grad.part(index_[r], 0);
        row_[r] = direct != nullptr ? direct : copies_.data() + r * of_.pitch_;
      }
    }
    S* const* row() const { return row_; }
    void end() const {
      for (index_t r = 0; r < count_; ++r)
        if (row_[r] == copies_.data() + r * of_.pitch_) of_.grad.put_part(index_[r], 0, of_.d, row_[r]);
    }

   private:
    const rate_engine& of_;
    aligned_array<S> copies_;
    index_t count_ = 0;
    index_t index_[std::size_t(rows_a_task)] = {};
    S* row_[std::size_t(rows_a_task)] = {};
  };

  // out = rate_factor dR / dZ of some rows.
  void add_whole(const index_t* index, index_t first, index_t count, const S* const* row, S* const* out) const {
    const S factor = static_cast<S>(ask.rate_factor * ask.scale * beta_ / static_cast<double>(n));
    if (!global_gram_) {
      multiply_rows(row, count, factor_of(whole_packed_.data(), d), d, factor, false, out);
      return;
    }
    const S* left[std::size_t(rows_a_task)];
    for (index_t r = 0; r < count; ++r)
      left[r] = whole_inverse_.data() + (index != nullptr ? index[first + r] : first + r) * padded_pitch(n);
    multiply_rows(static_cast<const S* const*>(left), count, factor_of(whole_packed_.data(), n), d, factor, false, out);
  }

  // Hard memberships: the classes of the d x d side, whose rows each take one product with M^-1 - M_j^-1.
  template <executor Exec>
  void write_gradient(Exec& ex) {
    struct piece {
      index_t cls, first, count;
    };
    std::vector<piece> pieces;
    const auto cut = [&](index_t cls, index_t count) {
      constexpr index_t most = 4 * rows_a_task;
      for (index_t first = 0; first < count; first += most)
        pieces.push_back({cls, first, std::min(most, count - first)});
    };
    if (classes == nullptr) cut(-1, n);
    for (std::size_t c = 0; c < gram_.size(); ++c)
      if (gram_[c] == 0) cut(index_t(c), classes->size(index_t(c)));
    ex(static_cast<index_t>(pieces.size()), [&](index_t t) {
      const piece& p = pieces[std::size_t(t)];
      const index_t* const index = p.cls < 0 ? nullptr : classes->row.data() + classes->begin[std::size_t(p.cls)];
      output_rows rows(*this, p.count);
      std::vector<const S*> row;
      const aligned_array<S> copies(rows_a_task * pitch_);
      for (index_t first = p.first; first < p.first + p.count; first += rows_a_task) {
        const index_t count = std::min(rows_a_task, p.first + p.count - first);
        fetch(index, first, count, copies.data(), row);
        rows.begin(index != nullptr ? index + first : nullptr, count, first);
        if (p.cls < 0 || global_gram_) add_whole(index, first, count, row.data(), rows.row());
        if (p.cls >= 0)
          multiply_rows(row.data(), count, factor_of(sum_of(p.cls), d), d,
                        static_cast<S>((global_gram_ ? -ask.class_factor : 1.0) * beta_ / static_cast<double>(n)),
                        global_gram_, rows.row());
        rows.end();
      }
    });
  }

  // Rows that belong to several classes, or whose memberships are differentiated: row by row through the classes.
  template <executor Exec>
  void write_rows(Exec& ex, const engine_terms& terms) {
    clear_memberships(false);
    const index_t chunks = (n + rows_a_task - 1) / rows_a_task;
    ex(chunks, [&](index_t t) {
      const index_t first = t * rows_a_task, count = std::min(rows_a_task, n - first);
      const aligned_array<S> copies(rows_a_task * pitch_), products(rows_a_task * pitch_), sums(rows_a_task * pitch_);
      std::vector<const S*> row;
      fetch(nullptr, first, count, copies.data(), row);
      S* sum[std::size_t(rows_a_task)];
      S* out[std::size_t(rows_a_task)];
      for (index_t r = 0; r < rows_a_task; ++r) {
        sum[r] = sums.data() + r * pitch_;
        out[r] = products.data() + r * pitch_;
      }
      if (!grad.empty()) add_whole(nullptr, first, count, row.data(), sum);
      for (index_t c = 0; c < classes->k; ++c)
        if (!is_empty(c)) write_class(c, terms, first, count, row.data(), sum, out);
      if (!grad.empty())
        for (index_t r = 0; r < count; ++r) grad.put_part(first + r, 0, d, sum[r]);
    });
  }

  void write_class(index_t c, const engine_terms& terms, index_t first, index_t count, const S* const* row,
                   S* const* sum, S* const* out) const {
    const auto begin = classes->row.begin() + classes->begin[std::size_t(c)],
               end = classes->row.begin() + classes->begin[std::size_t(c) + 1];
    const index_t from = std::lower_bound(begin, end, first) - classes->row.begin(),
                  to = std::lower_bound(begin, end, first + count) - classes->row.begin();
    const bool gram = gram_[std::size_t(c)] != 0;
    const double own = 2 * terms.class_rate[std::size_t(c)] - terms.class_trace[std::size_t(c)];
    const double per_membership = -ask.class_factor / (2 * static_cast<double>(n));
    const auto slope = [&](const S* product, const S* z, double factor) {
      double dot = 0;
      for (index_t j = 0; j < d; ++j) dot += static_cast<double>(product[j]) * static_cast<double>(z[j]);
      return per_membership * (own + beta_ * dot / factor);
    };
    const auto subtract = [&](index_t r, const S* product, double factor) {
      const S by = static_cast<S>(-ask.class_factor * beta_ / static_cast<double>(n) * factor);
      for (index_t j = 0; j < d; ++j) sum[r][j] += by * product[j];
    };
    if (!dense_grad.empty() && !gram) {
      multiply_rows(row, count, factor_of(sum_of(c), d), d, S(1), false, out);
      for (index_t r = 0; r < count; ++r) {
        const double g = slope(out[r], row[r], 1);
        dense_grad.put_part(first + r, c, 1, &g);
      }
      for (index_t e = from; !grad.empty() && e < to; ++e) {
        const index_t r = classes->row[std::size_t(e)] - first;
        subtract(r, out[r], weight(e));
      }
      return;
    }
    for (index_t e = from; e < to; e += rows_a_task) {
      const index_t some = std::min(rows_a_task, to - e);
      const S* left[std::size_t(rows_a_task)];
      const auto row_of = [&](index_t q) { return classes->row[std::size_t(e + q)] - first; };
      if (gram) {
        const gram_class& kept = kept_[std::size_t(c)];
        const index_t m = classes->size(c), at = e - classes->begin[std::size_t(c)];
        for (index_t q = 0; q < some; ++q) left[q] = kept.inverse.data() + (at + q) * padded_pitch(m);
        multiply_rows(static_cast<const S* const*>(left), some, factor_of(kept.packed.data(), m), d, S(1), false, out);
      } else {
        for (index_t q = 0; q < some; ++q) left[q] = row[row_of(q)];
        multiply_rows(static_cast<const S* const*>(left), some, factor_of(sum_of(c), d), d, S(1), false, out);
      }
      for (index_t q = 0; q < some; ++q) {
        // On the Gram side the product is root z M_j^-1.
        const double r = gram ? root(c, e + q) : 1.0;
        if (!grad.empty()) subtract(row_of(q), out[q], weight(e + q) / r);
        if (dense_grad.empty() && entry_grad.empty()) continue;
        const double g = slope(out[q], row[row_of(q)], r);
        if (!dense_grad.empty())
          dense_grad.put_part(first + row_of(q), c, 1, &g);
        else
          entry_grad.put_part(classes->entry[std::size_t(e + q)], 0, 1, &g);
      }
    }
  }

  // Gradients of empty classes are zero, and all of them where there is nothing to tell.
  void clear_memberships(bool all) const {
    constexpr double zero = 0;
    for (index_t c = 0; classes != nullptr && c < classes->k; ++c) {
      if (!all && !is_empty(c)) continue;
      for (index_t i = 0; !dense_grad.empty() && i < n; ++i) dense_grad.put_part(i, c, 1, &zero);
      for (index_t e = classes->begin[std::size_t(c)]; !entry_grad.empty() && e < classes->begin[std::size_t(c) + 1];
           ++e)
        entry_grad.put_part(classes->entry[std::size_t(e)], 0, 1, &zero);
    }
  }

  index_t pitch_ = 0;
  double beta_ = 0;
  bool weighted_ = false;  // rows of a class enter with a weight
  bool by_row_ = false;    // gradients go row by row through the classes
  bool inverts_ = false;   // the inverse, or its trace
  bool needs_inverse_ = false;
  bool global_gram_ = false;
  std::vector<char> gram_;    // of each class: whether its Gram matrix is factored
  std::vector<double> norm_;  // squares of the rows' lengths
  std::vector<index_t> loose_;
  std::vector<part> parts_;
  std::vector<std::size_t> first_part_;
  std::vector<gram_class> kept_;
  aligned_array<S> sums_, global_, whole_inverse_, whole_packed_;
};

}  // namespace weakly::inline v0::detail
