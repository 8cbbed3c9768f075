// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace weakly::inline v0 {

namespace detail {

template <class X>
concept mask_matrix = readable_matrix<X> && on_host<X> && std::is_integral_v<typename input_view_t<X>::value_type>;

}  // namespace detail

/// Sets of candidate labels, one for each row of a batch, read where they lie: made by candidate_masks, candidate_bits
/// or candidate_lists, none of which converts anything. A set may be full (nothing is known) or a singleton (the label
/// is); an empty one is an impossible observation, unless sets are noisy (set_likelihood). Holds views.
class candidate_sets {
 public:
  index_t rows() const { return rows_; }
  index_t classes() const { return classes_; }

  /// Labels in all lists together, a slot for each; -1 where the sets are no lists.
  index_t slots() const { return list_size_; }
  /// Where the list of a row begins, and behind the last where it ends, as it is: the row need not be valid. Throws
  /// shape_error where the sets are no lists.
  std::uint64_t slot(index_t row) const { return slot_(*this, row); }
  /// The labels of slots [slot, slot + count). Throws shape_error where the sets are no lists.
  void labels(index_t slot, index_t count, index_t* to) const { labels_(*this, slot, count, to); }

  /// Whether the set of a row is well formed: for lists, offsets that run forward within the list, and labels in
  /// [0, k), ascending, none twice; for bits, none beyond k. Masks always are. O(size of the row).
  bool valid(index_t row) const { return valid_(*this, row); }

  /// marks[(row - first) k + j] = 1 where label j belongs to the set of `row`, else 0, for `rows` rows from `first` on;
  /// the elements up to a multiple of four are overwritten. A row that is not valid has no labels and is reported.
  template <class T>
  void marks_of_rows(index_t first, index_t rows, T* marks, status& malformed) const {
    if constexpr (std::is_same_v<T, float>)
      single_rows_(*this, first, rows, marks, malformed);
    else
      wide_rows_(*this, first, rows, marks, malformed);
  }

  /// marks[j] = 1 where label column + j belongs to the set of `row`, else 0. The row must be valid.
  template <class T>
  void marks(index_t row, index_t column, index_t count, T* marks) const {
    if constexpr (std::is_same_v<T, float>)
      single_(*this, row, column, count, marks);
    else
      wide_(*this, row, column, count, marks);
  }

 private:
  template <class M>
  friend candidate_sets candidate_masks(const M& mask);
  template <class W>
  friend candidate_sets candidate_bits(const W& words, index_t classes);
  template <class O, class L>
  friend candidate_sets candidate_lists(const O& offsets, const L& labels, index_t classes);

  [[noreturn]] static void no_lists(const char* what) {
    detail::fail<shape_error>("candidate_sets::", what,
                              ": the sets are masks or bits, which have no slots; pass candidate_lists");
  }

  template <class Source>
  void read_with() {
    valid_ = &Source::valid;
    single_ = &Source::template marks<float>;
    wide_ = &Source::template marks<double>;
    single_rows_ = &rows_of<Source, float>;
    wide_rows_ = &rows_of<Source, double>;
  }

  template <class Source, class T>
  static void rows_of(const candidate_sets& s, index_t first, index_t rows, T* out, status& malformed) {
    if constexpr (Source::may_be_flat) {
      if (s.column_stride_ == 1 && s.row_stride_ == s.classes_) {
        Source::marks(s, first, 0, rows * s.classes_, out);
        return;
      }
    }
    if constexpr (Source::has_few) {
      if (s.classes_ <= 4) return Source::template few<1>(s, first, rows, out, malformed);
      if (s.classes_ <= 8) return Source::template few<2>(s, first, rows, out, malformed);
      if (s.classes_ <= 12) return Source::template few<3>(s, first, rows, out, malformed);
      if (s.classes_ <= 16) return Source::template few<4>(s, first, rows, out, malformed);
    }
    for (index_t row = first; row < first + rows; ++row, out += s.classes_) {
      if (Source::valid(s, row)) {
        Source::marks_of_row(s, row, out);
      } else {
        std::fill_n(out, s.classes_, T(0));
        malformed.report(row);
      }
    }
  }

  template <class Mark>
  struct mask_source {
    static constexpr bool may_be_flat = true;
    static constexpr bool has_few = false;
    static bool valid(const candidate_sets&, index_t) { return true; }
    template <class T>
    static void marks_of_row(const candidate_sets& s, index_t row, T* out) {
      marks(s, row, 0, s.classes_, out);
    }
    template <class T>
    static void marks(const candidate_sets& s, index_t row, index_t column, index_t count, T* out) {
      const Mark* const mark = static_cast<const Mark*>(s.data_) + row * s.row_stride_ + column * s.column_stride_;
      index_t j = 0;
      if (s.column_stride_ == 1)
        for (; j + 32 <= count; j += 32) {
          simd::prefetch(mark + j + 2048);
          for (index_t i = 0; i < 32; ++i) out[j + i] = mark[j + i] != Mark(0) ? T(1) : T(0);
        }
      for (; j < count; ++j) out[j] = mark[j * s.column_stride_] != Mark(0) ? T(1) : T(0);
    }
  };

