// SPDX-License-Identifier: MIT
// For trainers on graphs: two graph convolutions in Eigen maximise the coding rate reduction of their embeddings, with
// labels that are denoised along the citations in every epoch (ERASE), against cross-entropy on the noisy labels.
// Takes Cora where WEAKLY_REFERENCE_DATA has it, else a generated graph: a table, and a plot with --svg.
#include "erase_cora/accuracy_bars.hpp"
#include "erase_cora/citation_graph.hpp"
#include "erase_cora/graph_convolution.hpp"

#include <weakly/adapt/eigen.hpp>
#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/class_means.hpp>
#include <weakly/graph/cosine_pseudo_labels.hpp>
#include <weakly/graph/label_propagation.hpp>
#include <weakly/graph/normalise_adjacency.hpp>
#include <weakly/graph/row_argmax.hpp>
#include <weakly/loss/cross_entropy.hpp>
#include <weakly/noise/noise_generation.hpp>
#include <weakly/noise/noisy_labels.hpp>
#include <weakly/rate/covariance_accumulator.hpp>
#include <weakly/rate/effective_rank.hpp>
#include <weakly/rate/membership_view.hpp>
#include <weakly/rate/rate_reduction.hpp>
#include <weakly/rate/row_normalise.hpp>

#include <CLI/CLI.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace examples;
using labels = std::vector<std::int32_t>;
constexpr index_t width = 64;
using real_matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The graph as the labels see it, with the degrees of all nodes or of the training nodes alone.
class label_walk {
 public:
  label_walk(const citation_graph& g, weakly::normalisation by, bool among_train)
      : left_(static_cast<std::size_t>(g.nodes())), right_(left_), graph_(normalised(g, by, among_train)) {}
  label_walk(const label_walk&) = delete;
  label_walk& operator=(const label_walk&) = delete;

  real_matrix propagate(const real_matrix& y, const weakly::label_propagation_options& options,
                        std::vector<std::uint8_t>* reached = nullptr) const {
    real_matrix out(y.rows(), y.cols());
    std::vector<std::byte> memory(weakly::label_propagation_scratch<double>(y.rows(), y.cols()));
    weakly::workspace scratch(memory);
    if (reached == nullptr)
      weakly::label_propagation(graph_, y, scratch, out, weakly::discard, options);
    else
      weakly::label_propagation(graph_, y, scratch, out, *reached, options);
    return out;
  }

 private:
  weakly::normalised_adjacency normalised(const citation_graph& g, weakly::normalisation by, bool among_train) {
    std::vector<std::uint8_t> nodes(static_cast<std::size_t>(g.nodes()), among_train ? 0 : 1);
    for (const index_t i : g.train) nodes[static_cast<std::size_t>(i)] = 1;
    return weakly::normalise_adjacency(g.adjacency(), nodes, left_, right_, {.by = by});
  }

  std::vector<double> left_, right_;
  weakly::normalised_adjacency graph_;
};

/// One-hot rows of the training nodes, zeros elsewhere.
real_matrix one_hot(const citation_graph& g, const labels& given) {
  real_matrix y = real_matrix::Zero(g.nodes(), g.classes);
  for (std::size_t t = 0; t < g.train.size(); ++t) y(g.train[t], given[t]) = 1;
  return y;
}

/// What of each node the propagation of the given labels says, -1 where they do not reach.
labels propagated_labels(const citation_graph& g, const labels& given) {
  const label_walk walk(g, weakly::normalisation::symmetric, false);
  std::vector<std::uint8_t> reached(static_cast<std::size_t>(g.nodes()));
  const real_matrix y =
      walk.propagate(one_hot(g, given), {.kind = weakly::propagation::restart, .alpha = 0.9, .steps = 10}, &reached);
  labels label(reached.size());
  weakly::row_argmax(y, label);
  for (std::size_t i = 0; i < label.size(); ++i)
    if (reached[i] == 0) label[i] = -1;
  return label;
}

/// ERASE's labels: those of the training nodes propagated among themselves once, and in every epoch prototypes of
/// them, cosines, and propagation over the whole graph.
class label_denoiser {
 public:
  label_denoiser(const citation_graph& g, const labels& given)
      : walk_(g, weakly::normalisation::column, false), prior_(real_matrix::Zero(g.nodes(), g.classes)) {
    prior_ = label_walk(g, weakly::normalisation::column, true).propagate(one_hot(g, given), steps);
    labels all(static_cast<std::size_t>(g.nodes()));
    weakly::row_argmax(prior_, all);
    train_label_.assign(all.size(), -1);
    for (const index_t i : g.train) train_label_[static_cast<std::size_t>(i)] = all[static_cast<std::size_t>(i)];
  }

