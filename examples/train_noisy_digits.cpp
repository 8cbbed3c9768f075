// SPDX-License-Identifier: MIT
// For trainers of their own: a perceptron in Eigen calls one loss a step, which replaces the batch's logits by their
// gradient in place. Compares robust losses on the shipped digits under label noise: a table, and a plot with --svg.
#include "digits.hpp"
#include "perceptron.hpp"
#include "train_noisy_digits/accuracy_chart.hpp"

#include <weakly/adapt/eigen.hpp>
#include <weakly/exec/thread_pool.hpp>
#include <weakly/loss/aldr_kl.hpp>
#include <weakly/loss/cross_entropy.hpp>
#include <weakly/loss/early_learning.hpp>
#include <weakly/loss/generalized_cross_entropy.hpp>
#include <weakly/loss/ldr_kl.hpp>
#include <weakly/loss/normalized_logits.hpp>
#include <weakly/loss/symmetric_cross_entropy.hpp>
#include <weakly/noise/noise_generation.hpp>
#include <weakly/noise/noisy_labels.hpp>

#include <CLI/CLI.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace examples;

std::string number(double x) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%g", x);
  return buffer;
}

/// What a loss gets of a batch: the numbers of its rows in the training set, their labels, and the logits, which become
/// the gradient.
struct batch {
  std::span<const index_t> rows;
  const std::vector<std::int32_t>& label;
  row_major& logits;
  Eigen::VectorXf& value;
};
using loss_function = std::function<void(const batch&)>;

/// A loss with its parameters. `start` makes the function for one training run of n rows, with its state if it has one.
struct candidate {
  std::string loss, parameters;
  std::function<loss_function(index_t n)> start;
};

template <class F>
candidate stateless(std::string loss, std::string parameters, F f) {
  return {std::move(loss), std::move(parameters), [f](index_t) { return loss_function(f); }};
}

candidate cross_entropy() {
  return stateless("CE", "", [](const batch& b) { weakly::cross_entropy(b.logits, b.label, b.value, b.logits); });
}

/// Without normalising, a network makes lambda small by making its logits large.
enum class logits_are { plain, normalised };

/// `loss` of logits and gradient, of the logits as they are or divided by the mean magnitude of their row.
template <class Loss>
candidate label_distributional(std::string name, std::string parameters, logits_are kind, Loss loss) {
  if (kind == logits_are::plain)
    return stateless(std::move(name), std::move(parameters), [=](const batch& b) { loss(b, b.logits); });
  return stateless(std::move(name), parameters + ", normalised", [=](const batch& b) {
    row_major normalised(b.logits.rows(), b.logits.cols());
    weakly::normalized_logits(b.logits, normalised);
    loss(b, normalised);
    weakly::normalized_logits_gradient(b.logits, normalised, b.logits);
  });
}

candidate ldr_kl(double lambda, double margin, logits_are kind) {
  return label_distributional("LDR-KL", "lambda " + number(lambda) + ", margin " + number(margin), kind,
                              [=](const batch& b, row_major& x) {
                                weakly::ldr_kl(x, b.label, b.value, x, {.lambda = lambda, .margin = margin});
                              });
}
candidate aldr_kl(double lambda0, double alpha, logits_are kind) {
  return label_distributional("ALDR-KL", "lambda0 " + number(lambda0) + ", alpha " + number(alpha) + ", margin 0.1",
                              kind, [=](const batch& b, row_major& x) {
                                weakly::aldr_kl(x, b.label, b.value, x,
                                                {.lambda0 = lambda0, .alpha = alpha, .margin = 0.1});
                              });
}
candidate generalized_cross_entropy(double q) {
  return stateless("GCE", "q " + number(q), [=](const batch& b) {
    weakly::generalized_cross_entropy(b.logits, b.label, b.value, b.logits, {.q = q});
  });
}
candidate symmetric_cross_entropy(double weight, double reverse) {
  return stateless("SCE", "weights " + number(weight) + " and " + number(reverse), [=](const batch& b) {
    weakly::symmetric_cross_entropy(b.logits, b.label, b.value, b.logits,
                                    {.cross_entropy = weight, .reverse = reverse});
  });
}
candidate early_learning(double momentum, double strength) {
  return {"ELR", "momentum " + number(momentum) + ", strength " + number(strength), [=](index_t n) {
            const auto targets = std::make_shared<row_major>(row_major::Zero(n, digits::classes));
            return [=](const batch& b) {
              weakly::early_learning(b.logits, b.label, b.rows, *targets, b.value, b.logits,
                                     {.momentum = momentum, .strength = strength});
            };
          }};
}

/// The best of the grid on validation rows, on average over the kinds of noise: what --tune prints.
std::vector<candidate> chosen() {
  return {cross_entropy(),
          ldr_kl(30, 1, logits_are::normalised),
          aldr_kl(30, 5, logits_are::normalised),
          generalized_cross_entropy(0.9),
          symmetric_cross_entropy(0.01, 1),
          early_learning(0.9, 3)};
}