  // The marks of four bits.
  template <class T>
  struct four_bits {
    T marks[16][4];
    constexpr four_bits() : marks{} {
      for (unsigned bits = 0; bits < 16; ++bits)
        for (unsigned b = 0; b < 4; ++b) marks[bits][b] = static_cast<T>((bits >> b) & 1u);
    }
  };

  struct bit_source {
    static constexpr bool may_be_flat = false;
    static constexpr bool has_few = true;
    // Rows of so few classes that what is done once a row counts.
    template <int Fours, class T>
    static void few(const candidate_sets& s, index_t first, index_t rows, T* out, status& malformed) {
      static constexpr four_bits<T> table{};
      const std::uint64_t* const words = static_cast<const std::uint64_t*>(s.data_);
      const index_t stride = s.row_stride_, k = s.classes_;
      for (index_t row = first; row < first + rows; ++row, out += k) {
        std::uint64_t bits = words[row * stride];
        if (bits >> k != 0) {
          malformed.report(row);
          bits = 0;
        }
        for (int four = 0; four < Fours; ++four) std::copy_n(table.marks[(bits >> 4 * four) & 15u], 4, out + 4 * four);
      }
    }
    static std::uint64_t word(const candidate_sets& s, index_t row, index_t w) {
      return static_cast<const std::uint64_t*>(s.data_)[row * s.row_stride_ + w * s.column_stride_];
    }
    static bool valid(const candidate_sets& s, index_t row) {
      const index_t last = s.classes_ % 64;
      return last == 0 || word(s, row, s.classes_ / 64) >> last == 0;
    }
    template <class T>
    static void marks_of_row(const candidate_sets& s, index_t row, T* out) {
      static constexpr four_bits<T> table{};
      for (index_t first = 0; first < s.classes_; first += 64) {
        const std::uint64_t bits = word(s, row, first / 64);
        const index_t some = std::min<index_t>(64, s.classes_ - first);
        for (index_t b = 0; b < some; b += 4) std::copy_n(table.marks[(bits >> b) & 15u], 4, out + first + b);
      }
    }
    template <class T>
    static void marks(const candidate_sets& s, index_t row, index_t column, index_t count, T* out) {
      static constexpr four_bits<T> table{};
      for (index_t j = 0; j < count;) {
        const index_t at = column + j, shift = at % 64, some = std::min(64 - shift, count - j);
        const std::uint64_t bits = word(s, row, at / 64) >> shift;
        index_t b = 0;
        for (; b + 4 <= some; b += 4) std::copy_n(table.marks[(bits >> b) & 15u], 4, out + j + b);
        if (b < some) std::copy_n(table.marks[(bits >> b) & 15u], some - b, out + j + b);
        j += some;
      }
    }
  };

  template <class Offset, class Label>
  struct list_source {
    static constexpr bool may_be_flat = false;
    static constexpr bool has_few = false;
    static std::uint64_t offset(const candidate_sets& s, index_t row) {
      return static_cast<std::uint64_t>(static_cast<const Offset*>(s.offsets_)[row * s.row_stride_]);
    }
    static Label label(const candidate_sets& s, std::uint64_t at) {
      return static_cast<const Label*>(s.data_)[static_cast<index_t>(at) * s.column_stride_];
    }
    static bool valid(const candidate_sets& s, index_t row) {
      const std::uint64_t first = offset(s, row), last = offset(s, row + 1);
      if (first > last || last > static_cast<std::uint64_t>(s.list_size_)) return false;
      for (std::uint64_t i = first; i < last; ++i) {
        if (static_cast<std::uint64_t>(label(s, i)) >= static_cast<std::uint64_t>(s.classes_)) return false;
        if (i > first && !(label(s, i - 1) < label(s, i))) return false;
      }
      return true;
    }
    static void labels(const candidate_sets& s, index_t slot, index_t count, index_t* to) {
      const Label* const from = static_cast<const Label*>(s.data_) + slot * s.column_stride_;
      for (index_t i = 0; i < count; ++i) to[i] = static_cast<index_t>(from[i * s.column_stride_]);
    }
    template <class T>
    static void marks_of_row(const candidate_sets& s, index_t row, T* out) {
      marks(s, row, 0, s.classes_, out);
    }
    template <class T>
    static void marks(const candidate_sets& s, index_t row, index_t column, index_t count, T* out) {
      std::fill_n(out, count, T(0));
      for (std::uint64_t i = offset(s, row); i < offset(s, row + 1); ++i) {
        const index_t at = static_cast<index_t>(label(s, i)) - column;
        if (at >= 0 && at < count) out[at] = 1;
      }
    }
  };

