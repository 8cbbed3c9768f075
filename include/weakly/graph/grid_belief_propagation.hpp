// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace weakly::inline v0 {

struct grid_belief_propagation_options {
  double damping = 0;       ///< new = (1 - damping) fresh + damping old, of log odds; in [0, 1). 0 and 1/2 are fastest
  double tolerance = 1e-6;  ///< converged when the change is at most this; 0 or more
  index_t max_iterations = 1000;  ///< 0 or more
};

struct grid_belief_propagation_result {
  index_t iterations;
  bool converged;  ///< the last change was within the tolerance; never set because the iterations ran out
  double change;   ///< of the log odds of a message, the greatest of the last iteration
};

namespace detail {

/// What the exponents of ratios may be in T.
template <class T>
struct ratio_range;
template <>
struct ratio_range<float> {
  static constexpr double most = 62;     // what scaled_exp keeps, and products of two stay normal numbers
  static constexpr double certain = 20;  // 1 + exp(-20) is 1
};
template <>
struct ratio_range<double> {
  static constexpr double most = 620;
  static constexpr double certain = 40;
};

/// Messages are ratios P(1) / P(0), fields are ratios and couplings exp(2 J); or all are the logarithms, couplings J.
enum class grid_form : std::uint8_t { ratios, logarithms };
enum class grid_damping : std::uint8_t { none, half, other };

/// The messages that the nodes of one row send, from those of the iteration before. A message lies where it is sent.
/// Elements -1 and those between the width and the end of the row exist and stand for nodes that are not there: their
/// couplings and messages are neutral (1, or the logarithm 0), and stay so exactly.
template <class T>
struct grid_row {
  using batch = simd::batch<T>;

  index_t width;
  const T* field;
  const T* right_coupling;
  const T* down_coupling;
  const T* up_coupling;  // of the row above
  T* right;
  T* left;
  T* up;
  T* down;
  const T* above;  // what the row above sent down
  const T* below;  // what the row below sent up
  T* sent_down;    // takes what this row sent down until now; may be `above`

  struct change {
    T least, greatest;  // of fresh / old, of fresh - old where messages are logarithms
  };

  template <grid_form Form, grid_damping Damping>
  change send(T damping) const {
    constexpr T neutral = Form == grid_form::ratios ? 1 : 0;
    batch least = neutral, greatest = neutral;
    const T keep = T(1) - damping;
    const simd::scaled_exp<T> power(keep);
    const auto join = [](batch a, batch b) { return Form == grid_form::ratios ? a * b : a + b; };
    const auto step_of = [&](const T* coupling, batch cavity, batch old) {
      if constexpr (Form == grid_form::ratios)
        return fresh_over_old(simd::load(coupling), cavity, old);
      else
        return message(simd::load(coupling), cavity) - old;
    };
    batch from_left = simd::load(right - 1);
    for (index_t j = 0; j < width; j += batch::size) {
      const batch from_right = simd::load(left + j + 1), from_above = simd::load(above + j),
                  from_below = simd::load(below + j), node = simd::load(field + j);
      const batch old[] = {simd::load(right + j), simd::load(left + j), simd::load(down + j), simd::load(up + j)};
      const batch vertical = join(node, join(from_above, from_below)),
                  horizontal = join(node, join(from_left, from_right));
      batch step[] = {step_of(right_coupling + j, join(vertical, from_left), old[0]),
                      step_of(right_coupling + j - 1, join(vertical, from_right), old[1]),
                      step_of(down_coupling + j, join(horizontal, from_above), old[2]),
                      step_of(up_coupling + j, join(horizontal, from_below), old[3])};
      from_left = simd::load(right + j + batch::size - 1);  // before it is replaced
      simd::store(sent_down + j, old[2]);
      simd::unroll<4>([&](auto m) {
        least = simd::min(least, step[m]);
        greatest = simd::max(greatest, step[m]);
      });
      if constexpr (Form == grid_form::logarithms) {
        simd::unroll<4>([&](auto m) { step[m] *= keep; });
      } else if constexpr (Damping == grid_damping::half) {
        simd::unroll<4>([&](auto m) { step[m] = simd::sqrt(step[m]); });
      } else if constexpr (Damping == grid_damping::other) {
        simd::unroll<4>([&](auto m) { step[m] = simd::log(step[m]); });
        power.template each<4>(step);
      }
      T* const to[] = {right + j, left + j, down + j, up + j};
      simd::unroll<4>([&](auto m) { simd::store(to[m], join(old[m], step[m])); });
    }
    return {simd::reduce_min(least), simd::reduce_max(greatest)};
  }