  labels operator()(const row_major& embeddings) const {
    real_matrix prototypes(prior_.cols(), embeddings.cols()), y(prior_.rows(), prior_.cols());
    weakly::class_means(embeddings, train_label_, prototypes);
    std::vector<std::byte> memory(weakly::cosine_pseudo_labels_scratch(prototypes.rows(), prototypes.cols()));
    weakly::workspace scratch(memory);
    weakly::cosine_pseudo_labels(embeddings, prototypes, prior_, scratch, y, {.prior_weight = 0.6});
    labels label(train_label_.size());
    weakly::row_argmax(walk_.propagate(y, steps), label);
    return label;
  }

 private:
  static constexpr weakly::label_propagation_options steps{.alpha = 0.6, .steps = 5};
  label_walk walk_;
  real_matrix prior_;
  labels train_label_;
};

row_major unit_rows(const row_major& z) {
  row_major unit(z.rows(), z.cols());
  weakly::row_normalise(z, weakly::row_norm::l2, unit);
  return unit;
}

/// What --tune chooses from.
struct parameters {
  int epochs = 0;
  float rate = 0.01f;
  double eps_squared = 0.5;
  double whole = 2;  ///< gam2
};

struct labelled_rows {
  std::vector<index_t> row;
  labels label;

  labelled_rows(const labels& all, const std::vector<index_t>& among) {
    for (const index_t i : among)
      if (const auto l = all[static_cast<std::size_t>(i)]; l >= 0) {
        row.push_back(i);
        label.push_back(l);
      }
  }
  explicit labelled_rows(const labels& all) : labelled_rows(all, all_rows(all.size())) {}

 private:
  static std::vector<index_t> all_rows(std::size_t n) {
    std::vector<index_t> rows(n);
    std::iota(rows.begin(), rows.end(), index_t{0});
    return rows;
  }
};

/// The gradient of the mean cross-entropy of the rows that have a label.
row_major cross_entropy_gradient(const row_major& z, const labels& label) {
  const labelled_rows some(label);
  row_major logits = z(some.row, Eigen::all);
  weakly::cross_entropy(logits, some.label, weakly::discard, logits);
  row_major all = row_major::Zero(z.rows(), z.cols());
  all(some.row, Eigen::all) = logits / static_cast<float>(some.row.size());
  return all;
}

/// The gradient of R_c - gam2 R of the rows that have a label, at length one.
row_major rate_gradient(const row_major& z, const labels& label, index_t classes, const parameters& p) {
  const labelled_rows some(label);
  const row_major raw = z(some.row, Eigen::all), unit = unit_rows(raw);
  row_major gradient(unit.rows(), unit.cols());
  weakly::rate_reduction_loss(unit, weakly::membership_view::hard(some.label, classes), gradient, weakly::discard,
                              {.eps_squared = p.eps_squared, .gam2 = p.whole});
  weakly::row_normalise_gradient(weakly::seq, raw, weakly::row_norm::l2, gradient, gradient);
  row_major all = row_major::Zero(z.rows(), z.cols());
  all(some.row, Eigen::all) = gradient;
  return all;
}

/// Multinomial logistic regression with a penalty of half the squared weights (C = 1), by accelerated gradient descent.
row_major logistic_regression(const row_major& x, const labels& label, index_t classes) {
  row_major weight = row_major::Zero(x.cols(), classes), ahead = weight, before, error;
  const float steepest = 0.5f * static_cast<float>(x.rows()) + 1, root = std::sqrt(steepest);
  for (int step = 0; step < 300; ++step) {
    error = x * ahead;
    weakly::cross_entropy(error, label, weakly::discard, error);
    before = weight;
    weight = ahead - (x.transpose() * error + ahead) / steepest;
    ahead = weight + (root - 1) / (root + 1) * (weight - before);
  }
  return weight;
}

row_major logits_of(const row_major& z, const citation_graph& g, const labels& label) {
  const labelled_rows some(label, g.train);
  const row_major unit = unit_rows(z);
  return unit * logistic_regression(unit(some.row, Eigen::all), some.label, g.classes);
}

labels row_labels(const row_major& score) {
  labels label(static_cast<std::size_t>(score.rows()));
  weakly::row_argmax(score, label);
  return label;
}

/// In percent, on clean labels.
double accuracy_of(const citation_graph& g, const labels& label, const std::vector<index_t>& nodes) {
  index_t right = 0;
  for (const index_t i : nodes) right += label[static_cast<std::size_t>(i)] == g.label[static_cast<std::size_t>(i)];
  return 100.0 * static_cast<double>(right) / static_cast<double>(nodes.size());
}

