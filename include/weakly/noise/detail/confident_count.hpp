// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/confident_guess.hpp>
#include <weakly/noise/detail/disagreement.hpp>
#include <weakly/noise/detail/numpy_arithmetic.hpp>
#include <weakly/noise/detail/plausible.hpp>
#include <weakly/noise/detail/row_reader.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace weakly::inline v0::detail {

/// Where a row belongs: in the column of its guess, or in column k when it is not counted.
struct counted_row {
  index_t column;
  bool issue;  ///< counted off the diagonal, and the label is not the most probable class either
};

/// The cell of the shared state: k x k counts, then k numbers of rows not counted, then the number of issues.
WEAKLY_HD constexpr index_t joint_cell(index_t k, index_t label, index_t column) {
  return column < k ? label * k + column : k * k + label;
}

/// What a guess means for row i of the given label.
template <class T>
counted_row count_guess(const matrix_view<const T>& prob, index_t i, index_t label, index_t guess,
                        compatibility compat) {
  const row_reader<T> row = row_of(prob, i);
  if (guess < 0 || !plausible_probability(row[label])) return {prob.extent(1), false};
  if (guess == label) return {guess, false};
  // The guess usually settles whether the label is the most probable class.
  using Number = numpy_arithmetic_t<T>;
  const bool above = compat == compatibility::cleanlab
                         ? Number(row[guess]) > Number(row[label]) + Number(math::confidence_slack)
                         : double(row[guess]) > double(row[label]) + math::confidence_slack;
  return {guess, above || row_disagrees(prob, i, label, compat)};
}

/// Rows that confident_count takes at a time when all their comparisons fit a few words of bits.
template <class A>
inline constexpr index_t bit_rows = simd::batch<A>::size > 8 ? simd::batch<A>::size : 8;

/// The most classes for which a row's comparisons are taken from one 64-bit word, wherever in it they begin.
inline constexpr index_t most_bit_classes = std::endian::native == std::endian::little ? 56 : 0;

/// Compares `batches` batches at p with the bounds and packs the results: bit e of `bits` tells whether element e is
/// confident.
template <class A>
WEAKLY_INLINE void confident_bits(const A* p, const A* bound, index_t batches, unsigned char* bits) {
  using batch = simd::batch<A>;
  if constexpr (batch::size < 8) {
    constexpr index_t joined = 8 / batch::size;
    for (index_t b = 0; b < batches; b += joined) {
      std::uint32_t byte = 0;
      for (index_t s = 0; s < joined; ++s) {
        const batch x = simd::load(p + (b + s) * batch::size);
        byte |= simd::bits((x >= simd::load(bound + (b + s) * batch::size)) & (x <= batch(A(greatest_plausible))))
                << (s * batch::size);
      }
      *bits++ = static_cast<unsigned char>(byte);
    }
  } else {
    for (index_t b = 0; b < batches; ++b) {
      const batch x = simd::load(p + b * batch::size);
      const std::uint32_t word =
          simd::bits((x >= simd::load(bound + b * batch::size)) & (x <= batch(A(greatest_plausible))));
      std::memcpy(bits, &word, batch::size / 8);
      bits += batch::size / 8;
    }
  }
}

/// The guess of a row whose confident classes are the bits of `mask`.
template <class Row>
index_t guess_among(const Row& row, std::uint64_t mask, index_t k, compatibility compat) {
  if (mask == 0) return -1;
  index_t best = std::countr_zero(mask);
  mask &= mask - 1;
  if (mask != 0 && compat == compatibility::cleanlab) return argmax(row, k);
  for (; mask != 0; mask &= mask - 1) {
    const index_t j = std::countr_zero(mask);
    if (row[j] > row[best]) best = j;
  }
  return best;
}