 private:
  // One division gives the fresh message and how much it differs.
  WEAKLY_INLINE static batch fresh_over_old(batch coupling, batch cavity, batch old) {
    return simd::fma(coupling, cavity, T(1)) / ((coupling + cavity) * old);
  }
  // 2 atanh(tanh(J) tanh(c / 2)) = +-(min(2 |J|, |c|) + log((1 + exp(-(2 |J| + |c|))) / (1 + exp(-|2 |J| - |c||)))):
  // for an infinite cavity too, and exactly zero without a coupling.
  WEAKLY_INLINE static batch message(batch coupling, batch cavity) {
    constexpr T most = std::numeric_limits<T>::max() / 16;  // so that no difference of two is NaN
    const batch size = simd::min(simd::abs(coupling), most) * T(2), depth = simd::abs(cavity);
    const batch together = T(1) + simd::exp_nonpositive(-(size + depth)),
                apart = T(1) + simd::exp_nonpositive(-simd::abs(size - depth));
    const batch r = simd::min(size, depth) + simd::log(together / apart);
    return simd::select((coupling < batch(T(0))) ^ (cavity < batch(T(0))), -r, r);
  }
};

/// Planes of rows that begin on a line. A row ends in a line of its own that no vector of its elements reaches: what is
/// read before the first element and beyond the last is written by nobody else.
template <class T>
class grid_planes {
 public:
  static constexpr index_t line = simd::line_size<T>;

  grid_planes() = default;
  grid_planes(index_t planes, index_t height, index_t width) : stride_((width + 2 * line - 1) / line * line) {
    // Rows or planes a multiple of 4096 bytes apart would fall into the same few lines of the cache.
    if (stride_ / line % 64 == 0) stride_ += line;
    index_t lines = height * (stride_ / line) + 2;
    lines += (73 - lines % 64) % 64;
    pitch_ = lines * line;
    storage_.resize(static_cast<std::size_t>(planes * lines + 1));
  }

  index_t stride() const { return stride_; }
  /// Rows of a plane are a stride apart. A line before the first and after the last exists.
  T* plane(index_t p) { return storage_.front().element + line + p * pitch_; }
  const T* plane(index_t p) const { return storage_.front().element + line + p * pitch_; }
  /// All of some planes, what lies between them included.
  std::span<T> planes(index_t first, index_t count) {
    return {plane(first) - line, static_cast<std::size_t>(count * pitch_)};
  }

 private:
  struct alignas(64) cache_line {
    T element[std::size_t(line)] = {};
  };
  index_t stride_ = 0, pitch_ = 0;
  std::vector<cache_line> storage_;
};

}  // namespace detail

