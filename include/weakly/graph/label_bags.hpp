// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/bags.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace weakly::inline v0 {

/// Bags of items, of each of which the number of positives is known: label proportions. Checked once, so that what
/// takes bags need not.
class label_bags {
 public:
  /// items             n, of which some may be in no bag
  /// bag_begin  m + 1  bag b holds bag_item(bag_begin(b)), ..., bag_item(bag_begin(b + 1) - 1)
  /// bag_item          numbers in [0, n), none twice; left out, bags hold consecutive items from 0 on
  /// count      m      positives of each bag, from 0 to its size
  ///
  /// Integers of any width, copied. Throws shape_error where offsets or lengths do not fit; value_error for an empty
  /// bag, a count outside [0, size], an item outside [0, n) or in two bags. O(n).
  template <label_vector Begin, label_vector Item, label_vector Count>
  label_bags(index_t items, const Begin& bag_begin, const Item& bag_item, const Count& count) {
    const detail::bag_offsets offsets("label_bags", bag_begin, view(bag_item).extent(0));
    const detail::integer_source item(view(bag_item));
    fill(items, offsets, detail::integer_source(view(count)), [&](index_t e) { return item[e]; });
  }
  template <label_vector Begin, label_vector Count>
  label_bags(index_t items, const Begin& bag_begin, const Count& count) {
    const auto begin = view(bag_begin);
    const index_t last = begin.extent(0) > 0 ? detail::integer_source(begin)[begin.extent(0) - 1] : 0;
    const detail::bag_offsets offsets("label_bags", bag_begin,
                                      std::clamp(last, index_t(0), std::max(index_t(0), items)));
    fill(items, offsets, detail::integer_source(view(count)), [](index_t e) { return e; });
  }

  index_t items() const { return static_cast<index_t>(bag_of_.size()); }
  index_t bags() const { return static_cast<index_t>(count_.size()); }
  index_t longest() const { return longest_; }
  index_t size(index_t bag) const { return begin_[at(bag) + 1] - begin_[at(bag)]; }
  index_t count(index_t bag) const { return count_[at(bag)]; }
  std::span<const std::int32_t> members(index_t bag) const {
    return std::span<const std::int32_t>(item_).subspan(at(begin_[at(bag)]), at(size(bag)));
  }
  /// The bag of an item, or -1.
  index_t bag_of(index_t item) const { return bag_of_[at(item)]; }

 private:
  static std::size_t at(index_t i) { return static_cast<std::size_t>(i); }

  template <class ItemAt>
  void fill(index_t items, const detail::bag_offsets& offsets, const detail::integer_source& count, ItemAt item_at) {
    constexpr auto most = std::numeric_limits<std::int32_t>::max();
    if (items < 0 || items > most) detail::fail<value_error>("label_bags: ", items, " items; there are 0 to ", most);
    const index_t m = offsets.bags();
    if (count.size() != m)
      detail::fail<shape_error>("label_bags: ", count.size(), " counts for ", m, " bags; give one for each");
    bag_of_.assign(at(items), -1);
    begin_.reserve(at(m) + 1);
    begin_.push_back(0);
    count_.reserve(at(m));
    for (index_t b = 0; b < m; ++b) {
      const index_t size = offsets.size(b), c = count[b];
      if (size == 0) detail::fail<value_error>("label_bags: bag ", b, " is empty; leave it out");
      if (c < 0 || c > size)
        detail::fail<value_error>("label_bags: bag ", b, " of ", size, " items has ", c, " positives; there are 0 to ",
                                  size);
      for (index_t e = offsets.first(b); e < offsets.first(b) + size; ++e) {
        const index_t i = item_at(e);
        if (i < 0 || i >= items)
          detail::fail<value_error>("label_bags: item ", i, " of bag ", b, " is outside [0, ", items, ")");
        if (bag_of_[at(i)] >= 0)
          detail::fail<value_error>("label_bags: item ", i, " is in bag ", index_t(bag_of_[at(i)]), " and in bag ", b,
                                    "; an item is in one bag at most");
        bag_of_[at(i)] = static_cast<std::int32_t>(b);
        item_.push_back(static_cast<std::int32_t>(i));
      }
      begin_.push_back(static_cast<index_t>(item_.size()));
      count_.push_back(c);
      longest_ = std::max(longest_, size);
    }
  }

  std::vector<index_t> begin_, count_;
  std::vector<std::int32_t> item_, bag_of_;
  index_t longest_ = 0;
};

}  // namespace weakly::inline v0