std::vector<candidate> grid() {
  std::vector<candidate> all = {cross_entropy()};
  for (const logits_are kind : {logits_are::plain, logits_are::normalised})
    for (const double lambda : {3.0, 10.0, 30.0}) {
      for (const double margin : {0.1, 1.0}) all.push_back(ldr_kl(lambda, margin, kind));
      for (const double alpha : {2.0, 5.0}) all.push_back(aldr_kl(lambda, alpha, kind));
    }
  for (const double q : {0.5, 0.7, 0.8, 0.9, 1.0}) all.push_back(generalized_cross_entropy(q));
  for (const double weight : {0.01, 0.03, 0.1, 0.5}) all.push_back(symmetric_cross_entropy(weight, 1));
  for (const double momentum : {0.7, 0.9})
    for (const double strength : {1.0, 3.0, 7.0}) all.push_back(early_learning(momentum, strength));
  return all;
}

struct noise {
  std::string name;
  weakly::matrix<double> matrix;
};

std::vector<noise> noises(bool few) {
  std::vector<noise> all;
  for (const int percent : {0, 20, 40, 60})
    if (!few || percent == 0 || percent == 40)
      all.push_back({percent == 0 ? "no noise" : std::to_string(percent) + " % symmetric",
                     weakly::symmetric_noise_matrix(digits::classes, percent / 100.0)});
  if (!few) all.push_back({"40 % pair", weakly::pair_noise_matrix(digits::classes, 0.4)});
  return all;
}

/// Three fifths of the data for training; one for testing, or with --tune the other one.
struct split {
  row_major train_x, test_x;
  std::vector<std::int32_t> train_label, test_label;
};

split split_of(const digits& d, std::uint64_t seed, bool validation) {
  const row_major x = features_of(d);
  const std::vector<index_t> fold = stratified_folds(d.label, digits::classes, 5, seed);
  std::vector<index_t> train, test;
  split s;
  for (std::size_t i = 0; i < fold.size(); ++i) {
    if (fold[i] >= 2) {
      train.push_back(static_cast<index_t>(i));
      s.train_label.push_back(d.label[i]);
    } else if (fold[i] == (validation ? 1 : 0)) {
      test.push_back(static_cast<index_t>(i));
      s.test_label.push_back(d.label[i]);
    }
  }
  s.train_x = x(train, Eigen::all);
  s.test_x = x(test, Eigen::all);
  return s;
}

struct run_result {
  std::vector<double> accuracy;  ///< on clean labels, after each epoch
  bool finite = true;            ///< every loss was a finite number
};

double accuracy_of(const row_major& logits, std::span<const std::int32_t> label) {
  index_t right = 0;
  for (index_t i = 0; i < logits.rows(); ++i) {
    index_t best = 0;
    logits.row(i).maxCoeff(&best);
    right += best == label[static_cast<std::size_t>(i)];
  }
  return static_cast<double>(right) / static_cast<double>(logits.rows());
}

run_result train(const candidate& c, const split& s, const noise& n, std::uint64_t seed,
                 const perceptron_options& options) {
  std::vector<std::int32_t> given(s.train_label.size()), label;
  weakly::noisy_labels(s.train_label, n.matrix, seed, given);
  const loss_function loss = c.start(s.train_x.rows());
  run_result result;
  Eigen::VectorXf value;
  perceptron model(s.train_x.cols(), digits::classes, options, weakly::random_stream(seed, 1000));
  model.train(
      s.train_x,
      [&](std::span<const index_t> rows, row_major& logits) {
        label.clear();
        for (const index_t i : rows) label.push_back(given[static_cast<std::size_t>(i)]);
        value.resize(logits.rows());
        loss({rows, label, logits, value});
        result.finite = result.finite && value.allFinite();
      },
      [&](index_t) { result.accuracy.push_back(accuracy_of(model.logits(s.test_x), s.test_label)); });
  return result;
}

struct options {
  int seeds = 5;
  int epochs = 100;
  int threads = weakly::thread_pool::hardware_threads();
  bool brief = false, tune = false;
  std::string svg;
};

/// results[noise][candidate][seed]
using results = std::vector<std::vector<std::vector<run_result>>>;

results run_all(const std::vector<candidate>& candidates, const std::vector<noise>& all_noise, const options& o) {
  const digits d = read_digits(digits_path());
  const auto seeds = static_cast<std::size_t>(o.seeds);
  const std::uint64_t first_seed = o.tune ? 100 : 0;  // the table's seeds had no part in the choice
  std::vector<split> splits;
  for (std::size_t seed = 0; seed < seeds; ++seed) splits.push_back(split_of(d, first_seed + seed, o.tune));
  results out(all_noise.size(), {candidates.size(), std::vector<run_result>(seeds)});
  const perceptron_options model{.hidden = 128, .epochs = o.epochs, .batch = 32, .rate = 2e-3f, .decay = 0};
  weakly::thread_pool pool(o.threads);
  pool(static_cast<index_t>(all_noise.size() * candidates.size() * seeds), [&](index_t job) {
    const std::size_t j = static_cast<std::size_t>(job), seed = j % seeds, c = j / seeds % candidates.size(),
                      n = j / seeds / candidates.size();
    out[n][c][seed] = train(candidates[c], splits[seed], all_noise[n], first_seed + seed, model);
  });
  return out;
}