/// Loopy belief propagation on a grid of binary variables: no index arrays, so that a sweep is as fast as the memory.
///
///     p(x) proportional to exp( sum over nodes of log_odds(i, j) x(i, j)  +  sum over neighbours a, b of +-J_ab )
///
/// where x is 0 or 1, and +J_ab counts where x_a = x_b, -J_ab where they differ: the Ising factors of factor_graph. All
/// messages are sent at once from those of the iteration before (flooding), so that the results are those of
/// belief_propagation with that schedule, but for rounding.
///
/// T is what is stored and computed in, 8 numbers a node: float moves half the bytes, and leaves 1e-7 in log odds
/// (small couplings: absolute, not relative). Messages are ratios of probabilities, without exponentials or logarithms,
/// where no number of the model can leave the range of T: where 2 S and the smaller of |log_odds| and S + 20 (double:
/// 40) add up to no more than 62 (double: 620) at every node, S being twice the sum of its |J|. Otherwise the whole
/// grid is computed in logarithms, some seven times slower; uses_ratios() tells.
///
/// Infinite log odds are evidence: the variable has that state, and its belief is exactly 0 or 1. The state is
/// allocated at construction. Same bits for every executor; a task is 64 Ki messages or 8 rows, whichever is more.
/// Sources: Kschischang, Frey, Loeliger, IEEE Trans. Inf. Theory 2001; Yedidia, Freeman, Weiss, IEEE Trans. Inf. Theory
/// 2005 (Bethe log Z).
template <class T = float>
class grid_belief_propagation {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "grids store float or double");

 public:
  using value_type = T;

  /// No couplings and log odds of zero. Throws shape_error for a negative extent.
  grid_belief_propagation(index_t height, index_t width)
      : height_(height), width_(width), chunks_(height, std::min<index_t>(4 * width, 8192)) {
    if (height < 0 || width < 0)
      detail::fail<shape_error>("grid_belief_propagation: ", height, " x ", width, " nodes; extents are 0 or more");
    planes_ = detail::grid_planes<T>(plane_count, height, width);
    const index_t bands = chunks_.count();
    band_rows_ = detail::grid_planes<T>(1, bands * rows_a_band + 1, width);
    change_.resize(static_cast<std::size_t>(bands));
    set_uniform(seq, {}, 0);
    reset();
  }

  index_t height() const { return height_; }
  index_t width() const { return width_; }
  /// Whether the last model left the messages as ratios.
  bool uses_ratios() const { return ratios_; }

  /// The model. Messages stay, within what the new couplings allow, so that a run starts from where the last one ended;
  /// reset() forgets them.
  ///
  /// log_odds  height x width        of state 1; +-inf where the state is known
  /// right     height x (width - 1)  J between (i, j) and (i, j + 1); or one number for all
  /// down      (height - 1) x width  J between (i, j) and (i + 1, j)
  ///
  /// Throws shape_error; value_error, with row and column, for a NaN, or a coupling that is not finite: nothing has
  /// changed then. O(nodes) exponentials; allocates nothing.
  template <executor Exec, real_matrix LogOdds, real_matrix Right, real_matrix Down>
  void set_model(Exec&& ex, const LogOdds& log_odds, const Right& right, const Down& down) {
    const detail::row_source<T> h = source("log_odds", view(log_odds), height_, width_);
    const detail::row_source<T> r = source("right", view(right), height_, std::max<index_t>(width_ - 1, 0));
    const detail::row_source<T> d = source("down", view(down), std::max<index_t>(height_ - 1, 0), width_);
    require_values(ex, "log_odds", h, height_, width_, std::numeric_limits<T>::infinity());
    require_values(ex, "right", r, height_, width_ - 1, std::numeric_limits<T>::max());
    require_values(ex, "down", d, height_ - 1, width_, std::numeric_limits<T>::max());
    uniform_ = false;
    store_model(ex, h, [&](index_t i) {
      copy_row(r, i, std::max<index_t>(width_ - 1, 0), row(right_coupling, i));
      if (i + 1 < height_) copy_row(d, i, width_, row(down_coupling, i));
    });
  }
  template <executor Exec, real_matrix LogOdds>
  void set_model(Exec&& ex, const LogOdds& log_odds, double coupling) {
    const detail::row_source<T> h = source("log_odds", view(log_odds), height_, width_);
    require_values(ex, "log_odds", h, height_, width_, std::numeric_limits<T>::infinity());
    set_uniform(ex, h, coupling);
  }
  template <real_matrix LogOdds, real_matrix Right, real_matrix Down>
  void set_model(const LogOdds& log_odds, const Right& right, const Down& down) {
    set_model(seq, log_odds, right, down);
  }
  template <real_matrix LogOdds>
  void set_model(const LogOdds& log_odds, double coupling) {
    set_model(seq, log_odds, coupling);
  }

  /// All messages uniform again.
  void reset() {
    const auto all = planes_.planes(sent_right, 4);
    std::fill(all.begin(), all.end(), neutral());
    uniform_messages_ = true;
  }

  /// Iterates until converged or max_iterations. Throws option_error. Allocates for the trace alone.
  template <executor Exec>
  grid_belief_propagation_result run(Exec&& ex, const grid_belief_propagation_options& options = {});
  grid_belief_propagation_result run(const grid_belief_propagation_options& options = {}) { return run(seq, options); }

  /// The change after every iteration of the last run.
  std::span<const double> trace() const { return trace_; }

  /// Belief of state 1, height x width. Throws shape_error.
  template <executor Exec, writable_matrix Out>
  void beliefs(Exec&& ex, Out&& out) const {
    write(ex, "beliefs", view(out), [](batch x) {
      const batch e = simd::exp(-simd::abs(x));
      return simd::select(x < batch(T(0)), e, T(1)) / (T(1) + e);
    });
  }
  template <writable_matrix Out>
  void beliefs(Out&& out) const {
    beliefs(seq, out);
  }
  /// Log odds of the beliefs, +-inf where the state is known. Throws shape_error.
  template <executor Exec, writable_matrix Out>
  void belief_log_odds(Exec&& ex, Out&& out) const {
    write(ex, "belief_log_odds", view(out), [](batch x) { return x; });
  }
  template <writable_matrix Out>
  void belief_log_odds(Out&& out) const {
    belief_log_odds(seq, out);
  }

  /// Bethe approximation of log Z, from the messages: meaningful at a fixed point. A known state counts with weight
  /// one, whatever the sign of its log odds. Sums and products are double. Costs tens of iterations; allocates a row a
  /// task.
  template <executor Exec>
  double log_z(Exec&& ex) const;
  double log_z() const { return log_z(seq); }

 private:
  using batch = simd::batch<T>;
  enum plane : index_t {
    sent_right,
    sent_left,
    sent_up,
    sent_down,
    given_log_odds,
    field,
    right_coupling,
    down_coupling,
    plane_count
  };
  enum band_row : index_t { carried, from_above, from_below = from_above + 2, rows_a_band = from_below + 2 };

  T neutral() const { return ratios_ ? T(1) : T(0); }
  T* row(plane p, index_t i) { return planes_.plane(p) + i * planes_.stride(); }
  const T* row(plane p, index_t i) const { return planes_.plane(p) + i * planes_.stride(); }
  T* scratch_row(index_t band, index_t r) {
    return band_rows_.plane(0) + (band * rows_a_band + r) * band_rows_.stride();
  }
  const T* neutral_row() const { return band_rows_.plane(0) + chunks_.count() * rows_a_band * band_rows_.stride(); }
  const T* right_couplings(index_t i) const { return row(right_coupling, uniform_ ? 0 : i); }
  /// Between rows i and i + 1, one of which may be outside.
  const T* down_couplings(index_t i) const {
    return i < 0 || i + 1 >= height_ ? neutral_row() : row(down_coupling, uniform_ ? 0 : i);
  }
  template <executor Exec, class F>
  void for_bands(Exec&& ex, F&& f) const {
    ex(chunks_.count(), [&](index_t b) { f(b, chunks_.begin(b), chunks_.end(b)); });
  }

  template <class V>
  static detail::row_source<T> source(std::string_view name, const V& v, index_t rows, index_t columns) {
    if (v.extent(0) != rows || v.extent(1) != columns)
      detail::fail<shape_error>("grid_belief_propagation::set_model: ", name, " has shape ", detail::shape_text(v),
                                "; it must be ", rows, " x ", columns);
    return detail::row_source<T>(v);
  }
  // Beyond `count` a row is zero: a coupling without an effect.
  void copy_row(const detail::row_source<T>& from, index_t i, index_t count, T* to) const {
    if (!from.empty() && count > 0) {
      const T* const x = from.part(i, 0, count, to);
      if (x != to) std::copy_n(x, count, to);
    }
    std::fill(to + (from.empty() ? 0 : count), to + planes_.stride(), T(0));
  }
  template <executor Exec>
  static void require_values(Exec&& ex, std::string_view name, const detail::row_source<T>& from, index_t rows,
                             index_t columns, T most) {
    detail::shared_status bad;
    const auto first_bad = [&](index_t i) {
      T buffer[std::size_t(part)];
      for (index_t j = 0; j < columns; j += part) {
        const index_t count = std::min(part, columns - j);
        const T* const x = from.part(i, j, count, buffer);
        for (index_t e = 0; e < count; ++e)
          if (!(std::abs(x[e]) <= most)) return j + e;
      }
      return columns;
    };
    for_row_chunks(ex, rows, std::max<index_t>(columns, 1), [&](index_t first, index_t last) {
      for (index_t i = first; i < last; ++i)
        if (first_bad(i) < columns) bad.merge({i, 1});
    });
    if (const status s = bad.load(); !s.ok()) {
      const index_t j = first_bad(s.first_bad_row);
      detail::fail<value_error>("grid_belief_propagation::set_model: ", name, " is ",
                                double(from.at(s.first_bad_row, j)), " at row ", s.first_bad_row, ", column ", j,
                                "; it must be ",
                                most < std::numeric_limits<T>::infinity() ? "finite" : "a number or infinite");
    }
  }

  template <executor Exec>
  void set_uniform(Exec&& ex, const detail::row_source<T>& h, double coupling) {
    const T j = static_cast<T>(coupling);
    if (!std::isfinite(j))
      detail::fail<value_error>("grid_belief_propagation::set_model: the coupling is ", coupling,
                                "; it must be finite");
    uniform_ = true;
    store_model(ex, h, [&](index_t i) {
      if (i != 0) return;
      const auto fill = [&](plane p, index_t count) {
        std::fill(row(p, 0), row(p, 0) + count, j);
        std::fill(row(p, 0) + count, row(p, 0) + planes_.stride(), T(0));
      };
      fill(right_coupling, std::max<index_t>(width_ - 1, 0));
      fill(down_coupling, width_);
    });
  }

  /// Twice the sum of |J| around a node, from couplings that are not ratios.
  double strength(index_t i, index_t j) const {
    const T *const across = right_couplings(i), *const above = down_couplings(i - 1), *const below = down_couplings(i);
    return 2 * (std::abs(double(across[j - 1])) + std::abs(double(across[j])) + std::abs(double(above[j])) +
                std::abs(double(below[j])));
  }

  template <executor Exec, class CouplingRow>
  void store_model(Exec&& ex, const detail::row_source<T>& h, CouplingRow&& write_couplings);
  void keep_messages(index_t i, bool were_ratios);
  void turn_into_ratios(T* x, T factor) const {
    for (index_t j = 0; j < planes_.stride(); j += batch::size)
      simd::store(x + j, simd::exp(simd::load(x + j) * factor));
  }

  detail::grid_row<T> row_of(index_t i) {
    return {.width = width_,
            .field = ratios_ ? row(field, i) : row(given_log_odds, i),
            .right_coupling = right_couplings(i),
            .down_coupling = down_couplings(i),
            .up_coupling = down_couplings(i - 1),
            .right = row(sent_right, i),
            .left = row(sent_left, i),
            .up = row(sent_up, i),
            .down = row(sent_down, i),
            .above = nullptr,
            .below = nullptr,
            .sent_down = nullptr};
  }
  using change = typename detail::grid_row<T>::change;
  change send(const detail::grid_row<T>& r, T damping) const {
    using detail::grid_damping, detail::grid_form;
    if (!ratios_) return r.template send<grid_form::logarithms, grid_damping::other>(damping);
    if (damping == T(0)) return r.template send<grid_form::ratios, grid_damping::none>(damping);
    if (damping == T(0.5)) return r.template send<grid_form::ratios, grid_damping::half>(damping);
    return r.template send<grid_form::ratios, grid_damping::other>(damping);
  }
  change send_band(index_t band, index_t first, index_t last, index_t parity, T damping);

  template <executor Exec, class View, class F>
  void write(Exec&& ex, std::string_view name, const View& out, F f) const;
  double log_of(T message) const {
    return ratios_ ? std::log(static_cast<double>(message)) : static_cast<double>(message);
  }
  void add_up_messages(index_t i, double* sum) const;
  double log_z_of_rows(index_t first, index_t last) const;

  static constexpr index_t part = 512;

  index_t height_, width_;
  row_chunks chunks_;
  bool ratios_ = true, uniform_ = true, uniform_messages_ = true;
  detail::grid_planes<T> planes_, band_rows_;
  std::vector<change> change_;
  std::vector<double> trace_;
};

