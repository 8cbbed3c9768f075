// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/rate/detail/aligned_array.hpp>
#include <weakly/rate/detail/symmetric_products.hpp>
#include <weakly/rate/membership_view.hpp>

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <vector>

namespace weakly::inline v0::detail {

inline double dot_product(const double* x, const double* y, index_t count) {
  simd::batch<double> sum(0.0);
  for_batches<double>(count, [&](auto at) { sum = simd::fma(at.load(x), at.load(y), sum); });
  return simd::reduce_add(sum);
}

/// Rows of a matrix to multiply others with from the right: `rows` rows of `width` elements, packed.
class right_factor {
 public:
  right_factor() = default;
  right_factor(index_t rows, index_t width)
      : rows_(rows), width_(width), pitch_(padded_pitch(width)), data_(rows * pitch_) {}

  index_t rows() const { return rows_; }
  index_t width() const { return width_; }
  /// Takes over row(0), ..., row(rows - 1), pointers to `width` elements each.
  template <class Row>
  void pack(Row row) const {
    const double* part[std::size_t(depth)] = {};
    for (index_t k = 0; k < rows_; k += depth) {
      const index_t count = std::min(depth, rows_ - k);
      for (index_t r = 0; r < count; ++r) part[r] = row(k + r);
      pack_strips(static_cast<const double* const*>(part), count, width_, pitch_, data_.data() + k * pitch_);
    }
  }
  void scale(double by) const {
    for (index_t e = 0; e < rows_ * pitch_; ++e) data_.data()[e] *= by;
  }
  packed_rows<double> packed() const { return {data_.data(), rows_, pitch_, depth, false}; }
  double operator()(index_t i, index_t j) const {
    constexpr index_t columns = product_tile<double>::columns;
    const index_t first = i / depth * depth, count = std::min(depth, rows_ - first);
    return data_.data()[first * pitch_ + (j / columns * count + i - first) * columns + j % columns];
  }

 private:
  static constexpr index_t depth = product_tile<double>::depth;

  index_t rows_ = 0;
  index_t width_ = 0;
  index_t pitch_ = 0;
  aligned_array<double> data_;
};

/// Copies of some rows of features as doubles, in memory of its own.
class gathered_rows {
 public:
  static constexpr index_t most = 64;

  explicit gathered_rows(index_t width) : width_(width), data_(most * width) {}

  void clear() { count_ = 0; }
  void add(const row_source<double>& x, index_t row) {
    double* const to = data_.data() + count_ * width_;
    const double* const from = x.part(row, 0, width_, to);
    rows_[count_++] = from;
  }
  index_t count() const { return count_; }
  const double* row(index_t r) const { return rows_[r]; }
  const double* const* rows() const { return rows_; }

 private:
  index_t width_;
  index_t count_ = 0;
  aligned_array<double> data_;
  const double* rows_[std::size_t(most)];
};

/// As many rows to write a product to.
class product_rows {
 public:
  explicit product_rows(index_t width) : data_(gathered_rows::most * width) {
    for (index_t r = 0; r < gathered_rows::most; ++r) rows_[r] = data_.data() + r * width;
  }
  double* row(index_t r) const { return rows_[r]; }
  double* const* rows() const { return rows_; }

 private:
  aligned_array<double> data_;
  double* rows_[std::size_t(gathered_rows::most)];
};

/// out(i) = scale times the sum over c of Pi(i, c) S_c z_i for symmetric S_c, and f(i, c, e, z_i' S_c z_i) for entry e
/// of `members`, or for every class with e = -1 where a row has none. Each row is done by one task.
template <class Exec, class F>
void multiply_by_class(Exec& ex, const std::vector<right_factor>& s, const row_source<double>& x,
                       const class_rows& members, bool every_class, double scale, const row_sink<double>& out, F f) {
  constexpr index_t most = gathered_rows::most;
  const index_t n = members.n, d = x.columns(), k = static_cast<index_t>(s.size());
  const auto factor_of = [&](index_t c) -> const right_factor& { return s[static_cast<std::size_t>(c)]; };
  const auto row_of_entry = [&](index_t e) { return members.row[static_cast<std::size_t>(e)]; };
  if (members.hard && !every_class) {
    struct group {
      index_t first, count, cls;
    };
    std::vector<group> groups;
    for (index_t c = 0; c < k; ++c) {
      const index_t end = members.begin[static_cast<std::size_t>(c) + 1];
      for (index_t first = members.begin[static_cast<std::size_t>(c)]; first < end; first += most)
        groups.push_back({first, std::min(most, end - first), c});
    }
    ex(static_cast<index_t>(groups.size()), [&](index_t task) {
      const group& g = groups[static_cast<std::size_t>(task)];
      gathered_rows z(d);
      const product_rows y(d);
      for (index_t r = 0; r < g.count; ++r) z.add(x, row_of_entry(g.first + r));
      multiply_rows(z.rows(), g.count, factor_of(g.cls).packed(), d, 1.0, false, y.rows());
      for (index_t r = 0; r < g.count; ++r) {
        const index_t i = row_of_entry(g.first + r);
        f(i, g.cls, g.first + r, dot_product(z.row(r), y.row(r), d));
        if (out.empty()) continue;
        for (index_t j = 0; j < d; ++j) y.row(r)[j] *= scale;
        out.put_part(i, 0, d, y.row(r));
      }
    });
    return;
  }
  ex((n + most - 1) / most, [&](index_t task) {
    const index_t first = task * most, count = std::min(most, n - first);
    gathered_rows z(d);
    const product_rows y(d), sum(d);
    for (index_t r = 0; r < count; ++r) {
      z.add(x, first + r);
      std::fill_n(sum.row(r), d, 0.0);
    }
    for (index_t c = 0; c < k; ++c) {
      const auto begin = members.row.begin() + members.begin[static_cast<std::size_t>(c)],
                 end = members.row.begin() + members.begin[static_cast<std::size_t>(c) + 1];
      // The rows of the class among these; one that is listed twice comes again in another round.
      index_t e = std::lower_bound(begin, end, first) - members.row.begin();
      const index_t last = std::lower_bound(begin, end, first + count) - members.row.begin();
      for (index_t next = 0; e < last || (every_class && next < count);) {
        const double* part[std::size_t(most)] = {};
        index_t row[std::size_t(most)], entry[std::size_t(most)];
        index_t found = 0;
        for (; next < count; ++next) {
          const bool listed = e < last && row_of_entry(e) == first + next;
          if (!listed && !every_class) continue;
          part[found] = z.row(next);
          row[found] = next;
          entry[found++] = listed ? e++ : -1;
          if (e < last && row_of_entry(e) == first + next) break;  // listed again: it stays the next one
        }
        multiply_rows(static_cast<const double* const*>(part), found, factor_of(c).packed(), d, 1.0, false, y.rows());
        for (index_t r = 0; r < found; ++r) {
          f(first + row[r], c, entry[r], dot_product(part[r], y.row(r), d));
          if (out.empty() || entry[r] < 0) continue;
          const double weight = scale * (members.hard ? 1.0 : members.weight[static_cast<std::size_t>(entry[r])]);
          double* const to = sum.row(row[r]);
          for (index_t j = 0; j < d; ++j) to[j] += weight * y.row(r)[j];
        }
      }
    }
    if (out.empty()) return;
    for (index_t r = 0; r < count; ++r) out.put_part(first + r, 0, d, sum.row(r));
  });
}

}  // namespace weakly::inline v0::detail
