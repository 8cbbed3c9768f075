// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/noise/rank_issues.hpp>

#include "labels.hpp"
#include "result.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

namespace label_audit {

/// Average precision of a ranking that is too long to keep: the mean, over the flipped rows, of the share of flipped
/// rows among all rows up to and including it. The order is that of the issues.
///
/// Two passes over the scores: `note` collects those of the flipped rows, `count` finds each one's rank among all rows
/// by the interval that every row falls into. Memory: 24 bytes a flipped row.
class average_precision {
 public:
  explicit average_precision(std::span<const index_t> flipped) : flipped_(flipped) {}

  /// The scores of rows first, first + 1, ...: to be called for all rows in order.
  void note(index_t first, std::span<const double> score) {
    const auto last = first + static_cast<index_t>(score.size());
    for (; next_ < flipped_.size() && flipped_[next_] < last; ++next_)
      keys_.push_back({score[static_cast<std::size_t>(flipped_[next_] - first)], flipped_[next_]});
    if (next_ == flipped_.size()) {
      std::sort(keys_.begin(), keys_.end());
      before_.assign(keys_.size() + 1, 0);
    }
  }

  /// The same scores a second time.
  void count(index_t first, std::span<const double> score) {
    for (std::size_t i = 0; i < score.size(); ++i) {
      const key mine{score[i], first + static_cast<index_t>(i)};
      ++before_[static_cast<std::size_t>(std::lower_bound(keys_.begin(), keys_.end(), mine) - keys_.begin())];
    }
  }

  double finish() const {
    double sum = 0;
    index_t rank = 0;
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      rank += before_[i];  // rows up to and including the i-th flipped one
      sum += static_cast<double>(i + 1) / static_cast<double>(rank);
    }
    return keys_.empty() ? std::numeric_limits<double>::quiet_NaN() : sum / static_cast<double>(keys_.size());
  }

 private:
  struct key {
    double score;
    index_t row;
    friend bool operator<(const key& a, const key& b) {
      return weakly::is_more_suspicious(a.score, a.row, b.score, b.row);
    }
  };

  std::span<const index_t> flipped_;
  std::size_t next_ = 0;
  std::vector<key> keys_;
  std::vector<index_t> before_;
};

/// How many of the issues are flipped rows.
inline index_t hits(std::span<const issue> issues, std::span<const index_t> flipped) {
  return static_cast<index_t>(std::count_if(issues.begin(), issues.end(), [&](const issue& i) {
    return std::binary_search(flipped.begin(), flipped.end(), i.row());
  }));
}

}  // namespace label_audit