double effective_rank_of(const row_major& z) {
  const labels one_class(static_cast<std::size_t>(z.rows()), 0);
  weakly::covariance_accumulator all(1, z.cols());
  all.add_block(unit_rows(z), weakly::membership_view::hard(one_class, 1));
  return weakly::effective_rank(all.spectrum());
}

enum class objective { none, cross_entropy, rate_reduction };
enum class labels_from { given, propagation, denoising };

struct method {
  objective what;
  labels_from from;
  parameters with;

  std::string name() const {
    static constexpr const char* of[] = {"no network", "cross-entropy", "rate reduction"};
    static constexpr const char* by[] = {"given", "propagated", "denoised"};
    return std::string(of[static_cast<int>(what)]) + ", " + by[static_cast<int>(from)] + " labels";
  }
  std::string text() const {
    if (what == objective::none) return "";
    char buffer[100];
    if (what == objective::cross_entropy)
      std::snprintf(buffer, sizeof buffer, "%d epochs, rate %g", with.epochs, double(with.rate));
    else
      std::snprintf(buffer, sizeof buffer, "%d epochs, rate %g, eps^2 %g, gam2 %g", with.epochs, double(with.rate),
                    with.eps_squared, with.whole);
    return buffer;
  }
};

struct run_result {
  double validation = 0, test = 0, rank = 0;
};

/// After each of `epochs`, ascending, of one training run.
std::vector<run_result> run(const citation_graph& g, const method& m, const labels& given,
                            const std::vector<int>& epochs, std::uint64_t seed) {
  labels target(static_cast<std::size_t>(g.nodes()), -1);
  if (m.from == labels_from::propagation)
    target = propagated_labels(g, given);
  else
    for (std::size_t t = 0; t < g.train.size(); ++t) target[static_cast<std::size_t>(g.train[t])] = given[t];
  const auto accuracies = [&](const labels& predicted, double rank) {
    return run_result{accuracy_of(g, predicted, g.validation), accuracy_of(g, predicted, g.test), rank};
  };
  if (m.what == objective::none) return {epochs.size(), accuracies(target, 0)};

  const bool rate = m.what == objective::rate_reduction;
  graph_convolution encoder(g, {.hidden = width, .output = rate ? width : g.classes, .rate = m.with.rate},
                            weakly::random_stream(seed, 1));
  const label_denoiser denoised(g, given);
  std::vector<run_result> results;
  for (int epoch = 1; epoch <= epochs.back(); ++epoch) {
    const row_major& z = encoder.forward(true);
    if (m.from == labels_from::denoising) target = denoised(z);
    encoder.backward(rate ? rate_gradient(z, target, g.classes, m.with) : cross_entropy_gradient(z, target));
    if (epoch != epochs[results.size()]) continue;
    const row_major& whole = encoder.forward(false);
    if (m.from == labels_from::denoising) target = denoised(whole);
    results.push_back(accuracies(row_labels(rate ? logits_of(whole, g, target) : whole), effective_rank_of(whole)));
  }
  return results;
}

struct noise {
  std::string name;
  weakly::matrix<double> matrix;
};

std::vector<noise> noises(index_t classes, bool few) {
  std::vector<noise> all = {{"no noise", weakly::symmetric_noise_matrix(classes, 0)},
                            {"30 % symmetric", weakly::symmetric_noise_matrix(classes, 0.3)}};
  if (few) return all;
  all.push_back({"50 % symmetric", weakly::symmetric_noise_matrix(classes, 0.5)});
  all.push_back({"30 % pair", weakly::pair_noise_matrix(classes, 0.3)});
  return all;
}

/// The best of the grid on validation nodes, on average over the kinds of noise: what --tune prints.
std::vector<method> chosen() {
  using enum objective;
  return {{none, labels_from::propagation, {}},
          {cross_entropy, labels_from::given, {40, 0.01f}},
          {cross_entropy, labels_from::propagation, {160, 0.003f}},
          {rate_reduction, labels_from::given, {80, 0.01f, 2, 2}},
          {rate_reduction, labels_from::propagation, {40, 0.01f, 0.5, 2}},
          {rate_reduction, labels_from::denoising, {80, 0.01f, 0.05, 2}}};
}

const std::vector<int> tried_epochs = {20, 40, 80, 160};

