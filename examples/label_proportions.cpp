// SPDX-License-Identifier: MIT
// For who knows of bags of rows how many are positive, and of no row whether it is: belief propagation makes labels of
// the counts and of what neighbours have in common, a perceptron learns from them, its hidden layer gives neighbours
// for a second round. Prints areas under the ROC curve on test rows by bag size, and how each propagation ended.
#include "label_proportions/auc_chart.hpp"
#include "label_proportions/binary_tables.hpp"
#include "label_proportions/nearest_neighbours.hpp"
#include "perceptron.hpp"

#include <weakly/adapt/eigen.hpp>
#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/label_proportions.hpp>
#include <weakly/graph/neighbour_kernel.hpp>
#include <weakly/graph/proportion_labels.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace examples;
using weakly::proportion_encoding;

struct options {
  int seeds = 3, epochs = 30, threads = weakly::thread_pool::hardware_threads();
  double bag_strength = 1, neighbour_strength = 1;
  long most_pairs = 512;  ///< all pairs are run for bags up to this size
  bool brief = false, digits = false;
  std::string svg;
};

/// Probability that a random positive has a greater score than a random negative, ties counted half.
double area_under_curve(const std::vector<double>& score, const std::vector<std::int32_t>& label) {
  std::vector<std::size_t> order(score.size());
  std::iota(order.begin(), order.end(), std::size_t(0));
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return score[a] < score[b]; });
  double below = 0, pairs = 0, positives = 0;
  for (std::size_t i = 0; i < order.size();) {
    double up = 0, down = 0;
    const double value = score[order[i]];
    for (; i < order.size() && score[order[i]] == value; ++i) (label[order[i]] != 0 ? up : down) += 1;
    pairs += up * (below + down / 2);
    below += down;
    positives += up;
  }
  return pairs / (positives * below);
}

/// Rows in the order they have, `size` a bag, and how many of each are positive.
weakly::label_bags bags_of(const std::vector<std::int32_t>& label, index_t size) {
  std::vector<index_t> begin{0}, count;
  const auto n = static_cast<index_t>(label.size());
  while (begin.back() < n) {
    const index_t first = begin.back(), last = std::min(n, first + size);
    count.push_back(std::accumulate(label.begin() + first, label.begin() + last, index_t(0)));
    begin.push_back(last);
  }
  return weakly::label_bags(n, begin, count);
}

struct learner {
  perceptron model;
  double area;

  learner(const binary_split& s, const std::vector<double>& target, std::uint64_t seed, const options& o)
      : model(s.train_x.cols(), 1, {.hidden = 64, .epochs = o.epochs, .batch = 32, .rate = 2e-3f, .decay = 1e-4f},
              weakly::random_stream(seed, 1000)) {
    model.train(
        s.train_x,
        [&](std::span<const index_t> rows, row_major& logits) {
          for (std::size_t r = 0; r < rows.size(); ++r) {
            float& z = logits(index_t(r), 0);
            z = static_cast<float>(weakly::math::sigmoid(double(z)) - target[std::size_t(rows[r])]);
          }
        },
        [](index_t) {});
    const row_major z = model.logits(s.test_x);
    area = area_under_curve({z.data(), z.data() + z.size()}, s.test_label);
  }
};

struct propagation_setting {
  proportion_encoding encoding;
  double damping;
};
struct propagated {
  weakly::belief_propagation_result run;
  double area;       ///< of the marginals, on the training rows
  double isolation;  ///< area of minus the sum of the couplings of a row, which knows of no count
  double miss;       ///< mean over bags of |expected count - count|
  std::vector<double> label;
};

propagated propagate(const row_major& x, const std::vector<std::int32_t>& truth, const weakly::label_bags& bags,
                     const propagation_setting& setting, const options& o) {
  const neighbour_lists lists = nearest_by_cosine(x, 5);
  std::vector<double> kernel(lists.column.size());
  const double length = std::max(mean_distance(x, lists), 1e-6);
  weakly::neighbour_kernel(x, weakly::csr_adjacency(lists.offset, lists.column), kernel, {.length = length});

  weakly::label_proportions propagation(
      weakly::csr_adjacency(lists.offset, lists.column, kernel), bags,
      {.model = {.bag_strength = o.bag_strength,
                 .neighbour_strength = o.neighbour_strength,
                 .encoding = setting.encoding},
       .propagation = {.damping = setting.damping, .tolerance = 1e-3, .max_iterations = 100}});
  propagated p;
  p.run = propagation.run();
  std::vector<double> log_odds(truth.size());
  propagation.log_odds(log_odds);
  p.area = area_under_curve(log_odds, truth);
  std::vector<double> isolation(truth.size());
  const weakly::factor_graph<double>& graph = propagation.graph();
  for (index_t v = 0; v < graph.variables(); ++v)
    for (const std::uint32_t e : graph.edges_of(v))
      if (const auto& bucket = graph.bucket_of_edge(e); bucket.kind == weakly::factor_kind::ising)
        isolation[std::size_t(v)] -= graph.parameters(bucket, graph.position_of_edge(e))[0];
  p.isolation = area_under_curve(isolation, truth);
  p.miss = weakly::expected_count_misses(log_odds, bags).mean;
  p.label.resize(truth.size());
  std::vector<std::byte> memory(weakly::proportion_labels_scratch(bags.longest()));
  weakly::workspace scratch(memory);
  weakly::proportion_labels(log_odds, bags, scratch, p.label, {.rule = weakly::proportion_rule::rescaled});
  return p;
}