template <class T>
template <executor Exec, class CouplingRow>
void grid_belief_propagation<T>::store_model(Exec&& ex, const detail::row_source<T>& h, CouplingRow&& write_couplings) {
  using range = detail::ratio_range<T>;
  const bool were_ratios = ratios_;
  T* const no_coupling = scratch_row(chunks_.count(), 0);
  std::fill_n(no_coupling, planes_.stride(), T(0));
  row(right_coupling, 0)[-1] = 0;
  for_bands(ex, [&](index_t, index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      copy_row(h, i, width_, row(given_log_odds, i));
      write_couplings(i);
    }
  });

  detail::shared_status beyond;
  for_bands(ex, [&](index_t, index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      const T* const from = row(given_log_odds, i);
      T* const to = row(field, i);
      bool fits = true;
      for (index_t j = 0; j < width_; ++j) {
        // More certainty than that changes no message.
        const double s = strength(i, j), most = range::certain + s, x = std::clamp(double(from[j]), -most, most);
        fits = fits && std::abs(x) + 2 * s <= range::most;
        to[j] = static_cast<T>(x);
      }
      std::fill(to + width_, to + planes_.stride(), T(0));
      if (!fits) beyond.merge({i, 1});
    }
  });
  ratios_ = beyond.load().ok();

  if (uniform_messages_) {
    reset();
  } else {
    for_bands(ex, [&](index_t, index_t first, index_t last) {
      for (index_t i = first; i < last; ++i) keep_messages(i, were_ratios);
    });
    row(sent_right, 0)[-1] = neutral();
  }
  if (!ratios_) return;
  for_bands(ex, [&](index_t, index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      turn_into_ratios(row(field, i), T(1));
      if (uniform_ && i > 0) continue;
      turn_into_ratios(row(right_coupling, i), T(2));
      if (i + 1 < height_) turn_into_ratios(row(down_coupling, i), T(2));
    }
  });
  std::fill_n(no_coupling, planes_.stride(), T(1));
  row(right_coupling, 0)[-1] = 1;
}