std::vector<method> grid() {
  std::vector<method> all;
  for (const float rate : {0.003f, 0.01f})
    for (const auto from : {labels_from::given, labels_from::propagation})
      all.push_back({objective::cross_entropy, from, {.rate = rate}});
  for (const auto from : {labels_from::given, labels_from::propagation, labels_from::denoising})
    for (const double eps_squared : {0.05, 0.5, 2.0})
      for (const double whole : {1.0, 2.0})
        all.push_back({objective::rate_reduction, from, {.eps_squared = eps_squared, .whole = whole}});
  return all;
}

struct options {
  int seeds = 5;
  int epochs = 0;
  int threads = weakly::thread_pool::hardware_threads();
  bool brief = false, tune = false;
  std::string svg;
};

/// results[noise][method][seed]
using results = std::vector<std::vector<std::vector<run_result>>>;

results run_all(const citation_graph& g, const std::vector<method>& methods, const std::vector<noise>& all_noise,
                const options& o) {
  const auto seeds = static_cast<std::size_t>(o.seeds);
  const std::uint64_t first_seed = o.tune ? 100 : 0;  // the table's seeds had no part in the choice
  labels clean;
  for (const index_t i : g.train) clean.push_back(g.label[static_cast<std::size_t>(i)]);
  results out(all_noise.size(), {methods.size(), std::vector<run_result>(seeds)});
  const std::size_t at_once = o.tune ? tried_epochs.size() : 1;  // methods that differ in the number of epochs alone
  const std::size_t runs = methods.size() / at_once;
  weakly::thread_pool pool(o.threads);
  pool(static_cast<index_t>(all_noise.size() * runs * seeds), [&](index_t job) {
    const std::size_t j = static_cast<std::size_t>(job), seed = j % seeds, m = j / seeds % runs * at_once,
                      n = j / seeds / runs;
    labels given(clean.size());
    weakly::noisy_labels(clean, all_noise[n].matrix, first_seed + seed, given);
    std::vector<int> epochs;
    for (std::size_t e = 0; e < at_once; ++e) epochs.push_back(methods[m + e].with.epochs);
    const auto of_run = run(g, methods[m], given, epochs, first_seed + seed);
    for (std::size_t e = 0; e < at_once; ++e) out[n][m + e][seed] = of_run[e];
  });
  return out;
}

struct summary {
  double mean = 0, deviation = 0;
};

template <class Value>
summary summary_of(const std::vector<run_result>& runs, Value value) {
  const auto count = static_cast<double>(runs.size());
  summary s;
  for (const run_result& r : runs) s.mean += value(r) / count;
  double squares = 0;
  for (const run_result& r : runs) squares += std::pow(value(r) - s.mean, 2);
  if (runs.size() > 1) s.deviation = std::sqrt(squares / (count - 1));
  return s;
}

/// In Markdown: mean and standard deviation over the seeds, the mean over the noises, and how many directions the
/// embeddings are spread over, at the noise where that is least.
void print_table(const std::vector<method>& methods, const std::vector<noise>& all_noise, const results& r, bool tune) {
  std::string head = "| method | parameters |", rule = "| --- | --- |";
  for (const noise& n : all_noise) {
    head += " " + n.name + " |";
    rule += " --- |";
  }
  std::printf("%s mean | effective rank |\n%s --- | --- |\n", head.c_str(), rule.c_str());
  for (std::size_t m = 0; m < methods.size(); ++m) {
    std::printf("| %s | %s |", methods[m].name().c_str(), methods[m].text().c_str());
    double total = 0, rank = HUGE_VAL;
    for (std::size_t n = 0; n < all_noise.size(); ++n) {
      const summary s = summary_of(r[n][m], [&](const run_result& x) { return tune ? x.validation : x.test; });
      std::printf(" %.1f ± %.1f |", s.mean, s.deviation);
      total += s.mean / static_cast<double>(all_noise.size());
      rank = std::min(rank, summary_of(r[n][m], [](const run_result& x) { return x.rank; }).mean);
    }
    std::printf(methods[m].what == objective::none ? " %.1f | |\n" : " %.1f | %.1f |\n", total, rank);
  }
}

void write_chart(const citation_graph& g, const std::vector<method>& methods, const std::vector<noise>& all_noise,
                 const results& r, const std::string& path) {
  accuracy_bars chart;
  chart.title = "Accuracy on clean test labels, " + g.name;
  for (const method& m : methods) chart.methods.push_back(m.name());
  for (std::size_t n = 0; n < all_noise.size(); ++n) {
    accuracy_bars::group group{all_noise[n].name, {}};
    for (const auto& runs : r[n]) {
      const summary s = summary_of(runs, [](const run_result& x) { return x.test; });
      group.bars.push_back({s.mean, s.deviation});
    }
    chart.groups.push_back(std::move(group));
  }
  std::ofstream file(path);
  file << chart.svg();
  file.close();
  if (!file) throw std::runtime_error(path + " cannot be written; check the path of --svg");
}