/// The confident class of a contiguous row of many classes. Lanes are only looked at closer when they reach their bound
/// and exceed the best so far, which keeps even a row of all-confident entries to a few closer looks.
template <class A, class Storage>
index_t confident_class_of_many(const Storage* row, const A* bound, index_t k) {
  using batch = simd::batch<A>;
  constexpr index_t unrolled = 4;
  constexpr index_t width = batch::size;
  // The hardware stops fetching ahead at the end of a page, which is once a row or so. All lines are asked for, far
  // enough ahead: one in four takes a fifth longer.
  constexpr index_t ahead = 64 * simd::line_size<Storage>;
  A best = -std::numeric_limits<A>::infinity();
  index_t best_class = -1;
  const auto look = [&](simd::mask<A> hit, index_t first) {
    for (std::uint32_t bit = simd::bits(hit); bit != 0; bit &= bit - 1) {
      const index_t j = first + std::countr_zero(bit);
      const A p = static_cast<A>(row[j]);
      if (p > best && p <= A(greatest_plausible)) {
        best = p;
        best_class = j;
      }
    }
  };
  index_t j = 0;
  for (; j + unrolled * width <= k; j += unrolled * width) {
    simd::prefetch_lines(row + j + ahead, unrolled * width);
    const batch so_far(best);
    simd::mask<A> hit[unrolled];
    simd::unroll<int(unrolled)>([&](auto b) {
      const batch p = simd::load(row + j + b * width);
      hit[b] = (p >= simd::load(bound + j + b * width)) & (p > so_far);
    });
    if (simd::any((hit[0] | hit[1]) | (hit[2] | hit[3])))
      for (index_t b = 0; b < unrolled; ++b) look(hit[b], j + b * width);
  }
  for (; j < k; j += width) {
    const index_t count = k - j < width ? k - j : width;
    const batch p = simd::load_partial(row + j, count, -std::numeric_limits<A>::infinity());
    const batch b = simd::load_partial(bound + j, count, std::numeric_limits<A>::infinity());
    look((p >= b) & (p > batch(best)), j);
  }
  return best_class;
}

/// One row, any layout.
template <class T>
counted_row count_row(const matrix_view<const T>& prob, index_t i, index_t label, const arithmetic_t<T>* bound,
                      compatibility compat) {
  const row_reader<T> row = row_of(prob, i);
  const index_t k = prob.extent(1);
  const bool fast = compat == compatibility::none && rows_are_contiguous(prob);
  const index_t guess = fast ? confident_class_of_many(row.first, bound, k) : confident_class(row, bound, k, compat);
  return count_guess(prob, i, label, guess, compat);
}

/// Few classes. The comparisons of a block of rows become one string of bits; rows that are nobody's or their label's
/// are counted from it without a branch, the others are listed and looked at one by one.
template <class Label, class T>
class few_class_counter {
  using A = arithmetic_t<T>;
  static constexpr index_t group = bit_rows<A>;
  static constexpr index_t block = 32 * group;

 public:
  few_class_counter(const vector_view<const Label>& labels, const matrix_view<const T>& prob, const A* bound,
                    compatibility compat)
      : labels_(labels), prob_(prob), bound_(bound), compat_(compat), k_(prob.extent(1)), table_{}, bits_{} {
    for (index_t e = 0; e < group * k_; ++e) bounds_[e] = bound[e % k_];
  }

  void count(index_t first, index_t last) {
    index_t i = first;
    while (last - i >= group) {
      const index_t rows = last - i < block ? (last - i) / group * group : block;
      compare_rows(i, rows);
      count_rows(i, rows);
      i += rows;
    }
    for (; i < last; ++i) put(label(i), count_row(prob_, i, label(i), bound_, compat_));
  }

  /// Adds what was counted to the shared state.
  void merge_into(std::int64_t* state) const {
    for (index_t a = 0; a < k_; ++a)
      for (index_t b = 0; b <= k_; ++b)
        if (const std::int32_t rows = table_[a * columns() + b]; rows != 0)
          atomic_add(state[joint_cell(k_, a, b)], std::int64_t(rows));
    if (issues_ != 0) atomic_add(state[k_ * (k_ + 1)], issues_);
  }

 private:
  // Beside the guesses: column k for rows not counted, column k + 1 for rows that are counted later.
  index_t columns() const { return k_ + 2; }
  index_t label(index_t i) const { return static_cast<index_t>(labels_(i)); }

  void compare_rows(index_t i, index_t rows) {
    const index_t batches = group * k_ / simd::batch<A>::size;
    const bool in_place = rows_are_contiguous(prob_) && prob_.stride(0) == k_;
    for (index_t g = 0; g < rows; g += group) {
      unsigned char* const bits = bits_ + g * k_ / 8;
      if constexpr (std::is_same_v<T, A>) {
        if (in_place) {
          confident_bits(prob_.data() + (i + g) * k_, bounds_, batches, bits);
          continue;
        }
      }
      for (index_t r = 0; r < group; ++r)
        for (index_t j = 0; j < k_; ++j) copy_[r * k_ + j] = static_cast<A>(prob_(i + g + r, j));
      confident_bits(copy_, bounds_, batches, bits);
    }
  }

