// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/rate/detail/packed_triangle.hpp>
#include <weakly/rate/detail/symmetric_products.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weakly::inline v0::detail {

/// Rows on their way into the covariances of their classes, collected and then added together.
///
/// Each tile of each covariance is made by one task, which adds the rows of the class in their order: the sums do not
/// depend on who runs the tasks, and no task needs a covariance of its own. All memory is taken at construction.
class class_covariances {
 public:
  class_covariances(index_t classes, index_t features)
      : features_(features),
        pitch_(padded_pitch(features)),
        capacity_(std::max<index_t>(1024, 32 * classes)),
        class_begin_(static_cast<std::size_t>(classes) + 1),
        members_(static_cast<std::size_t>(capacity_)),
        sorted_(members_.size()),
        strips_(static_cast<std::size_t>(capacity_ * pitch_ + 8)) {
    groups_.reserve(static_cast<std::size_t>(capacity_ / depth + std::min(classes, capacity_) + 1));
    present_.reserve(static_cast<std::size_t>(std::min(classes, capacity_)));
  }

  bool full() const { return size_ == capacity_; }
  void push(index_t row, index_t cls, double weight) {
    members_[static_cast<std::size_t>(size_++)] = {row, cls, weight};
  }
  void clear() { size_ = 0; }

  /// Adds what was collected to the packed covariances, one after the other at `packed`.
  template <class Exec>
  void flush(Exec& ex, const row_source<double>& x, double* packed) {
    sort();
    // A line boundary: rows of registers that straddle two lines take twice as long to load.
    double* const strips =
        strips_.data() + (64 - reinterpret_cast<std::uintptr_t>(strips_.data()) % 64) % 64 / sizeof(double);
    ex(static_cast<index_t>(groups_.size()), [&](index_t g) { pack(x, groups_[static_cast<std::size_t>(g)], strips); });
    const index_t bands = (features_ + band - 1) / band, tiles = bands * (bands + 1) / 2,
                  all = tiles * static_cast<index_t>(present_.size()), a_task = std::max<index_t>(1, all / 64);
    ex((all + a_task - 1) / a_task, [&](index_t task) {
      for (index_t t = task * a_task; t < std::min(all, (task + 1) * a_task); ++t) {
        index_t i = 0;
        while (packed_size(i + 1) <= t % tiles) ++i;
        add_tile(present_[static_cast<std::size_t>(t / tiles)], i, t % tiles - packed_size(i), strips, packed);
      }
    });
    clear();
  }

 private:
  using tile = product_tile<double>;
  static constexpr index_t depth = tile::depth;
  static constexpr index_t band = 64;  // rows and columns of what a task sums up at once, on its stack
  static_assert(band % tile::columns == 0);

  struct member {
    index_t row;
    index_t cls;
    double weight;
  };
  struct group {  // rows of one class that are packed together
    index_t first;
    index_t count;
  };
  struct class_groups {
    index_t cls;
    index_t first;
    index_t last;
  };

  // By class, and in their order within it.
  void sort() {
    std::fill(class_begin_.begin(), class_begin_.end(), 0);
    for (index_t m = 0; m < size_; ++m) ++class_begin_[static_cast<std::size_t>(member_at(m).cls) + 1];
    groups_.clear();
    present_.clear();
    for (std::size_t c = 0; c + 1 < class_begin_.size(); ++c) {
      const index_t begin = class_begin_[c], end = begin + class_begin_[c + 1];
      class_begin_[c + 1] = end;
      if (begin == end) continue;
      const auto first_group = static_cast<index_t>(groups_.size());
      for (index_t first = begin; first < end; first += depth) groups_.push_back({first, std::min(depth, end - first)});
      present_.push_back({static_cast<index_t>(c), first_group, static_cast<index_t>(groups_.size())});
    }
    for (index_t m = 0; m < size_; ++m)
      sorted_[static_cast<std::size_t>(class_begin_[static_cast<std::size_t>(member_at(m).cls)]++)] = member_at(m);
  }
  const member& member_at(index_t m) const { return members_[static_cast<std::size_t>(m)]; }

  // Row r of a group, times the root of its weight, in strips as wide as a tile of registers.
  void pack(const row_source<double>& x, const group& g, double* strips) const {
    double buffer[512];
    static_assert(512 % tile::columns == 0);
    for (index_t r = 0; r < g.count; ++r) {
      const member& m = sorted_[static_cast<std::size_t>(g.first + r)];
      const double scale = std::sqrt(m.weight);
      for (index_t j = 0; j < features_; j += 512) {
        const index_t count = std::min<index_t>(512, features_ - j);
        const double* const from = x.part(m.row, j, count, buffer);
        double* to = strips + g.first * pitch_ + j * g.count + r * tile::columns;
        index_t c = 0;
        for (; c + tile::columns <= count; c += tile::columns, to += g.count * tile::columns) {
          simd::store(to, simd::load(from + c) * scale);
          simd::store(to + tile::columns / 2, simd::load(from + c + tile::columns / 2) * scale);
        }
        if (c < count)
          for (index_t w = 0; w < tile::columns; ++w) to[w] = c + w < count ? from[c + w] * scale : 0.0;
      }
    }
  }

  void add_tile(const class_groups& of, index_t i, index_t j, const double* strips, double* packed) const {
    alignas(64) double sum[std::size_t(band * band)] = {};
    const index_t row = i * band, column = j * band, height = std::min(band, features_ - row),
                  width = std::min(band, features_ - column);
    for (index_t at = of.first; at < of.last; ++at) {
      const group& g = groups_[static_cast<std::size_t>(at)];
      const double* const x = strips + g.first * pitch_;
      for (index_t b = 0; b < width; b += tile::columns)
        for (index_t a = i == j ? b : 0; a < height; a += tile::rows) {
          const index_t left = row + a, strip = left / tile::columns * tile::columns;
          multiply_tile(g.count, x + (column + b) * g.count,
                        packed_factor<double>{x + strip * g.count + (left - strip)}, 1.0, true,
                        tile_at<double>{sum + a * band + b, band});
        }
    }
    double* const mine = packed + of.cls * packed_size(features_);
    for (index_t a = 0; a < height; ++a) {
      double* const to = mine + packed_row(row + a) + column;
      const index_t count = i == j ? a + 1 : width;
      for (index_t b = 0; b < count; ++b) to[b] += sum[a * band + b];
    }
  }

  index_t features_;
  index_t pitch_;
  index_t capacity_;
  index_t size_ = 0;
  std::vector<index_t> class_begin_;
  std::vector<member> members_, sorted_;
  std::vector<group> groups_;
  std::vector<class_groups> present_;
  std::vector<double> strips_;
};

}  // namespace weakly::inline v0::detail