struct summary {
  double mean = 0, deviation = 0;
};

/// In percent, over the seeds, after the last epoch.
summary summary_of(const std::vector<run_result>& runs) {
  const auto count = static_cast<double>(runs.size());
  summary s;
  for (const run_result& r : runs) s.mean += 100 * r.accuracy.back() / count;
  double squares = 0;
  for (const run_result& r : runs) squares += std::pow(100 * r.accuracy.back() - s.mean, 2);
  if (runs.size() > 1) s.deviation = std::sqrt(squares / (count - 1));
  return s;
}

/// In Markdown: accuracy after the last epoch, mean and standard deviation over the seeds, and the mean over the
/// noises.
void print_table(const std::vector<candidate>& candidates, const std::vector<noise>& all_noise, const results& r) {
  std::string head = "| loss | parameters |", rule = "| --- | --- |";
  for (const noise& n : all_noise) {
    head += " " + n.name + " |";
    rule += " --- |";
  }
  std::printf("%s mean |\n%s --- |\n", head.c_str(), rule.c_str());
  for (std::size_t c = 0; c < candidates.size(); ++c) {
    std::printf("| %s | %s |", candidates[c].loss.c_str(), candidates[c].parameters.c_str());
    double total = 0;
    for (std::size_t n = 0; n < all_noise.size(); ++n) {
      const summary s = summary_of(r[n][c]);
      std::printf(" %.1f ± %.1f |", s.mean, s.deviation);
      total += s.mean;
    }
    std::printf(" %.1f |\n", total / static_cast<double>(all_noise.size()));
  }
}

void write_chart(const std::vector<candidate>& candidates, const std::vector<noise>& all_noise, const results& r,
                 const options& o) {
  accuracy_chart chart;
  for (const candidate& c : candidates) chart.losses.push_back(c.loss);
  for (std::size_t n = 0; n < all_noise.size(); ++n) {
    accuracy_chart::panel panel{all_noise[n].name, {}};
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      std::vector<double>& line = panel.lines.emplace_back(static_cast<std::size_t>(o.epochs), 0.0);
      for (const run_result& run : r[n][c])
        for (std::size_t e = 0; e < line.size(); ++e) line[e] += 100 * run.accuracy[e] / o.seeds;
    }
    chart.panels.push_back(std::move(panel));
  }
  std::ofstream file(o.svg);
  file << chart.svg();
  file.close();
  if (!file) throw std::runtime_error(o.svg + " cannot be written; check the path of --svg");
}

/// Whether every loss was a finite number, and every loss learns the digits where the labels are right.
bool is_sound(const std::vector<candidate>& candidates, const results& r) {
  bool sound = true;
  const auto complain = [&](const candidate& c, const char* what) {
    std::fprintf(stderr, "train_noisy_digits: %s (%s) %s\n", c.loss.c_str(), c.parameters.c_str(), what);
    sound = false;
  };
  for (std::size_t c = 0; c < candidates.size(); ++c) {
    for (const auto& of_noise : r)
      for (const run_result& run : of_noise[c])
        if (!run.finite) complain(candidates[c], "gave a loss that is not finite");
    if (!(summary_of(r[0][c]).mean > 90)) complain(candidates[c], "does not learn from right labels");
  }
  return sound;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Trains a perceptron on the shipped digits with noisy labels, once for each loss, and prints the accuracy "
      "on clean ones.",
      "train_noisy_digits");
  options o;
  const CLI::Option* const seeds = app.add_option("--seeds", o.seeds, "runs of each loss and noise (default 5)");
  const CLI::Option* const epochs = app.add_option("--epochs", o.epochs, "passes over the data (default 100)");
  app.add_option("--threads", o.threads, "threads; the results do not depend on it (default: all)");
  app.add_flag("--short", o.brief, "a check of some seconds: one seed, 30 epochs and two kinds of noise");
  app.add_flag("--tune", o.tune, "a grid of parameters on validation rows, instead of the chosen ones on test rows");
  app.add_option("--svg", o.svg, "write a plot of accuracy against epoch")->type_name("out.svg");
  for (const char* name : {"--seeds", "--epochs", "--threads"}) app.get_option(name)->check(CLI::Range(1, 1000));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  if (o.brief && seeds->count() == 0) o.seeds = 1;
  if (o.brief && epochs->count() == 0) o.epochs = 30;
  try {
    const std::vector<candidate> candidates = o.tune ? grid() : chosen();
    const std::vector<noise> all_noise = noises(o.brief);
    const results r = run_all(candidates, all_noise, o);
    print_table(candidates, all_noise, r);
    if (!o.svg.empty()) write_chart(candidates, all_noise, r, o);
    return is_sound(candidates, r) ? 0 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "train_noisy_digits: %s\n", e.what());
    return 2;
  }
}