// No message of the new model is greater than its coupling; ratios would leave the range that was checked.
template <class T>
void grid_belief_propagation<T>::keep_messages(index_t i, bool were_ratios) {
  const T *const across = right_couplings(i), *const above = down_couplings(i - 1), *const below = down_couplings(i);
  const auto keep = [&](T& message, T coupling) {
    const double most = 2 * std::abs(double(coupling));
    const double x = std::clamp(were_ratios ? std::log(double(message)) : double(message), -most, most);
    message = static_cast<T>(ratios_ ? std::exp(x) : x);
  };
  for (index_t j = 0; j < planes_.stride(); ++j) {
    keep(row(sent_right, i)[j], across[j]);
    keep(row(sent_left, i)[j], across[j - 1]);
    keep(row(sent_down, i)[j], below[j]);
    keep(row(sent_up, i)[j], above[j]);
  }
}

template <class T>
typename grid_belief_propagation<T>::change grid_belief_propagation<T>::send_band(index_t band, index_t first,
                                                                                  index_t last, index_t parity,
                                                                                  T damping) {
  const index_t stride = planes_.stride();
  change all{neutral(), neutral()};
  for (index_t i = first; i < last; ++i) {
    detail::grid_row<T> r = row_of(i);
    r.above = i == 0 ? neutral_row() : scratch_row(band, i == first ? from_above + parity : index_t(carried));
    r.below = i + 1 == height_ ? neutral_row()
              : i + 1 == last  ? scratch_row(band, from_below + parity)
                               : row(sent_up, i + 1);
    r.sent_down = scratch_row(band, carried);
    const change c = send(r, damping);
    all.least = std::min(all.least, c.least);
    all.greatest = std::max(all.greatest, c.greatest);
    // What the bands beside this one read in the next iteration.
    if (i == first && i > 0) std::copy_n(r.up, stride, scratch_row(band - 1, from_below + 1 - parity));
    if (i + 1 == last && last < height_) std::copy_n(r.down, stride, scratch_row(band + 1, from_above + 1 - parity));
  }
  return all;
}