  const void* data_ = nullptr;
  const void* offsets_ = nullptr;
  index_t row_stride_ = 0;
  index_t column_stride_ = 0;
  index_t list_size_ = -1;
  index_t rows_ = 0;
  index_t classes_ = 0;
  bool (*valid_)(const candidate_sets&, index_t) = nullptr;
  std::uint64_t (*slot_)(const candidate_sets&, index_t) = [](const candidate_sets&, index_t) -> std::uint64_t {
    no_lists("slot");
  };
  void (*labels_)(const candidate_sets&, index_t, index_t, index_t*) = [](const candidate_sets&, index_t, index_t,
                                                                          index_t*) { no_lists("labels"); };
  void (*single_)(const candidate_sets&, index_t, index_t, index_t, float*) = nullptr;
  void (*wide_)(const candidate_sets&, index_t, index_t, index_t, double*) = nullptr;
  void (*single_rows_)(const candidate_sets&, index_t, index_t, float*, status&) = nullptr;
  void (*wide_rows_)(const candidate_sets&, index_t, index_t, double*, status&) = nullptr;
};

// The functions below keep views and copy nothing: O(1), no allocation. All forms of the same sets give the same bits
// wherever they are read.

/// mask  n x k  integers or bools: label j is a candidate of row i where mask(i, j) is not zero. Best where sets hold
/// an eighth of the labels or more. O(k) to read a row.
template <class M>
candidate_sets candidate_masks(const M& mask) {
  static_assert(detail::mask_matrix<M>, "a mask is an n x k matrix of integers or bools");
  const auto v = view(mask);
  candidate_sets s;
  s.data_ = v.data();
  s.rows_ = v.extent(0);
  s.classes_ = v.extent(1);
  s.row_stride_ = v.stride(0);
  s.column_stride_ = v.stride(1);
  s.template read_with<candidate_sets::mask_source<typename decltype(v)::value_type>>();
  return s;
}

/// words  n x ceil(k / 64)  64-bit unsigned: label j is a candidate where bit j % 64 of word j / 64 is set. Bits beyond
/// k are zero, which is checked when a row is read. Throws shape_error for another number of words. O(k) to read a row.
template <class W>
candidate_sets candidate_bits(const W& words, index_t classes) {
  static_assert(readable_matrix<W> && on_host<W> && sizeof(typename detail::input_view_t<W>::value_type) == 8 &&
                    std::is_unsigned_v<typename detail::input_view_t<W>::value_type>,
                "bits are an n x ceil(k / 64) matrix of 64-bit unsigned words");
  const auto v = view(words);
  detail::require_extent("candidate_bits: words", v, 1, (classes + 63) / 64);
  candidate_sets s;
  s.data_ = v.data();
  s.rows_ = v.extent(0);
  s.classes_ = classes;
  s.row_stride_ = v.stride(0);
  s.column_stride_ = v.stride(1);
  s.read_with<candidate_sets::bit_source>();
  return s;
}

/// Compressed rows: the candidates of row i are labels(offsets(i)), ..., labels(offsets(i + 1) - 1), ascending.
///
/// offsets  n + 1  integers      labels  as many as offsets(n) says      k  classes
///
/// Throws shape_error for no offsets. What the rows hold is checked when they are read; O(k + labels) for a row of
/// marks, O(labels) for the labels themselves.
template <class O, class L>
candidate_sets candidate_lists(const O& offsets, const L& labels, index_t classes) {
  static_assert(readable_vector<O> && readable_vector<L> && on_host<O> && on_host<L> &&
                    std::is_integral_v<typename detail::input_view_t<O>::value_type> &&
                    std::is_integral_v<typename detail::input_view_t<L>::value_type>,
                "lists are a vector of integer offsets and a vector of integer labels");
  const auto o = view(offsets);
  const auto l = view(labels);
  if (o.extent(0) < 1) detail::fail<shape_error>("candidate_lists: offsets is empty; n rows need n + 1 offsets");
  candidate_sets s;
  s.data_ = l.data();
  s.offsets_ = o.data();
  s.rows_ = o.extent(0) - 1;
  s.classes_ = classes;
  s.row_stride_ = o.stride(0);
  s.column_stride_ = l.stride(0);
  s.list_size_ = l.extent(0);
  using source = candidate_sets::list_source<typename decltype(o)::value_type, typename decltype(l)::value_type>;
  s.template read_with<source>();
  s.slot_ = &source::offset;
  s.labels_ = &source::labels;
  return s;
}

}  // namespace weakly::inline v0
