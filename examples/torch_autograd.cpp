// SPDX-License-Identifier: MIT
// For trainers on libtorch: weakly's losses as functions that autograd differentiates, on torch's own memory. The
// gradient of the logits is written in the forward pass, and the backward pass only scales its rows.
#include <weakly/core/view.hpp>
#include <weakly/loss/aldr_kl.hpp>
#include <weakly/loss/ldr_kl.hpp>

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>

namespace {

/// The views that weakly reads and writes: the tensors' own storage, nothing is copied.
template <class T>
weakly::matrix_view<T> matrix_of(const torch::Tensor& t) {
  return weakly::view(t.data_ptr<T>(), t.size(0), t.size(1));
}
template <class T>
weakly::vector_view<T> vector_of(const torch::Tensor& t) {
  return weakly::view(t.data_ptr<T>(), t.size(0));
}

/// A loss of weakly as an autograd function: logits [n, k], labels [n] of int64; gives the loss of each row.
template <class Call>
struct row_loss : torch::autograd::Function<row_loss<Call>> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& logits,
                               const torch::Tensor& labels) {
    TORCH_CHECK(logits.dim() == 2 && logits.is_contiguous() && logits.is_cpu(), "logits must be a dense CPU matrix");
    TORCH_CHECK(labels.dim() == 1 && labels.is_contiguous() && labels.scalar_type() == torch::kInt64,
                "labels must be a dense vector of int64");
    torch::Tensor loss = torch::empty({logits.size(0)}, logits.options()), gradient = torch::empty_like(logits);
    if (logits.scalar_type() == torch::kFloat64)
      Call::run(matrix_of<double>(logits), vector_of<std::int64_t>(labels), vector_of<double>(loss),
                matrix_of<double>(gradient));
    else
      Call::run(matrix_of<float>(logits), vector_of<std::int64_t>(labels), vector_of<float>(loss),
                matrix_of<float>(gradient));
    context->save_for_backward({gradient});
    return loss;
  }

  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context,
                                               torch::autograd::tensor_list upstream) {
    return {context->get_saved_variables()[0] * upstream[0].unsqueeze(1), torch::Tensor()};
  }
};

struct ldr_kl {
  static constexpr const char* name = "ldr_kl";
  static void run(auto logits, auto labels, auto loss, auto gradient) {
    seen = logits.data();
    weakly::ldr_kl(logits, labels, loss, gradient, {.lambda = 0.7, .margin = 0.1});
  }
  static inline const void* seen = nullptr;  ///< where weakly read the logits
};

struct aldr_kl {
  static constexpr const char* name = "aldr_kl";
  static void run(auto logits, auto labels, auto loss, auto gradient) {
    seen = logits.data();
    weakly::aldr_kl(logits, labels, loss, gradient, {.lambda0 = 1, .alpha = 2, .margin = 0.1});
  }
  static inline const void* seen = nullptr;
};

bool failed = false;

void check(bool good, const char* loss, const char* what) {
  if (good) return;
  std::fprintf(stderr, "torch_autograd: %s: %s\n", loss, what);
  failed = true;
}

template <class Call>
void check_gradient() {
  torch::Tensor logits = torch::randn({6, 5}, torch::kFloat64) * 2;
  const torch::Tensor labels = torch::randint(5, {6}, torch::kInt64);
  const torch::Tensor weight = torch::rand({6}, torch::kFloat64);  // makes the rows' upstream gradients differ
  logits.requires_grad_();
  const auto value = [&](const torch::Tensor& f) { return (row_loss<Call>::apply(f, labels) * weight).sum(); };
  value(logits).backward();
  check(Call::seen == logits.data_ptr<double>(), Call::name, "the logits were copied");

  const torch::NoGradGuard plain;
  constexpr double step = 1e-5;
  double worst = 0;
  for (std::int64_t e = 0; e < logits.numel(); ++e) {
    torch::Tensor above = logits.detach().clone(), below = above.clone();
    above.data_ptr<double>()[e] += step;
    below.data_ptr<double>()[e] -= step;
    const double slope = (value(above) - value(below)).template item<double>() / (2 * step);
    worst = std::max(worst, std::abs(slope - logits.grad().data_ptr<double>()[e]));
  }
  std::printf("%s: the gradient is within %.1e of central differences\n", Call::name, worst);
  check(worst < 1e-8, Call::name, "the gradient disagrees with central differences");
}

template <class Call>
void check_training() {
  constexpr std::int64_t n = 512, d = 8, k = 4;
  const torch::Tensor x = torch::randn({n, d}), labels = torch::matmul(x, torch::randn({d, k})).argmax(1);
  torch::nn::Sequential model(torch::nn::Linear(d, 32), torch::nn::ReLU(), torch::nn::Linear(32, k));
  torch::optim::Adam optimiser(model->parameters(), torch::optim::AdamOptions(1e-2));
  double first = 0, last = 0;
  for (int step = 0; step < 150; ++step) {
    optimiser.zero_grad();
    const torch::Tensor loss = row_loss<Call>::apply(model->forward(x), labels).mean();
    loss.backward();
    optimiser.step();
    last = loss.template item<double>();
    if (step == 0) first = last;
  }
  const double right = (model->forward(x).argmax(1) == labels).to(torch::kFloat32).mean().template item<double>();
  std::printf("%s: the loss falls from %.3f to %.3f, %.0f %% are right\n", Call::name, first, last, 100 * right);
  check(last < first && right > 0.95, Call::name, "the model does not learn");
}

}  // namespace

int main() {
  torch::manual_seed(1);
  torch::set_num_threads(1);
  check_gradient<ldr_kl>();
  check_gradient<aldr_kl>();
  check_training<ldr_kl>();
  check_training<aldr_kl>();
  return failed ? 1 : 0;
}