template <class T>
template <executor Exec>
grid_belief_propagation_result grid_belief_propagation<T>::run(Exec&& ex,
                                                               const grid_belief_propagation_options& options) {
  constexpr const char* name = "grid_belief_propagation::run: ";
  const T damping = static_cast<T>(options.damping);
  if (!(damping >= 0 && damping < 1))
    detail::fail<option_error>(name, "damping is ", options.damping, "; it must lie in [0, 1)");
  if (!(options.tolerance >= 0))
    detail::fail<option_error>(name, "tolerance is ", options.tolerance, "; it must be 0 or more");
  if (options.max_iterations < 0)
    detail::fail<option_error>(name, "max_iterations is ", options.max_iterations, "; it must be 0 or more");
  const index_t stride = planes_.stride();
  trace_.clear();
  grid_belief_propagation_result result{0, height_ == 0 || width_ == 0, 0};
  if (result.converged) return result;

  for (index_t b = 0; b + 1 < chunks_.count(); ++b) {
    std::copy_n(row(sent_up, chunks_.end(b)), stride, scratch_row(b, from_below));
    std::copy_n(row(sent_down, chunks_.end(b) - 1), stride, scratch_row(b + 1, from_above));
  }
  uniform_messages_ = uniform_messages_ && options.max_iterations == 0;
  result.change = std::numeric_limits<double>::infinity();
  while (!result.converged && result.iterations < options.max_iterations) {
    for_bands(ex, [&, parity = result.iterations % 2](index_t b, index_t first, index_t last) {
      change_[static_cast<std::size_t>(b)] = send_band(b, first, last, parity, damping);
    });
    change all{neutral(), neutral()};
    for (const change& c : change_) {
      all.least = std::min(all.least, c.least);
      all.greatest = std::max(all.greatest, c.greatest);
    }
    const double most = std::max(log_of(all.greatest), -log_of(all.least));
    result.change = (1 - options.damping) * most;
    trace_.push_back(result.change);
    ++result.iterations;
    result.converged = result.change <= options.tolerance;
  }
  return result;
}

