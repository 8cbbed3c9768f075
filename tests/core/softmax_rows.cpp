// SPDX-License-Identifier: MIT
#include "sanitizer.hpp"

#include <weakly/core/softmax_rows.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

using weakly::index_t;
namespace detail = weakly::detail;

namespace {

template <class T>
struct scene {
  index_t n, k;
  std::vector<T> logits, margins;
  std::vector<index_t> label;

  scene(index_t rows, index_t classes, double scale, index_t margin_rows) : n(rows), k(classes) {
    std::mt19937 random(7);
    std::normal_distribution<double> logit(0, scale);
    for (index_t i = 0; i < n * k; ++i) logits.push_back(static_cast<T>(logit(random)));
    for (index_t i = 0; i < margin_rows * k; ++i) margins.push_back(static_cast<T>(random() % 100) / T(50));
    for (index_t i = 0; i < n; ++i) label.push_back(static_cast<index_t>(random() % static_cast<unsigned>(k)));
  }

  // -log of the label's probability.
  long double plain(const detail::softmax_scores<T>& s, index_t i) const {
    const index_t y = label[static_cast<std::size_t>(i)];
    const auto delta = [&](index_t j) {
      long double c = 0;
      const auto margin = [&](index_t row, index_t column) {
        return static_cast<long double>(margins[static_cast<std::size_t>(row * k + column)]);
      };
      switch (s.kind) {
        case detail::margin_of::none:
          break;
        case detail::margin_of::all:
          c = j == y ? 0 : static_cast<long double>(s.margin);
          break;
        case detail::margin_of::label:
          c = j == y ? 0 : margin(0, y);
          break;
        case detail::margin_of::column:
          c = j == y ? 0 : margin(0, j);
          break;
        case detail::margin_of::column_and_label:
          c = margin(0, j);
          break;
        case detail::margin_of::label_column:
          c = margin(y, j);
          break;
        case detail::margin_of::row:
          c = margin(i, j);
          break;
      }
      return (static_cast<long double>(logits[static_cast<std::size_t>(i * k + j)]) -
              static_cast<long double>(logits[static_cast<std::size_t>(i * k + y)]) + c) /
             static_cast<long double>(s.temperature);
    };
    long double top = delta(0), sum = 0;
    for (index_t j = 0; j < k; ++j) top = std::max(top, delta(j));
    for (index_t j = 0; j < k; ++j) sum += std::exp(delta(j) - top);
    return top + std::log(sum) - delta(y);
  }
};

template <class T>
long double cross_entropy(T others, T label, T top, T label_margin, T temperature) {
  return (static_cast<long double>(top) - static_cast<long double>(label_margin)) /
             static_cast<long double>(temperature) +
         (top == T(0) ? std::log1p(static_cast<long double>(others) / static_cast<long double>(label))
                      : std::log(static_cast<long double>(others) + static_cast<long double>(label)));
}

}  // namespace

TEST_CASE_TEMPLATE("tiles and rows sum the exponentials of every kind of margin, temperature and size of score", T,
                   float, double) {
  using kinds = detail::margin_of;
  for (const index_t k : {index_t(2), index_t(10), index_t(100), index_t(256), index_t(700)})
    for (const double scale : {1.0, 3.0, 500.0})
      for (const auto kind : {kinds::none, kinds::all, kinds::label, kinds::column, kinds::column_and_label,
                              kinds::label_column, kinds::row})
        for (const T temperature : {T(1), T(0.1), T(5)}) {
          if (support::sanitized && ((temperature == T(5)) != (scale == 3) || (k > 10 && scale == 1))) continue;
          CAPTURE(k);
          CAPTURE(scale);
          CAPTURE(int(kind));
          CAPTURE(temperature);
          const scene<T> in(11, k, scale, kind == kinds::label_column ? k : kind == kinds::row ? 11 : 1);
          detail::softmax_scores<T> s;
          s.logits = detail::row_source<T>(weakly::view(in.logits.data(), in.n, k));
          s.temperature = temperature;
          s.kind = kind;
          s.margin = T(0.75);
          s.margins = detail::row_source<T>(weakly::view(in.margins.data(), index_t(in.margins.size()) / k, k));

          std::vector<T> room(static_cast<std::size_t>(k + 512)), kept(static_cast<std::size_t>(k));
          detail::softmax_row<T> row(s, room.data());
          detail::softmax_tile<T> tile(s);
          if (k <= detail::softmax_tile<T>::longest_row) {
            const index_t rows = std::min(in.n, detail::softmax_tile<T>::rows_for(k));
            tile.fill(0, rows, in.label.data(), false, [] {});
          }
          for (index_t i = 0; i < std::min(in.n, detail::softmax_tile<T>::rows_for(k)); ++i) {
            const index_t y = in.label[static_cast<std::size_t>(i)];
            const double want = static_cast<double>(in.plain(s, i));
            const double tolerance = (sizeof(T) == 4 ? 4e-6 : 1e-14) * std::max(1.0, scale / double(temperature));
            // Of column_and_label the label's margin is in the origin already.
            const T own = s.kind == kinds::column_and_label ? T(0) : s.label_margin(i, y);
            const auto sums = row.fill(i, y, false, [] {});
            // Where no maximum was taken out, e(y) has the margin of the label in it.
            const T own_of_row = sums.top == T(0) ? T(0) : own;
            CHECK(std::abs(double(cross_entropy(sums.others, sums.label, sums.top, own_of_row, temperature)) - want) <=
                  tolerance);
            if (k > detail::softmax_tile<T>::longest_row) continue;
            const auto r = static_cast<std::size_t>(i);
            const T own_of_tile = tile.top[r] == T(0) ? T(0) : own;
            CHECK(std::abs(double(cross_entropy(tile.others[r], tile.label[r], tile.top[r], own_of_tile, temperature)) -
                           want) <= tolerance);
            // The kept exponentials, with the factor, sum to `others`; the label's is zero.
            double sum = 0;
            for (index_t j = 0; j < k; ++j) sum += double(tile.exps[i * k + j]);
            CHECK(tile.exps[i * k + y] == T(0));
            CHECK(sum * double(tile.factor[r]) == doctest::Approx(double(tile.others[r])).epsilon(1e-5));
          }
        }
}
