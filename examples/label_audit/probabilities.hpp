// SPDX-License-Identifier: MIT
#pragma once

#include "../command_line/bad_input.hpp"
#include "npy.hpp"
#include "progress.hpp"

#include <weakly/core/executor.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace label_audit {

using command_line::bad_input;
using weakly::index_t;

/// Some of the rows, a bit for each.
using row_set = std::vector<bool>;

/// n rows of k class probabilities, read a few at a time. T is float, double or weakly::half, as they are stored.
template <class T>
class probability_source {
 public:
  virtual ~probability_source() = default;
  virtual index_t rows() const = 0;
  virtual index_t classes() const = 0;
  virtual std::string name() const = 0;
  /// Rows first to first + count - 1 into out, row by row.
  virtual void read(index_t first, index_t count, std::span<T> out) = 0;
};

/// The rows of an .npy file.
template <class T>
class file_probabilities final : public probability_source<T> {
 public:
  explicit file_probabilities(npy::npy_file& file) : file_(file) {}
  index_t rows() const override { return file_.rows(); }
  index_t classes() const override { return file_.cols(); }
  std::string name() const override { return file_.name(); }
  void read(index_t first, index_t count, std::span<T> out) override {
    if constexpr (npy::readable_as<T>) {
      file_.read_rows<T>(first, count, out);
    } else {
      const auto size = static_cast<std::size_t>(count * classes());
      if (wide_.size() < size) wide_.resize(size);
      file_.read_rows<float>(first, count, wide_);
      for (std::size_t i = 0; i < size; ++i) out[i] = T(wide_[i]);  // exact: the file holds this type
    }
  }

 private:
  npy::npy_file& file_;
  std::vector<float> wide_;
};

/// Rows in memory, row-major.
class memory_probabilities final : public probability_source<float> {
 public:
  memory_probabilities(std::string name, index_t classes, std::span<const float> values)
      : name_(std::move(name)), classes_(classes), values_(values) {}
  index_t rows() const override { return static_cast<index_t>(values_.size()) / classes_; }
  index_t classes() const override { return classes_; }
  std::string name() const override { return name_; }
  void read(index_t first, index_t count, std::span<float> out) override {
    std::copy_n(values_.data() + first * classes_, count * classes_, out.data());
  }

 private:
  std::string name_;
  index_t classes_;
  std::span<const float> values_;
};

/// What is demanded of a row.
struct row_rules {
  bool normalise = false;  ///< rows are divided by their sum: entries above 1 and any sum above 0 will do
  bool any_sum = false;    ///< rows need not sum to one
  double slack = 1e-6;     ///< an entry may lie outside [0, 1] by so much

  /// How far a row's sum may be from one: what rounding k entries to T, and adding them in single precision when they
  /// were computed, can leave. A float64 file often holds numbers that were computed in float32.
  template <class T>
  static double sum_tolerance(index_t k) {
    return 1e-6 + 0x1p-24 * static_cast<double>(k) + (std::is_same_v<T, weakly::half> ? 0x1p-9 : 0.0);
  }
};

/// The rows of a source in batches, checked once and then read again as often as needed.
template <class T>
class batches {
 public:
  batches(probability_source<T>& source, row_rules rules, index_t batch_rows, progress& bar)
      : source_(source), rules_(rules), bar_(bar) {
    constexpr index_t bytes = index_t{4} << 20;
    const index_t k = source.classes();
    const index_t row_bytes = k * static_cast<index_t>(sizeof(T));
    const index_t wanted = batch_rows > 0 ? batch_rows : std::max<index_t>(bytes / row_bytes, 1);
    rows_ = std::min(wanted, source.rows());
    buffer_.resize(static_cast<std::size_t>(rows_ * k));
  }

  index_t rows() const { return source_.rows(); }
  index_t classes() const { return source_.classes(); }

  /// f(first row, rows as a view), batch after batch. The first pass over a source calls `check` as well.
  template <weakly::executor Exec, class F>
  void for_each(const char* what, Exec&& exec, bool check, F&& f) {
    for (index_t first = 0; first < rows(); first += rows_) {
      bar_.step(what, first, rows());
      visit(exec, first, std::min(rows_, rows() - first), check, f);
    }
  }