template <class T>
template <executor Exec, class View, class F>
void grid_belief_propagation<T>::write(Exec&& ex, std::string_view name, const View& out, F f) const {
  if (out.extent(0) != height_ || out.extent(1) != width_)
    detail::fail<shape_error>("grid_belief_propagation::", name, ": out has shape ", detail::shape_text(out),
                              ", the grid is ", height_, " x ", width_);
  const detail::row_sink<T> to(out);
  for_bands(ex, [&](index_t, index_t first, index_t last) {
    T buffer[std::size_t(part)];
    for (index_t i = first; i < last; ++i) {
      const T* const above = i == 0 ? neutral_row() : row(sent_down, i - 1);
      const T* const below = i + 1 == height_ ? neutral_row() : row(sent_up, i + 1);
      for (index_t at = 0; at < width_; at += part) {
        const index_t count = std::min(part, width_ - at);
        for (index_t e = 0; e < count; e += batch::size) {
          const index_t j = at + e;
          const batch l = simd::load(row(sent_right, i) + j - 1), r = simd::load(row(sent_left, i) + j + 1),
                      a = simd::load(above + j), b = simd::load(below + j), h = simd::load(row(given_log_odds, i) + j);
          simd::store(buffer + e, f(h + (ratios_ ? simd::log((l * r) * (a * b)) : (l + r) + (a + b))));
        }
        to.put_part(i, at, count, buffer);
      }
    }
  });
}

