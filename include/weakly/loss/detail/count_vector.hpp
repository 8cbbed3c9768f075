// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/view.hpp>

#include <cmath>
#include <string_view>
#include <type_traits>
#include <vector>

namespace weakly::inline v0 {

/// k numbers on the host, integers or reals: how many examples each class has, or its share.
template <class X>
concept count_vector = readable_vector<X> && on_host<X> &&
    (std::is_integral_v<typename detail::input_view_t<X>::value_type> ||
     is_real_v<typename detail::input_view_t<X>::value_type>);

namespace detail {

template <class Counts>
std::vector<double> counts_as_double(const Counts& counts) {
  const auto v = view(counts);
  std::vector<double> result;
  for (index_t j = 0; j < v.extent(0); ++j) result.push_back(static_cast<double>(v(j)));
  return result;
}

template <class Counts>
std::vector<double> positive_counts(std::string_view function, const Counts& counts) {
  std::vector<double> result = counts_as_double(counts);
  for (std::size_t j = 0; j < result.size(); ++j)
    if (!(result[j] > 0 && std::isfinite(result[j])))
      fail<value_error>(function, ": class ", j, " has ", result[j], "; every class needs a positive finite number");
  return result;
}

}  // namespace detail

}  // namespace weakly::inline v0