enum method { bag_mean, counts, counts_again, pairs_half, pairs_nine, supervised, methods };
constexpr const char* method_name[] = {"bag mean",       "counts, round 1", "counts, round 2",
                                       "all pairs, 0.5", "all pairs, 0.9",  "labels known"};

struct outcome {
  double area = std::numeric_limits<double>::quiet_NaN();  ///< of the learner, on the test rows
  std::optional<propagated> propagation;
};
using outcomes = std::vector<outcome>;

outcomes run(const binary_split& s, index_t size, std::uint64_t seed, const options& o) {
  const weakly::label_bags bags = bags_of(s.train_label, size);
  outcomes all(methods);
  std::vector<double> share, known(s.train_label.begin(), s.train_label.end());
  for (index_t i = 0; i < bags.items(); ++i) {
    const index_t b = bags.bag_of(i);
    share.push_back(double(bags.count(b)) / double(bags.size(b)));
  }
  all[bag_mean].area = learner(s, share, seed, o).area;
  all[supervised].area = learner(s, known, seed, o).area;

  propagated first = propagate(s.train_x, s.train_label, bags, {proportion_encoding::count, 0.5}, o);
  const learner after_first(s, first.label, seed, o);
  all[counts] = {after_first.area, std::move(first)};
  propagated second =
      propagate(after_first.model.embedding(s.train_x), s.train_label, bags, {proportion_encoding::count, 0.5}, o);
  all[counts_again] = {learner(s, second.label, seed, o).area, std::move(second)};
  for (const auto& [which, damping] : {std::pair{pairs_half, 0.5}, std::pair{pairs_nine, 0.9}}) {
    if (size > o.most_pairs) continue;
    propagated p = propagate(s.train_x, s.train_label, bags, {proportion_encoding::pairs, damping}, o);
    all[which] = {learner(s, p.label, seed, o).area, std::move(p)};
  }
  return all;
}

/// results[size][seed][method]
using results = std::vector<std::vector<outcomes>>;

double mean_of(const std::vector<outcomes>& seeds, int m) {
  double sum = 0;
  for (const outcomes& r : seeds) sum += r[std::size_t(m)].area / double(seeds.size());
  return sum;
}

void print_tables(const std::vector<long>& sizes, const results& r) {
  std::printf("Area under the ROC curve on test rows, mean (standard deviation) over %zu seeds\n\n| bag |",
              r[0].size());
  for (const char* name : method_name) std::printf(" %s |", name);
  std::printf("\n| --- |%s\n", " --- | --- | --- | --- | --- | --- |");
  for (std::size_t b = 0; b < sizes.size(); ++b) {
    std::printf("| %ld |", sizes[b]);
    for (int m = 0; m < methods; ++m) {
      const double mean = mean_of(r[b], m);
      double squares = 0;
      for (const outcomes& seed : r[b]) squares += std::pow(seed[std::size_t(m)].area - mean, 2);
      if (mean == mean)
        std::printf(" %.3f (%.3f) |", mean, std::sqrt(squares / std::max(1.0, double(r[b].size()) - 1)));
      else
        std::printf(" |");
    }
    std::printf("\n");
  }
  std::printf(
      "\nHow the propagations ended: area of the marginals on the training rows, runs converged to 1e-3 within 100 "
      "passes,\nmean last change of a message, mean |expected count - count| of a bag. Isolation: the area of minus "
      "the sum "
      "of a row's couplings,\nwhat there is to rank by without any count\n\n| bag | isolation |");
  for (int m = counts; m < supervised; ++m) std::printf(" %s |", method_name[m]);
  std::printf("\n| --- | --- | --- | --- | --- | --- |\n");
  for (std::size_t b = 0; b < sizes.size(); ++b) {
    double isolation = 0;
    for (const outcomes& seed : r[b]) isolation += seed[counts].propagation->isolation / double(r[b].size());
    std::printf("| %ld | %.3f |", sizes[b], isolation);
    for (int m = counts; m < supervised; ++m) {
      double area = 0, change = 0, miss = 0, runs = 0;
      int converged = 0;
      for (const outcomes& seed : r[b])
        if (const auto& p = seed[std::size_t(m)].propagation) {
          area += p->area;
          change += p->run.change;
          miss += p->miss;
          converged += p->run.converged;
          runs += 1;
        }
      if (runs > 0)
        std::printf(" %.3f, %d of %.0f, %.1g, %.2f |", area / runs, converged, runs, change / runs, miss / runs);
      else
        std::printf(" |");
    }
    std::printf("\n");
  }
}

