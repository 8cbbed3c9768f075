// SPDX-License-Identifier: MIT
// Cross-entropy beside the copies of floors.cpp: loss and gradient with one and two threads, the loss alone, double and
// half storage, and logits so far apart that every row takes the fallback.
#include "loss_arrays.hpp"

#include <weakly/core/half.hpp>
#include <weakly/loss/cross_entropy.hpp>

#include <cstddef>
#include <map>
#include <string>
#include <tuple>

namespace {

using weakly::index_t;

/// The logits of loss_arrays.hpp times a factor, in another type where wanted, with room for the gradient.
template <class T>
struct typed_arrays {
  T *logits = nullptr, *grad = nullptr;
};

template <class T>
const typed_arrays<T>& typed(const bench::logit_arrays& from, float factor) {
  static std::map<std::tuple<index_t, index_t, float>, typed_arrays<T>> all;
  typed_arrays<T>& a = all[{from.n, from.k, factor}];
  if (a.logits != nullptr) return a;
  const auto count = static_cast<std::size_t>(from.n * from.k), floats = (count * sizeof(T) + 3) / 4;
  a.logits = reinterpret_cast<T*>(bench::huge_pages(floats));
  a.grad = reinterpret_cast<T*>(bench::huge_pages(floats));
  for (std::size_t e = 0; e < count; ++e) {
    a.logits[e] = static_cast<T>(factor * from.logits[e]);
    a.grad[e] = T(0.0f);
  }
  return a;
}

/// prepare(arrays) gives what is timed.
template <class Prepare>
void add(const std::string& name, index_t n, index_t k, int threads, std::size_t bytes, Prepare prepare) {
  bench::add("loss/cross_entropy/" + name + "/" + bench::size_name(n, k) + "/threads:" + std::to_string(threads),
             [=](benchmark::State& state) {
               const bench::logit_arrays& a = bench::logits(n, k);
               const auto run = prepare(a);
               for (auto _ : state) {
                 run();
                 benchmark::ClobberMemory();
               }
               state.SetBytesProcessed(state.iterations() * n * k * static_cast<index_t>(bytes));
             });
}

template <class T>
void add_typed(const std::string& name, index_t n, index_t k, float factor) {
  add(name, n, k, 1, 2 * sizeof(T), [factor](const bench::logit_arrays& a) {
    return [&a, &t = typed<T>(a, factor)] {
      weakly::cross_entropy(weakly::view(static_cast<const T*>(t.logits), a.n, a.k), a.label, a.loss_view(),
                            weakly::view(t.grad, a.n, a.k));
    };
  });
}

const bool registered = [] {
  for (const auto& [n, k] : bench::loss_sizes) {
    for (const int threads : {1, 2})
      add("gradient", n, k, threads, 8, [threads](const bench::logit_arrays& a) {
        return [&a, threads] {
          bench::with_threads(threads, [&](auto&& ex) {
            weakly::cross_entropy(ex, a.logits_view(), a.label, a.loss_view(), a.grad_view());
          });
        };
      });
    add("value", n, k, 1, 4, [](const bench::logit_arrays& a) {
      return [&a] { weakly::cross_entropy(a.logits_view(), a.label, a.loss_view(), weakly::discard); };
    });
    add_typed<float>("extreme", n, k, 30);
    add_typed<double>("double", n, k, 1);
    add_typed<weakly::half>("half", n, k, 1);
  }
  return true;
}();

}  // namespace
