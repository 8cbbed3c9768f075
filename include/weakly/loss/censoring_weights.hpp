// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/view.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/loss/detail/column_tiles.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

namespace weakly::inline v0 {

struct censoring_weights_options {
  double least_survival = 0;  ///< the censoring curve is taken to be no lower: bounds the weights by its inverse
  bool normalize = false;     ///< weights add up to n, where any is above zero
};

/// Inverse-probability-of-censoring weights of right-censored times, by the Kaplan-Meier curve S of the censoring:
///
///     S(t) = product over s <= t of (1 - c(s) / (R(s) - d(s)))
///     weight(i) = event(i) / S(just before time(i))
///
/// R(s) counts times >= s, d(s) events and c(s) censorings at s: events come before censorings of the same time. The
/// mean of weight times loss estimates the risk without censoring; weight / n is its gradient by the losses.
///
/// Sorts once, on construction, where all memory is allocated: three numbers a row. O(n log n), then O(n) for each set
/// of weights. Sources: Ausset, Clémençon, Portier, arXiv 1906.01908; Beran (1981) for the conditional curve.
class censoring_weights {
 public:
  /// time   n  finite; negative ones are as good as others      event  n  marks; what is not an event was censored
  /// Throws shape_error, and value_error for a time that is not finite.
  template <real_vector Times, mark_tensor Events>
    requires readable_vector<Events> censoring_weights(const Times& time, const Events& event) {
      const auto t = view(time);
      const auto e = view(event);
      const index_t n = t.extent(0);
      detail::require_extent("censoring_weights: event", e, 0, n);
      for (index_t i = 0; i < n; ++i)
        if (const auto x = static_cast<double>(t(i)); !(x - x == 0))
          detail::fail<value_error>("censoring_weights: time ", x, " of row ", i, " is not finite");
      rows_.resize(static_cast<std::size_t>(n));
      std::iota(rows_.begin(), rows_.end(), index_t(0));
      const auto earlier = [&](index_t a, index_t b) {
        const auto x = static_cast<double>(t(a)), y = static_cast<double>(t(b));
        return x < y || (x == y && a < b);
      };
      std::sort(rows_.begin(), rows_.end(), earlier);
      for (index_t k = 0; k < n; ++k) {
        const index_t i = rows_[std::size_t(k)];
        event_.push_back(e(i) != 0 ? 1 : 0);
        if (k == 0 || static_cast<double>(t(i)) != static_cast<double>(t(rows_[std::size_t(k - 1)])))
          begins_.push_back(k);
      }
      begins_.push_back(n);
    }

  index_t size() const { return static_cast<index_t>(rows_.size()); }
  /// Bytes of workspace for the form with kernel weights.
  static constexpr std::size_t scratch(index_t n) { return scratch_bytes<double>(n); }

  /// weight  n  written; zero for what was censored, and where S is zero before an event. Throws shape_error and
  /// option_error. Allocates nothing.
  template <writable_vector Weights>
    requires is_real_v<typename view_t<Weights>::value_type>
  void weights(Weights&& weight, const censoring_weights_options& options = {}) const {
    write(
        view(weight), options, [](index_t) { return 1.0; }, [&](index_t end) { return double(size() - end); });
  }

  /// As above conditionally on a query: R, d and c are sums of kernel(i) in place of counts. The weights are not
  /// multiplied by the kernel.
  ///
  /// kernel  n  finite, zero or more, e.g. K((x(i) - x) / h)
  template <real_vector Kernel, writable_vector Weights>
    requires is_real_v<typename view_t<Weights>::value_type>
  void weights(const Kernel& kernel, workspace& memory, Weights&& weight,
               const censoring_weights_options& options = {}) const {
    const auto k = view(kernel);
    const index_t n = size();
    detail::require_extent("censoring_weights: kernel", k, 0, n);
    const auto of = [&](index_t position) { return static_cast<double>(k(rows_[std::size_t(position)])); };
    // Sums from the end: differences of sums from the start would have lost what a narrow kernel leaves there.
    const std::span<double> later = memory.take<double>("censoring_weights: scratch", n);
    double sum = 0;
    for (index_t position = n - 1; position >= 0; --position) {
      const double x = of(position);
      if (!(x >= 0 && x <= std::numeric_limits<double>::max()))
        detail::fail<value_error>("censoring_weights: kernel ", x, " of row ", rows_[std::size_t(position)],
                                  "; kernels are finite and not negative");
      sum += x;
      later[std::size_t(position)] = sum;
    }
    write(view(weight), options, of, [&](index_t end) { return end == n ? 0.0 : later[std::size_t(end)]; });
  }

 private:
  // mass(position) is what a row counts, later(position) what those from there on count together.
  template <class T, class Mass, class Later>
  void write(const vector_view<T>& weight, const censoring_weights_options& options, const Mass& mass,
             const Later& later) const {
    detail::require_extent("censoring_weights: weight", weight, 0, size());
    if (!(options.least_survival >= 0 && options.least_survival <= 1))
      detail::fail<option_error>("censoring_weights: least_survival ", options.least_survival, " is outside [0, 1]");
    const double scale = options.normalize ? normalizer(options, mass, later) : 1.0;
    walk(options, mass, later,
         [&](index_t row, double w) { weight(row) = T(static_cast<arithmetic_t<T>>(scale * w)); });
  }

  template <class Mass, class Later>
  double normalizer(const censoring_weights_options& options, const Mass& mass, const Later& later) const {
    double total = 0;
    walk(options, mass, later, [&](index_t, double w) { total += w; });
    return total > 0 ? double(size()) / total : 1.0;
  }

  // f(row, weight) in order of time. With events first, 1 - c / (R - d) is later / (later + c), without a difference.
  template <class Mass, class Later, class F>
  void walk(const censoring_weights_options& options, const Mass& mass, const Later& later, const F& f) const {
    double survival = 1;
    for (std::size_t g = 0; g + 1 < begins_.size(); ++g) {
      const double bounded = std::max(survival, options.least_survival);
      double censored = 0;
      for (index_t position = begins_[g]; position < begins_[g + 1]; ++position) {
        const bool is_event = event_[std::size_t(position)] != 0;
        if (!is_event) censored += mass(position);
        f(rows_[std::size_t(position)], is_event && bounded > 0 ? 1 / bounded : 0.0);
      }
      const double after = later(begins_[g + 1]);
      if (censored > 0) survival *= after / (after + censored);
    }
  }

  std::vector<index_t> rows_;         // by time, equal times by row
  std::vector<unsigned char> event_;  // in that order
  std::vector<index_t> begins_;       // positions where another time begins, and n
};

}  // namespace weakly::inline v0