  std::uint64_t mask_of(std::uint32_t r, std::uint32_t classes) const {
    std::uint64_t mask;
    std::memcpy(&mask, bits_ + r * classes / 8, sizeof mask);
    return mask >> (r * classes % 8) & ((std::uint64_t(1) << classes) - 1);
  }

  // A pass of its own, because bits read back at once would wait for the stores that wrote them.
  void count_rows(index_t i, index_t rows) {
    const auto classes = static_cast<std::uint32_t>(k_);
    const Label* label_of = labels_.data() + i * labels_.stride(0);
    const index_t stride = labels_.stride(0);
    std::uint32_t listed = 0;
    for (std::uint32_t r = 0; r < static_cast<std::uint32_t>(rows); ++r, label_of += stride) {
      const std::uint64_t mask = mask_of(r, classes);
      const auto y = static_cast<std::uint32_t>(*label_of);
      const bool own = mask == std::uint64_t(1) << y, nobody = mask == 0;
      ++table_[y * (classes + 2) + (own ? y : nobody ? classes : classes + 1)];
      pending_[listed] = r;
      listed += own || nobody ? 0 : 1;
    }
    for (std::uint32_t q = 0; q < listed; ++q) {
      const index_t row = i + pending_[q];
      const index_t guess = guess_among(row_of(prob_, row), mask_of(pending_[q], classes), k_, compat_);
      put(label(row), count_guess(prob_, row, label(row), guess, compat_));
    }
  }

  void put(index_t y, const counted_row& at) {
    ++table_[y * columns() + at.column];
    issues_ += at.issue;
  }

  static constexpr std::size_t elements = std::size_t(group * most_bit_classes);

  vector_view<const Label> labels_;
  matrix_view<const T> prob_;
  const A* bound_;
  compatibility compat_;
  index_t k_;
  std::int64_t issues_ = 0;
  std::int32_t table_[most_bit_classes * (most_bit_classes + 2) + 1];
  A bounds_[elements + 1];
  A copy_[elements + 1];
  unsigned char bits_[std::size_t(block / group) * elements / 8 + 8];
  std::uint32_t pending_[std::size_t(block) + 1];
};

/// Many classes: into the shared state, because two rows of a chunk seldom meet in a cell. Cells are collected and
/// added to in bursts: an atomic addition holds back the loads behind it, which here are the next row.
template <class Label, class T>
void count_many_classes(const vector_view<const Label>& labels, const matrix_view<const T>& prob,
                        const arithmetic_t<T>* bound, compatibility compat, index_t first, index_t last,
                        std::int64_t* state) {
  constexpr index_t burst = 64;
  const index_t k = prob.extent(1);
  std::int64_t* cell[std::size_t(burst)];
  std::int64_t issues = 0;
  for (index_t i = first; i < last;) {
    const index_t rows = last - i < burst ? last - i : burst;
    for (index_t r = 0; r < rows; ++r, ++i) {
      const auto label = static_cast<index_t>(labels(i));
      const counted_row at = count_row(prob, i, label, bound, compat);
      cell[r] = state + joint_cell(k, label, at.column);
      simd::prefetch(cell[r]);
      issues += at.issue;
    }
    for (index_t r = 0; r < rows; ++r) atomic_add(*cell[r], std::int64_t(1));
  }
  if (issues != 0) atomic_add(state[k * (k + 1)], issues);
}

/// Adds rows [first, last) to `state`, laid out as joint_cell says. Threads may share it.
template <class Label, class T>
void confident_count(const vector_view<const Label>& labels, const matrix_view<const T>& prob,
                     const confidence_bounds& bounds, compatibility compat, index_t first, index_t last,
                     std::int64_t* state) {
  if (bounds.classes() > most_bit_classes) {
    count_many_classes<Label, T>(labels, prob, bounds.of<T>(), compat, first, last, state);
    return;
  }
  few_class_counter<Label, T> counter(labels, prob, bounds.of<T>(), compat);
  counter.count(first, last);
  counter.merge_into(state);
}

}  // namespace weakly::inline v0::detail
