// SPDX-License-Identifier: MIT
#include <weakly/core/half.hpp>
#include <weakly/core/simd.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#if __has_include(<sys/mman.h>)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace simd = weakly::simd;
using weakly::index_t;

namespace {

template <class T>
using lanes = std::array<T, sizeof(simd::batch<T>) / sizeof(T)>;

template <class T>
using word =
    std::conditional_t<sizeof(T) == 2, std::uint16_t, std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>;

template <class T>
lanes<T> unpack(simd::batch<T> b) {
  lanes<T> lane;
  simd::store(lane.data(), b);
  return lane;
}

template <class T>
word<T> bits_of(T x) {
  return std::bit_cast<word<T>>(x);
}

// Equal to the last bit, the sign of zero included; any NaN equals any other.
template <class T>
bool same(T a, T b) {
  return (std::isnan(a) && std::isnan(b)) || bits_of(a) == bits_of(b);
}

template <class T>
std::vector<T> specials() {
  using limits = std::numeric_limits<T>;
  return {T(0),
          -T(0),
          T(1),
          T(-1),
          T(3),
          T(-0.1),
          limits::min(),
          -limits::min(),
          limits::max(),
          limits::lowest(),
          limits::denorm_min(),
          -limits::denorm_min(),
          limits::infinity(),
          -limits::infinity(),
          limits::quiet_NaN(),
          T(1) + limits::epsilon()};
}

// Numbers of many magnitudes and both signs, the same on every platform.
template <class T>
std::vector<T> numbers(index_t n) {
  std::vector<T> x(static_cast<std::size_t>(n));
  std::uint32_t state = 12345;
  for (T& v : x) {
    state = state * 1664525u + 1013904223u;
    v = std::ldexp(T(int(state >> 8) - (1 << 23)), int(state % 23) - 30);
  }
  return x;
}

// Every pair of special numbers goes through `of_batches` in every lane, among ordinary neighbours.
template <class T, class Batches, class Scalars>
index_t pairs_that_differ(Batches of_batches, Scalars of_scalars) {
  index_t differences = 0;
  for (T a : specials<T>())
    for (T b : specials<T>())
      for (std::size_t at = 0; at < lanes<T>().size(); ++at) {
        lanes<T> x, y;
        x.fill(T(1.5));
        y.fill(T(-0.75));
        x[at] = a;
        y[at] = b;
        const lanes<T> result = unpack<T>(of_batches(simd::load(x.data()), simd::load(y.data())));
        for (std::size_t i = 0; i < x.size(); ++i) differences += !same<T>(result[i], of_scalars(x[i], y[i]));
      }
  return differences;
}

// Memory of which nothing before and nothing behind may be touched.
class guarded {
 public:
  explicit guarded(std::size_t bytes) {
#if __has_include(<sys/mman.h>)
    page_ = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    room_ = (bytes + page_ - 1) / page_ * page_;
    void* all = mmap(nullptr, room_ + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(all != MAP_FAILED);
    base_ = static_cast<std::byte*>(all);
    REQUIRE(mprotect(base_ + page_, room_, PROT_READ | PROT_WRITE) == 0);
#else
    room_ = bytes;
    base_ = new std::byte[room_];
#endif
  }
  guarded(const guarded&) = delete;
  guarded& operator=(const guarded&) = delete;
  ~guarded() {
#if __has_include(<sys/mman.h>)
    munmap(base_, room_ + 2 * page_);
#else
    delete[] base_;
#endif
  }

  /// `n` objects that end where the memory ends.
  template <class T>
  T* last(index_t n) const {
    return reinterpret_cast<T*>(base_ + page_ + room_) - n;
  }
  template <class T>
  T* first() const {
    return reinterpret_cast<T*>(base_ + page_);
  }

 private:
  std::size_t page_ = 0, room_ = 0;
  std::byte* base_ = nullptr;
};

template <class T>
T from_integer(int i) {
  return T(float(i));
}

}  // namespace

TEST_CASE_TEMPLATE("batch arithmetic rounds every lane as the scalar operators do", T, float, double) {
  using b = simd::batch<T>;
  CHECK(pairs_that_differ<T>([](b x, b y) { return x + y; }, [](T x, T y) { return x + y; }) == 0);
  CHECK(pairs_that_differ<T>([](b x, b y) { return x - y; }, [](T x, T y) { return x - y; }) == 0);
  CHECK(pairs_that_differ<T>([](b x, b y) { return x * y; }, [](T x, T y) { return x * y; }) == 0);
  CHECK(pairs_that_differ<T>([](b x, b y) { return x / y; }, [](T x, T y) { return x / y; }) == 0);
  CHECK(pairs_that_differ<T>([](b x, b) { return -x; }, [](T x, T) { return -x; }) == 0);
  CHECK(pairs_that_differ<T>([](b x, b) { return simd::abs(x); }, [](T x, T) { return std::fabs(x); }) == 0);
  CHECK(pairs_that_differ<T>([](b x, b) { return simd::sqrt(x); }, [](T x, T) { return std::sqrt(x); }) == 0);

  b x = T(3);
  x += T(4);
  x *= T(2);
  x -= T(6);
  x /= T(16);
  CHECK(x[0] == T(0.5));
  CHECK((T(2) * x - T(1))[b::size - 1] == T(0));
}

TEST_CASE_TEMPLATE("negation and abs change the sign bit and nothing else, of zero and NaN too", T, float, double) {
  constexpr word<T> sign = word<T>(1) << (8 * sizeof(T) - 1);
  for (T x : specials<T>()) {
    CHECK(bits_of(T((-simd::batch<T>(x))[1])) == (bits_of(x) ^ sign));
    CHECK(bits_of(simd::abs(simd::batch<T>(x))[1]) == (bits_of(x) & ~sign));
  }
}

TEST_CASE_TEMPLATE("fma rounds once exactly where fma_rounds_once says so", T, float, double) {
  const T e = std::numeric_limits<T>::epsilon();
  const simd::batch<T> x = T(1) + e, y = T(1) - e;
  const T once = -e * e;  // (1 + e)(1 - e) - 1, which two roundings lose
  CHECK(simd::fma(x, y, T(-1))[0] == (simd::fma_rounds_once<T> ? once : T(0)));

  const std::vector<T> a = numbers<T>(60), b = numbers<T>(90), c = numbers<T>(120);
  for (std::size_t i = 0; i < a.size(); ++i) {
    const T u = a[i], v = b[b.size() - 1 - i], w = c[c.size() - 1 - i];
    volatile T product = u * v;  // volatile, or the compiler may contract
    CHECK(simd::fma(simd::batch<T>(u), v, w)[1] == (simd::fma_rounds_once<T> ? std::fma(u, v, w) : product + w));
  }
}

TEST_CASE_TEMPLATE("min and max give their second argument where one is NaN or both are zero", T, float, double) {
  using b = simd::batch<T>;
  CHECK(pairs_that_differ<T>([](b x, b y) { return simd::min(x, y); }, [](T x, T y) { return x < y ? x : y; }) == 0);
  CHECK(pairs_that_differ<T>([](b x, b y) { return simd::max(x, y); }, [](T x, T y) { return x > y ? x : y; }) == 0);

  const T nan = std::numeric_limits<T>::quiet_NaN();
  CHECK(simd::max(b(nan), T(-7))[0] == T(-7));
  CHECK(std::isnan(simd::max(b(T(-7)), nan)[0]));
  CHECK(std::signbit(simd::min(b(T(0)), -T(0))[0]));
  CHECK_FALSE(std::signbit(simd::min(b(-T(0)), T(0))[0]));
}

TEST_CASE_TEMPLATE("comparisons, masks and select follow IEEE 754 in every lane", T, float, double) {
  using b = simd::batch<T>;
  const auto as_number = [](simd::mask<T> m) { return simd::select(m, b(T(1)), T(-1)); };
  const auto sign = [](bool holds) { return holds ? T(1) : T(-1); };
  CHECK(pairs_that_differ<T>([&](b x, b y) { return as_number(x == y); }, [&](T x, T y) { return sign(x == y); }) == 0);
  CHECK(pairs_that_differ<T>([&](b x, b y) { return as_number(x != y); }, [&](T x, T y) { return sign(x != y); }) == 0);
  CHECK(pairs_that_differ<T>([&](b x, b y) { return as_number(x < y); }, [&](T x, T y) { return sign(x < y); }) == 0);
  CHECK(pairs_that_differ<T>([&](b x, b y) { return as_number(x <= y); }, [&](T x, T y) { return sign(x <= y); }) == 0);
  CHECK(pairs_that_differ<T>([&](b x, b y) { return as_number(x > y); }, [&](T x, T y) { return sign(x > y); }) == 0);
  CHECK(pairs_that_differ<T>([&](b x, b y) { return as_number(x >= y); }, [&](T x, T y) { return sign(x >= y); }) == 0);
  CHECK(pairs_that_differ<T>([&](b x, b y) { return simd::select(x < y, x, y); },
                             [&](T x, T y) { return x < y ? x : y; }) == 0);
}

TEST_CASE_TEMPLATE("bits has lane i in bit i, and any, all and the mask operators agree with it", T, float, double) {
  constexpr auto size = static_cast<std::uint32_t>(simd::batch<T>::size);
  constexpr std::uint32_t everything = (1u << size) - 1u;
  const auto pattern = [](std::uint32_t bits) {
    lanes<T> lane;
    for (std::uint32_t i = 0; i < size; ++i) lane[i] = T((bits >> i) & 1u);
    return simd::load(lane.data()) > T(0);
  };
  index_t wrong = 0;
  for (std::uint32_t p = 0; p <= everything; ++p) {
    const simd::mask<T> m = pattern(p);
    wrong += simd::bits(m) != p;
    wrong += simd::any(m) != (p != 0);
    wrong += simd::all(m) != (p == everything);
    wrong += simd::bits(~m) != (~p & everything);
    const std::uint32_t q = (p * 40503u >> 3) & everything;
    wrong += simd::bits(m & pattern(q)) != (p & q);
    wrong += simd::bits(m | pattern(q)) != (p | q);
    wrong += simd::bits(m ^ pattern(q)) != (p ^ q);
  }
  CHECK(wrong == 0);
  for (index_t count = 0; count <= index_t(size); ++count)
    CHECK(simd::bits(simd::first_lanes<T>(count)) == (1u << count) - 1u);
}

TEST_CASE_TEMPLATE("load and load_partial read what they are told and nothing beyond", S, float, double, weakly::half,
                   weakly::bfloat16) {
  using T = weakly::arithmetic_t<S>;
  constexpr index_t size = simd::batch<T>::size;
  const guarded memory(4096);
  for (index_t count = 0; count <= size; ++count)
    for (const bool at_end : {true, false}) {
      S* p = at_end ? memory.last<S>(count) : memory.first<S>();
      for (index_t i = 0; i < count; ++i) p[i] = from_integer<S>(int(i) + 1);
      const lanes<T> zero_filled = unpack<T>(simd::load_partial(p, count));
      const lanes<T> filled = unpack<T>(simd::load_partial(p, count, T(-5)));
      for (index_t i = 0; i < size; ++i) {
        CHECK(zero_filled[std::size_t(i)] == (i < count ? T(i + 1) : T(0)));
        CHECK(filled[std::size_t(i)] == (i < count ? T(i + 1) : T(-5)));
      }
    }

  S* p = memory.last<S>(size);
  for (index_t i = 0; i < size; ++i) p[i] = from_integer<S>(10 - int(i));
  const lanes<T> full = unpack<T>(simd::load(static_cast<const S*>(p)));
  for (index_t i = 0; i < size; ++i) CHECK(full[std::size_t(i)] == T(10 - i));
}

TEST_CASE_TEMPLATE("store and store_partial write what they are told and nothing beyond", T, float, double) {
  constexpr index_t size = simd::batch<T>::size;
  lanes<T> value;
  for (index_t i = 0; i < size; ++i) value[std::size_t(i)] = T(i + 1);
  const simd::batch<T> b = simd::load(value.data());

  const guarded memory(4096);
  for (index_t count = 0; count <= size; ++count) {
    T* p = memory.last<T>(count);
    std::fill(p - 8, p + count, T(-1));
    simd::store_partial(p, count, b);
    CHECK(std::equal(p, p + count, value.begin()));
    CHECK(std::all_of(p - 8, p, [](T x) { return x == T(-1); }));

    std::array<T, 64> room;
    room.fill(T(-1));
    simd::store_partial(room.data() + 1, count, b);
    CHECK(room[0] == T(-1));
    CHECK(std::equal(value.begin(), value.begin() + count, room.begin() + 1));
    CHECK(std::all_of(room.begin() + 1 + count, room.end(), [](T x) { return x == T(-1); }));
  }
  simd::store(memory.last<T>(size), b);
  CHECK(std::equal(value.begin(), value.end(), memory.last<T>(size)));
}

TEST_CASE_TEMPLATE("every half and bfloat16 loads as the float it stands for", S, weakly::half, weakly::bfloat16) {
  constexpr std::uint32_t size = std::uint32_t(simd::batch<float>::size);
  index_t wrong = 0;
  for (std::uint32_t first = 0; first < 65536; first += size) {
    std::array<S, lanes<float>().size()> stored;
    for (std::uint32_t i = 0; i < size; ++i) stored[i] = S::from_bits(static_cast<std::uint16_t>(first + i));
    const lanes<float> whole = unpack<float>(simd::load(stored.data()));
    const lanes<float> part = unpack<float>(simd::load_partial(stored.data(), size - 1, 7.0f));
    for (std::uint32_t i = 0; i < size; ++i) {
      const float expected = float(stored[i]);
      const auto agrees = [&](float x) {
        constexpr std::uint32_t quiet = 0x00400000;  // the instruction quiets a signalling NaN, and keeps its payload
        return std::isnan(expected) ? (bits_of(x) | quiet) == (bits_of(expected) | quiet) : same(x, expected);
      };
      wrong += !agrees(whole[i]);
      wrong += i + 1 < size ? !agrees(part[i]) : part[i] != 7.0f;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("floats are stored as half and bfloat16 the way their constructors round", S, weakly::half,
                   weakly::bfloat16) {
  constexpr std::uint32_t size = std::uint32_t(simd::batch<float>::size);
  index_t wrong = 0;
  // Every upper half of a float, with lower halves around the ties of both types and what rounds up into the next.
  for (const std::uint32_t low :
       {0x0000u, 0x0001u, 0x0fffu, 0x1000u, 0x1001u, 0x7fffu, 0x8000u, 0x8001u, 0xefffu, 0xf000u, 0xffffu})
    for (std::uint32_t first = 0; first < 65536; first += size) {
      lanes<float> x;
      for (std::uint32_t i = 0; i < size; ++i) x[i] = std::bit_cast<float>((first + i) << 16 | low);
      std::array<S, lanes<float>().size() + 1> whole, part;
      whole.fill(S(7.0f));
      part.fill(S(7.0f));
      simd::store(whole.data(), simd::load(x.data()));
      simd::store_partial(part.data(), index_t(size) - 1, simd::load(x.data()));
      for (std::uint32_t i = 0; i < size; ++i) {
        wrong += whole[i].bits != S(x[i]).bits;
        wrong += part[i].bits != S(i + 1 < size ? x[i] : 7.0f).bits;
      }
      wrong += whole[size].bits != S(7.0f).bits;
    }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("reduce_add adds halves to halves", T, float, double) {
  const std::vector<T> x = numbers<T>(64 * simd::batch<T>::size);
  for (index_t i = 0; i < index_t(x.size()); i += simd::batch<T>::size) {
    lanes<T> expected = unpack<T>(simd::load(x.data() + i));
    for (std::size_t half = expected.size() / 2; half > 0; half /= 2)
      for (std::size_t l = 0; l < half; ++l) expected[l] += expected[l + half];
    CHECK(simd::reduce_add(simd::load(x.data() + i)) == expected[0]);
  }
}

TEST_CASE_TEMPLATE("reduce_add_each sums every batch, all in one order", T, float, double) {
  using batch = simd::batch<T>;
  const std::vector<T> x = numbers<T>(batch::size);
  for (index_t place = 0; place < batch::size; ++place) {
    // Small integers add exactly, so the right sums are known; one batch of other numbers has the same bits everywhere.
    batch rows[sizeof(batch) / sizeof(T)];
    for (index_t i = 0; i < batch::size; ++i) rows[i] = batch(T(i + 1));
    rows[place] = simd::load(x.data());
    const batch sums = simd::reduce_add_each(rows);
    for (index_t i = 0; i < batch::size; ++i)
      if (i != place) CHECK(sums[i] == T((i + 1) * batch::size));
    for (index_t i = 0; i < batch::size; ++i) rows[i] = simd::load(x.data());
    CHECK(sums[place] == simd::reduce_add_each(rows)[place]);
    CHECK(sums[place] == simd::reduce_add_each(rows)[0]);
  }
}

TEST_CASE_TEMPLATE("reduce_max and reduce_min drop NaN wherever it stands", T, float, double) {
  using limits = std::numeric_limits<T>;
  const std::size_t size = lanes<T>().size();
  for (std::size_t top = 0; top < size; ++top)
    for (std::uint32_t nans = 0; nans < (1u << size); nans += 3) {
      lanes<T> lane;
      T greatest = -limits::infinity(), least = limits::infinity();
      for (std::size_t i = 0; i < size; ++i) {
        lane[i] = i == top ? T(99) : T(int(i)) - T(3.5);
        if ((nans >> i) & 1u) lane[i] = limits::quiet_NaN();
        if (lane[i] > greatest) greatest = lane[i];
        if (lane[i] < least) least = lane[i];
      }
      REQUIRE(simd::reduce_max(simd::load(lane.data())) == greatest);
      REQUIRE(simd::reduce_min(simd::load(lane.data())) == least);
    }
  CHECK(simd::reduce_max(simd::batch<T>(limits::quiet_NaN())) == -limits::infinity());
  CHECK(simd::reduce_min(simd::batch<T>(limits::quiet_NaN())) == limits::infinity());
  CHECK(simd::reduce_max(simd::batch<T>(-limits::infinity())) == -limits::infinity());
  CHECK(simd::reduce_min(simd::batch<T>(limits::infinity())) == limits::infinity());
}

TEST_CASE_TEMPLATE("sum adds in the documented order, to the bit, and reads nothing beyond", T, float, double) {
  constexpr index_t length = 128 / index_t(sizeof(T));
  const std::vector<T> x = numbers<T>(500);
  const guarded memory(500 * sizeof(T));
  for (index_t n = 0; n <= 500; n = n < 100 ? n + 1 : n + 37) {
    std::array<T, std::size_t(length)> running{};
    for (index_t i = 0; i < n; ++i) running[std::size_t(i % length)] += x[std::size_t(i)];
    for (std::size_t half = running.size() / 2; half > 0; half /= 2)
      for (std::size_t l = 0; l < half; ++l) running[l] += running[l + half];

    T* p = memory.last<T>(n);
    std::copy_n(x.begin(), n, p);
    CHECK(bits_of(simd::sum(p, n)) == bits_of(running[0]));
  }

  const T inf = std::numeric_limits<T>::infinity();
  std::vector<T> y(100, T(1));
  y[40] = inf;
  CHECK(simd::sum(y.data(), 100) == inf);
  y[99] = -inf;
  CHECK(std::isnan(simd::sum(y.data(), 100)));
  CHECK_FALSE(std::isnan(simd::sum(y.data(), 99)));
}

TEST_CASE_TEMPLATE("max over an array drops NaN and reads nothing beyond", T, float, double) {
  constexpr T inf = std::numeric_limits<T>::infinity();
  const guarded memory(100 * sizeof(T));
  for (index_t n = 0; n <= 100; ++n) {
    T* p = memory.last<T>(n);
    for (index_t i = 0; i < n; ++i) p[i] = T(-2) - T(i * 37 % 101);
    CHECK(simd::max(p, n) == (n == 0 ? -inf : *std::max_element(p, p + n)));
    if (n < 2) continue;
    for (index_t i = 0; i < n; ++i) p[i] = std::numeric_limits<T>::quiet_NaN();
    CHECK(simd::max(p, n) == -inf);
    p[n / 2] = T(-1e30);
    CHECK(simd::max(p, n) == T(-1e30));
  }
}

TEST_CASE_TEMPLATE("stream_line writes one whole line and to_line_start finds it", T, float, double) {
  constexpr index_t line = simd::line_size<T>;
  CHECK(line * index_t(sizeof(T)) == 64);
  alignas(64) std::array<T, 3 * std::size_t(line)> out;
  out.fill(T(-1));
  std::array<T, std::size_t(line)> in;
  for (index_t i = 0; i < line; ++i) in[std::size_t(i)] = T(i);

  CHECK(simd::to_line_start(out.data()) == 0);
  CHECK(simd::to_line_start(out.data() + 1) == line - 1);
  CHECK(simd::to_line_start(out.data() + line - 1) == 1);
  CHECK(simd::to_line_start(out.data() + line) == 0);

  simd::prefetch(in.data());
  T* p = out.data() + 1;
  simd::stream_line(p + simd::to_line_start(p), [&](index_t i) { return simd::load(in.data() + i) * T(2); });
  simd::stream_fence();
  for (index_t i = 0; i < 3 * line; ++i) CHECK(out[std::size_t(i)] == (i / line == 1 ? T(2) * T(i - line) : T(-1)));
}

TEST_CASE_TEMPLATE("permute takes lane i from where the order says", T, float, double) {
  constexpr int size = int(simd::batch<T>::size);
  lanes<T> x;
  for (int i = 0; i < size; ++i) x[std::size_t(i)] = T(i) + T(0.5);
  for (int step = 0; step < size; ++step) {
    std::array<std::int32_t, lanes<T>().size()> source;
    for (int i = 0; i < size; ++i) source[std::size_t(i)] = (i * step + 1) % size;  // reversals, rotations, broadcasts
    const lanes<T> y = unpack<T>(simd::permute(simd::load(x.data()), simd::lane_order<T>(source.data())));
    for (int i = 0; i < size; ++i) CHECK(y[std::size_t(i)] == x[std::size_t(source[std::size_t(i)])]);
  }
}

TEST_CASE_TEMPLATE("lane_transpose turns rows into columns and back, and finds the greatest of each", T, float,
                   double) {
  using batch = simd::batch<T>;
  const std::vector<T> x = numbers<T>(batch::size * batch::size);
  batch rows[sizeof(batch) / sizeof(T)];
  for (index_t i = 0; i < batch::size; ++i) rows[i] = simd::load(x.data() + i * batch::size);
  const simd::lane_transpose<T> transpose{};
  transpose(rows);
  for (index_t i = 0; i < batch::size; ++i)
    for (index_t j = 0; j < batch::size; ++j) CHECK(rows[j][i] == x[static_cast<std::size_t>(i * batch::size + j)]);
  transpose(rows);
  for (index_t i = 0; i < batch::size; ++i)
    for (index_t j = 0; j < batch::size; ++j) CHECK(rows[i][j] == x[static_cast<std::size_t>(i * batch::size + j)]);

  const batch top = transpose.max_of_each(rows);
  for (index_t i = 0; i < batch::size; ++i) {
    const auto row = x.begin() + i * batch::size;
    CHECK(top[i] == *std::max_element(row, row + batch::size));
  }
}

TEST_CASE("unroll calls in order with integral constants") {
  std::vector<index_t> seen;
  simd::unroll<5>([&](auto i) {
    static_assert(decltype(i)::value >= 0);
    seen.push_back(i);
  });
  CHECK(seen == std::vector<index_t>{0, 1, 2, 3, 4});
  simd::unroll<0>([&](auto i) { seen.push_back(i); });
  CHECK(seen.size() == 5);
}