template <class T>
void grid_belief_propagation<T>::add_up_messages(index_t i, double* sum) const {
  const T* const above = i == 0 ? neutral_row() : row(sent_down, i - 1);
  const T* const below = i + 1 == height_ ? neutral_row() : row(sent_up, i + 1);
  for (index_t j = 0; j < width_; ++j)
    sum[j] = log_of(row(sent_right, i)[j - 1]) + log_of(row(sent_left, i)[j + 1]) + log_of(above[j]) + log_of(below[j]);
}

// Factors' Z of their cavities, and for each node (1 - degree) log Z_i, because Z of every edge of a node is Z_i.
template <class T>
double grid_belief_propagation<T>::log_z_of_rows(index_t first, index_t last) const {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  struct weights {
    double zero, one;
  };
  const auto weights_of = [](T h, double messages) {
    return weights{h == infinity ? -infinity : 0.0, (h == infinity ? 0.0 : double(h)) + messages};
  };
  const auto factor = [&](weights a, double into_a, weights b, double into_b, T stored_coupling) {
    const double j = log_of(stored_coupling) / (ratios_ ? 2 : 1);
    const double x[] = {a.zero + b.zero + j, (a.one - into_a) + (b.one - into_b) + j, a.zero + (b.one - into_b) - j,
                        (a.one - into_a) + b.zero - j};
    const double top = *std::max_element(x, x + 4);
    return top + std::log(std::exp(x[0] - top) + std::exp(x[1] - top) + std::exp(x[2] - top) + std::exp(x[3] - top));
  };
  std::vector<double> here(static_cast<std::size_t>(width_)), below(here.size());
  add_up_messages(first, here.data());
  double sum = 0;
  for (index_t i = first; i < last; ++i) {
    if (i + 1 < height_) add_up_messages(i + 1, below.data());
    for (index_t j = 0; j < width_; ++j) {
      const weights w = weights_of(row(given_log_odds, i)[j], here[std::size_t(j)]);
      const int degree = (i > 0) + (j > 0) + (i + 1 < height_) + (j + 1 < width_);
      sum += (1 - degree) * math::log_add_exp(w.zero, w.one);
      if (j + 1 < width_)
        sum += factor(w, log_of(row(sent_left, i)[j + 1]),
                      weights_of(row(given_log_odds, i)[j + 1], here[std::size_t(j) + 1]),
                      log_of(row(sent_right, i)[j]), right_couplings(i)[j]);
      if (i + 1 < height_)
        sum +=
            factor(w, log_of(row(sent_up, i + 1)[j]), weights_of(row(given_log_odds, i + 1)[j], below[std::size_t(j)]),
                   log_of(row(sent_down, i)[j]), down_couplings(i)[j]);
    }
    std::swap(here, below);
  }
  return sum;
}

template <class T>
template <executor Exec>
double grid_belief_propagation<T>::log_z(Exec&& ex) const {
  if (width_ == 0) return 0;
  std::vector<double> sums(static_cast<std::size_t>(chunks_.count()));
  for_bands(ex, [&](index_t b, index_t first, index_t last) { sums[std::size_t(b)] = log_z_of_rows(first, last); });
  double sum = 0;
  for (const double s : sums) sum += s;
  return sum;
}

}  // namespace weakly::inline v0
