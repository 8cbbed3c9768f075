// SPDX-License-Identifier: MIT
#include <weakly/core/row_access.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <numeric>
#include <vector>

using weakly::index_t;
using weakly::detail::row_blocks;
using weakly::detail::row_sink;
using weakly::detail::row_source;

TEST_CASE_TEMPLATE("row_source reads any storage and stride as numbers", S, float, double, weakly::half,
                   weakly::bfloat16) {
  std::vector<S> storage;
  for (int i = 0; i < 60; ++i) storage.push_back(static_cast<S>(static_cast<float>(i)));
  double buffer[60];
  const auto number = [](index_t i) { return static_cast<double>(i); };
  for (const bool by_column : {false, true}) {
    const auto m = by_column ? weakly::view(storage.data(), 6, 10, 1, 6) : weakly::view(storage.data(), 6, 10);
    const row_source<double> source(m);
    const double* const rows = source.rows(1, 3, buffer);
    for (index_t i = 0; i < 3; ++i)
      for (index_t j = 0; j < 10; ++j) CHECK(rows[i * 10 + j] == number(by_column ? j * 6 + i + 1 : (i + 1) * 10 + j));
    const double* const part = source.part(5, 4, 6, buffer);
    for (index_t j = 0; j < 6; ++j) CHECK(part[j] == number(by_column ? (j + 4) * 6 + 5 : 54 + j));
    CHECK(source.at(2, 9) == number(by_column ? 56 : 29));
    CHECK((source.direct(0) != nullptr) == (std::is_same_v<S, double> && !by_column));
  }
}

TEST_CASE_TEMPLATE("row_sink stores what it is given, rounded to what it holds", S, float, double, weakly::half,
                   weakly::bfloat16) {
  std::vector<S> storage(60, static_cast<S>(-1.0f));
  const std::vector<double> rows{1, 2, 3, 4, 5, 1.0 / 3};
  const row_sink<double> sink(weakly::view(storage.data(), 20, 3, 1, 20));
  sink.put_rows(2, 2, rows.data());
  sink.put_part(7, 1, 2, rows.data() + 4);
  CHECK(static_cast<double>(storage[2]) == 1);
  CHECK(static_cast<double>(storage[22]) == 2);
  CHECK(static_cast<double>(storage[43]) ==
        static_cast<double>(static_cast<S>(static_cast<weakly::arithmetic_t<S>>(1.0 / 3))));
  CHECK(static_cast<double>(storage[27]) == 5);
  CHECK(static_cast<double>(storage[7]) == -1);
  CHECK(static_cast<double>(storage[4]) == -1);
  CHECK(sink.rows(0) == nullptr);
}

TEST_CASE("row_sink knows whether it may share memory with rows that are read") {
  std::vector<float> a(100), b(100);
  const row_source<float> source(weakly::view(a.data(), 5, 10));
  CHECK(row_sink<float>(weakly::view(a.data(), 5, 10)).overlaps(source, 5));
  CHECK(row_sink<float>(weakly::view(a.data() + 49, 5, 10)).overlaps(source, 5));
  CHECK_FALSE(row_sink<float>(weakly::view(a.data() + 50, 5, 10))
                  .overlaps(row_source<float>(weakly::view(a.data(), 4, 10)), 4));
  CHECK_FALSE(row_sink<float>(weakly::view(b.data(), 5, 10)).overlaps(source, 5));
  CHECK_FALSE(row_sink<float>().overlaps(source, 5));
}

TEST_CASE("row_blocks reads and writes a row block by block, in place and weighted") {
  std::vector<float> x(1300);
  std::iota(x.begin(), x.end(), 0.0f);
  const row_source<float> source(weakly::view(x.data(), 1, 1300));
  const row_sink<float> sink(weakly::view(x.data(), 1, 1300));
  const row_blocks<float> row(source, sink, 0, 0.5f);
  index_t next = 0;
  double sum = 0;
  row.read([&](index_t column, const float* block, index_t count) {
    CHECK(column == next);
    next += count;
    for (index_t i = 0; i < count; ++i) sum += static_cast<double>(block[i]);
  });
  CHECK(next == 1300);
  CHECK(sum == 1299.0 * 650.0);
  row.write([](index_t, const float* block, index_t count, float* out) {
    for (index_t i = 0; i < count; ++i) out[i] = 4 * block[i];
  });
  bool doubled = true;
  for (std::size_t i = 0; i < x.size(); ++i) doubled &= x[i] == 2 * static_cast<float>(i);
  CHECK(doubled);
}