void write_chart(const std::string& title, const std::vector<long>& sizes, const results& r, const std::string& path) {
  auc_chart chart;
  chart.sizes = sizes;
  for (int m = 0; m < methods; ++m) {
    auto& [name, values] = chart.methods.emplace_back(method_name[m], std::vector<double>());
    for (const auto& seeds : r) values.push_back(mean_of(seeds, m));
  }
  std::ofstream file(path);
  file << chart.svg(title);
  file.close();
  if (!file) throw std::runtime_error(path + " cannot be written; check the path of --svg");
}

/// Whether the learner learns from labels, every propagation gave numbers, and the rescaled labels meet the counts.
bool is_sound(const std::vector<long>& sizes, const binary_split& s, const results& r) {
  bool sound = true;
  const auto complain = [&](long size, const char* name, const char* what) {
    std::fprintf(stderr, "label_proportions: bags of %ld, %s: %s\n", size, name, what);
    sound = false;
  };
  for (std::size_t b = 0; b < sizes.size(); ++b) {
    if (!(mean_of(r[b], supervised) > 0.7)) complain(sizes[b], "labels known", "does not learn");
    if (b == 0 && !(mean_of(r[b], counts) > 0.65)) complain(sizes[b], "counts", "learns nothing");
    for (const outcomes& seed : r[b])
      for (int m = 0; m < methods; ++m) {
        const auto& p = seed[std::size_t(m)].propagation;
        if (!p) continue;
        if (!(p->area >= 0 && p->area <= 1)) complain(sizes[b], method_name[m], "the marginals are no numbers");
        const double labels = std::accumulate(p->label.begin(), p->label.end(), 0.0);
        const bool few = std::abs(labels - std::round(labels)) > 1e-6 * double(s.train_label.size());
        if (few) complain(sizes[b], method_name[m], "the labels do not add up to counts");
      }
  }
  return sound;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Learns from bags of rows of which only the number of positives is known, by belief propagation.",
               "label_proportions");
  options o;
  app.add_option("--seeds", o.seeds, "splits and bags of each size (default 3)")->check(CLI::Range(1, 1000));
  app.add_option("--epochs", o.epochs, "passes of the perceptron (default 30)")->check(CLI::Range(1, 1000));
  app.add_option("--threads", o.threads, "threads; the results do not depend on it")->check(CLI::Range(1, 1000));
  app.add_option("--bag-strength", o.bag_strength, "lambda_b (default 1)")->check(CLI::NonNegativeNumber);
  app.add_option("--neighbour-strength", o.neighbour_strength, "lambda_s (default 1)")->check(CLI::NonNegativeNumber);
  app.add_option("--most-pairs", o.most_pairs, "greatest bags that all pairs are run for (default 512)");
  app.add_flag("--short", o.brief, "a check of some seconds: the digits, few rows, two sizes of bags");
  app.add_flag("--digits", o.digits, "the digits, also where bank marketing is there");
  app.add_option("--svg", o.svg, "write a plot of the areas against the bag size")->type_name("out.svg");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    const char* const data = std::getenv("WEAKLY_REFERENCE_DATA");
    const std::filesystem::path folder = std::filesystem::path(data != nullptr ? data : "") / "llp_bp" / "marketing";
    const bool bank = !o.brief && !o.digits && std::filesystem::exists(folder);
    const binary_table table = bank ? bank_marketing(folder) : odd_digits();
    std::vector<long> sizes = {8, 32, 128, 512};
    index_t train = bank ? 6144 : 1024;
    if (bank) sizes.push_back(2048);
    if (o.brief) {
      sizes = {16, 64};
      train = 512;
      o.seeds = 1;
      o.epochs = 15;
      o.most_pairs = 16;
    }
    std::vector<binary_split> splits;
    for (int seed = 0; seed < o.seeds; ++seed) splits.push_back(split_of(table, train, std::uint64_t(seed)));
    results r(sizes.size(), std::vector<outcomes>(std::size_t(o.seeds)));
    weakly::thread_pool pool(o.threads);
    pool(static_cast<index_t>(sizes.size()) * o.seeds, [&](index_t job) {
      const std::size_t b = std::size_t(job / o.seeds), seed = std::size_t(job % o.seeds);
      r[b][seed] = run(splits[seed], sizes[b], seed, o);
    });
    std::printf("%s: %ld rows for training, %ld for testing\n\n", table.name.c_str(), long(train),
                long(splits[0].test_x.rows()));
    print_tables(sizes, r);
    if (!o.svg.empty()) write_chart("Area under the ROC curve by bag size: " + table.name, sizes, r, o.svg);
    return is_sound(sizes, splits[0], r) ? 0 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "label_proportions: %s\n", e.what());
    return 2;
  }
}