  /// As for_each, but only for batches that hold one of the rows wanted.
  template <weakly::executor Exec, class F>
  void for_each_with(const char* what, Exec&& exec, const row_set& wanted, F&& f) {
    for (index_t first = 0; first < rows(); first += rows_) {
      const index_t count = std::min(rows_, rows() - first);
      if (std::find(wanted.begin() + first, wanted.begin() + first + count, true) == wanted.begin() + first + count)
        continue;
      bar_.step(what, first, rows());
      visit(exec, first, count, false, f);
    }
  }

 private:
  using arithmetic = weakly::arithmetic_t<T>;

  template <class Exec, class F>
  void visit(Exec&& exec, index_t first, index_t count, bool check, F&& f) {
    const std::span<T> out(buffer_.data(), static_cast<std::size_t>(count * classes()));
    source_.read(first, count, out);
    const weakly::matrix_view<T> p = weakly::view(out.data(), count, classes());
    if (check || rules_.normalise) prepare(exec, first, p, check);
    f(first, weakly::matrix_view<const T>(p));
  }

  template <class Exec>
  void prepare(Exec&& exec, index_t first, const weakly::matrix_view<T>& p, bool check) {
    const index_t k = classes();
    const double most = rules_.normalise ? std::numeric_limits<double>::max() : 1 + rules_.slack;
    const double tolerance = rules_.sum_tolerance<T>(k);
    weakly::detail::shared_status bad;
    weakly::for_row_chunks(exec, p.extent(0), k, [&](index_t begin, index_t end) {
      weakly::status here = weakly::no_bad_rows();
      for (index_t i = begin; i < end; ++i) {
        T* const row = p.data() + i * k;
        bool good = true;
        double sum = 0;
        for (index_t j = 0; j < k; ++j) {
          const auto x = static_cast<double>(static_cast<arithmetic>(row[j]));
          good &= x >= -rules_.slack && x <= most;  // false for NaN
          sum += rules_.normalise ? std::max(x, 0.0) : x;
        }
        // Where a sum would overflow, the row is divided by its greatest entry first.
        double unit = 1;
        if (rules_.normalise && good && !std::isfinite(sum)) {
          for (index_t j = 0; j < k; ++j) unit = std::max(unit, static_cast<double>(static_cast<arithmetic>(row[j])));
          sum = 0;
          for (index_t j = 0; j < k; ++j)
            sum += std::max(static_cast<double>(static_cast<arithmetic>(row[j])), 0.0) / unit;
        }
        if (rules_.normalise)
          good = good && sum > 0;
        else if (!rules_.any_sum)
          good = good && std::abs(sum - 1) <= tolerance;
        if (!good) here.report(i);
        if (good && rules_.normalise)
          for (index_t j = 0; j < k; ++j) {
            const auto x = static_cast<double>(static_cast<arithmetic>(row[j]));
            row[j] = T(static_cast<arithmetic>(std::max(x, 0.0) / unit / sum));
          }
      }
      bad.merge(here);
    });
    if (check && !bad.load().ok()) refuse(first, p, bad.load().first_bad_row, most);
  }

  [[noreturn]] void refuse(index_t first, const weakly::matrix_view<T>& p, index_t i, double most) const {
    const auto text = [](double x) {
      char buffer[40];
      std::snprintf(buffer, sizeof buffer, "%.9g", x);
      return std::string(buffer);
    };
    const std::string row = source_.name() + ": row " + std::to_string(first + i) + " (from 0)";
    double sum = 0;
    for (index_t j = 0; j < classes(); ++j) {
      const auto x = static_cast<double>(static_cast<arithmetic>(p(i, j)));
      sum += x;
      const std::string entry = row + ", column " + std::to_string(j) + ": " + text(x);
      if (!std::isfinite(x))
        throw bad_input(entry + " is not a probability; predict the row again, or leave it and its label out");
      if (x < -rules_.slack)
        throw bad_input(entry + " is negative; give probabilities (after the softmax), not scores");
      if (x > most)
        throw bad_input(entry + " is above 1; give probabilities, or pass --normalise to divide each row by its sum");
    }
    throw bad_input(row + " sums to " + text(sum) +
                    (sum <= 0 || rules_.normalise
                         ? ", which cannot be normalised; predict the row again, or leave it out"
                         : ", not 1; pass --normalise to divide each row by its sum"));
  }

  probability_source<T>& source_;
  row_rules rules_;
  progress& bar_;
  index_t rows_ = 0;
  std::vector<T> buffer_;
};

}  // namespace label_audit