/// Embeddings spread over fewer directions than there are classes are on their way to a collapse, or just began.
void warn_of_collapse(const citation_graph& g, const std::vector<method>& methods, const std::vector<noise>& all_noise,
                      const results& r) {
  for (std::size_t n = 0; n < all_noise.size(); ++n)
    for (std::size_t m = 0; m < methods.size(); ++m)
      for (const run_result& run : r[n][m])
        if (methods[m].what == objective::rate_reduction && run.rank < static_cast<double>(g.classes))
          std::fprintf(stderr, "erase_cora: warning: %s (%s), %s: an effective rank of %.1f for %d classes\n",
                       methods[m].name().c_str(), methods[m].text().c_str(), all_noise[n].name.c_str(), run.rank,
                       static_cast<int>(g.classes));
}

/// Whether every method learns from right labels: half of all nodes right is far from chance.
bool is_sound(const std::vector<method>& methods, const results& r) {
  bool sound = true;
  for (std::size_t m = 0; m < methods.size(); ++m)
    if (!(summary_of(r[0][m], [](const run_result& x) { return x.test; }).mean > 50)) {
      std::fprintf(stderr, "erase_cora: %s (%s) does not learn from right labels\n", methods[m].name().c_str(),
                   methods[m].text().c_str());
      sound = false;
    }
  return sound;
}

citation_graph graph_at_hand() {
  const char* const folder = std::getenv("WEAKLY_REFERENCE_DATA");
  if (folder == nullptr || *folder == '\0') return generated_citation_graph();
  return read_citation_graph(std::filesystem::path(folder) / "graphs" / "cora");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Trains graph convolutions on a citation graph with noisy labels, by rate reduction and by cross-entropy, and "
      "prints the accuracy on clean ones.",
      "erase_cora");
  options o;
  const CLI::Option* const seeds = app.add_option("--seeds", o.seeds, "runs of each method and noise (default 5)");
  const CLI::Option* const fixed_epochs =
      app.add_option("--epochs", o.epochs, "steps of each run, instead of the chosen number");
  app.add_option("--threads", o.threads, "threads; the results do not depend on it (default: all)");
  app.add_flag("--short", o.brief, "a check of some seconds: one seed, two kinds of noise, at most 40 epochs");
  const CLI::Option* const svg = app.add_option("--svg", o.svg, "write a plot of the accuracies")->type_name("out.svg");
  app.add_flag("--tune", o.tune, "a grid of parameters on validation nodes, instead of the chosen ones on test nodes");
  for (const char* name : {"--seeds", "--epochs", "--threads"}) app.get_option(name)->check(CLI::Range(1, 1000));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  if (o.brief && seeds->count() == 0) o.seeds = 1;
  try {
    if (o.tune && fixed_epochs->count() + svg->count() > 0)
      throw std::runtime_error("--tune tries epochs of its own and has no plot; leave out --epochs and --svg");
    if (svg->count() > 0 && !std::ofstream(o.svg, std::ios::app))  // before minutes of work
      throw std::runtime_error(o.svg + " cannot be written; check the path of --svg");
    const citation_graph g = graph_at_hand();
    std::printf("On %s: %lld nodes, %lld classes, %lld labelled for training.\n\n", g.name.c_str(),
                static_cast<long long>(g.nodes()), static_cast<long long>(g.classes),
                static_cast<long long>(g.train.size()));
    std::vector<method> methods = chosen();
    if (o.epochs > 0)
      for (method& m : methods) m.with.epochs = o.epochs;
    if (o.brief)
      for (method& m : methods) m.with.epochs = std::min(m.with.epochs, 40);
    if (o.tune) {
      methods.clear();
      for (method m : grid())
        for (const int epochs : tried_epochs) {
          m.with.epochs = epochs;
          methods.push_back(m);
        }
    }
    const std::vector<noise> all_noise = noises(g.classes, o.brief);
    const results r = run_all(g, methods, all_noise, o);
    print_table(methods, all_noise, r, o.tune);
    if (!o.tune) warn_of_collapse(g, methods, all_noise, r);
    if (!o.svg.empty()) write_chart(g, methods, all_noise, r, o.svg);
    return o.tune || is_sound(methods, r) ? 0 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "erase_cora: %s\n", e.what());
    return 2;
  }
}
