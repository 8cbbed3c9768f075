// SPDX-License-Identifier: MIT
// Losses that need the whole batch or several labels a row, beside a copy of the matrix they read and write.
#include "loss_arrays.hpp"

#include <weakly/core/workspace.hpp>
#include <weakly/loss/conditional_transport.hpp>
#include <weakly/loss/mixup_consistency.hpp>
#include <weakly/loss/multilabel_cluster_discrimination.hpp>
#include <weakly/loss/multilabel_positive_unlabeled.hpp>
#include <weakly/loss/positive_unlabeled.hpp>
#include <weakly/loss/robust_contrastive.hpp>
#include <weakly/loss/robust_contrastive_step.hpp>

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace {

using weakly::index_t;
using batch = bench::loss_batch;

/// One class in ten is positive, all others are negative.
struct marks {
  index_t n, k;
  std::vector<std::uint8_t> positive, negative;

  explicit marks(const batch& b) : n(b.a.n), k(b.a.k) {
    std::mt19937 random(1);
    for (index_t e = 0; e < n * k; ++e) {
      positive.push_back(random() % 10 == 0 ? 1 : 0);
      negative.push_back(positive.back() == 0 ? 1 : 0);
    }
  }
  auto positive_view() const { return weakly::view(positive.data(), n, k); }
  auto negative_view() const { return weakly::view(negative.data(), n, k); }
};

void add_square(index_t n) {
  using namespace weakly;
  bench::add_loss("floor_copy", n, n, bench::copy_logits);
  bench::add_prepared_loss("robust_contrastive", n, n, [n](const batch& b) {
    return [&b, tau = std::vector<float>(std::size_t(n), 1.0f),
            memory = std::vector<std::byte>(robust_contrastive_scratch<float>(n))]() mutable {
      workspace scratch(memory);
      benchmark::DoNotOptimize(robust_contrastive(b.x(), tau, tau, scratch, b.g(), discard, discard, {.rho = 0.3}));
    };
  });
  bench::add_prepared_loss("robust_contrastive_step", n, n, [n](const batch& b) {
    return [&b, log_average = std::vector<float>(std::size_t(2 * n), -INFINITY),
            momentum = std::vector<float>(std::size_t(2 * n)), tau = std::vector<float>(std::size_t(2 * n), 0.5f),
            memory = std::vector<std::byte>(robust_contrastive_step_scratch<float>(n)), n]() mutable {
      workspace scratch(memory);
      const auto direction = [&](index_t from) {
        return contrastive_state<float>{view(log_average.data() + from, n), view(momentum.data() + from, n),
                                        view(tau.data() + from, n)};
      };
      benchmark::DoNotOptimize(robust_contrastive_step(b.x(), direction(0), direction(n), scratch, b.g()));
    };
  });
  bench::add_prepared_loss("conditional_transport", n, n, [n](const batch& b) {
    return [&b, weight = std::vector<float>(std::size_t(n), 1.0f / static_cast<float>(n)),
            memory = std::vector<std::byte>(conditional_transport_scratch<float>(n, n))]() mutable {
      workspace scratch(memory);
      benchmark::DoNotOptimize(
          conditional_transport(b.t(), b.x(), weight, weight, scratch, discard, b.g(), discard, discard));
    };
  });
}

void add_columns(index_t n, index_t k) {
  using namespace weakly;
  bench::add_loss("floor_copy", n, k, bench::copy_logits);
  bench::add_prepared_loss("positive_unlabeled", n, k, [k](const batch& b) {
    return [&b, m = marks(b), prior = std::vector<double>(std::size_t(k), 0.1),
            risk = std::vector<positive_unlabeled_risk>(std::size_t(k))]() mutable {
      benchmark::DoNotOptimize(positive_unlabeled(b.x(), m.positive_view(), prior, risk, b.g()));
    };
  });
  bench::add_prepared_loss("multilabel_positive_unlabeled", n, k, [k](const batch& b) {
    return [&b, m = marks(b), column = std::vector<multilabel_positive_unlabeled_column>(std::size_t(k))]() mutable {
      benchmark::DoNotOptimize(
          multilabel_positive_unlabeled(b.x(), m.positive_view(), column, b.g(), {.alpha = 0.5, .gamma = 1}));
    };
  });
  bench::add_prepared_loss("multilabel_cluster_discrimination", n, k, [](const batch& b) {
    return [&b, m = marks(b)] {
      multilabel_cluster_discrimination(b.x(), m.positive_view(), m.negative_view(), b.l(), b.g());
    };
  });
  bench::add_prepared_loss("mixup_consistency", n, k, [k](const batch& b) {
    return [&b, loss = std::vector<double>(std::size_t(k))]() mutable {
      benchmark::DoNotOptimize(mixup_consistency(b.x(), b.t(), loss, b.g()));
    };
  });
}

const bool registered = (add_square(4096), add_columns(16384, 1024), true);

}  // namespace
