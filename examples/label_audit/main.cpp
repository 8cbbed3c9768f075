// SPDX-License-Identifier: MIT
// Audits the labels of a classification data set by confident learning: see --help, and README.md of this folder.
#include "../command_line/atomic_file.hpp"
#include "../command_line/start_threads.hpp"
#include "../digits.hpp"
#include "audit.hpp"
#include "labels.hpp"
#include "options.hpp"
#include "probabilities.hpp"
#include "progress.hpp"
#include "report_html.hpp"
#include "report_json.hpp"
#include "report_terminal.hpp"
#include "trainer.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace command_line;
using namespace label_audit;
using namespace examples;

/// The reports that were asked for. Their places are tried before the work, and all appear at its end.
class reports {
 public:
  explicit reports(const options& o) : json_(open(o.json)), issues_(open(o.issues)), html_(open(o.html)) {}

  void write(const audit_result& r, const digits* pictures) {
    if (json_) write_json(*json_, r);
    if (issues_) write_csv(*issues_, r);
    if (html_) html_->write(html_report(r, pictures).text());
    for (auto* file : {&json_, &issues_, &html_})
      if (*file) (*file)->finish();
    for (auto* file : {&json_, &issues_, &html_})
      if (*file) (*file)->commit();
  }

 private:
  static std::optional<atomic_file> open(const std::string& path) {
    return path.empty() ? std::nullopt : std::optional<atomic_file>(std::in_place, path);
  }

  std::optional<atomic_file> json_, issues_, html_;
};

std::vector<std::string> class_names(const options& o, index_t k) {
  if (!o.class_names.empty()) return read_class_names(o.class_names, k);
  std::vector<std::string> numbers;
  for (index_t c = 0; c < k; ++c) numbers.push_back(std::to_string(c));
  return numbers;
}

plain_run summary_of(const audit_result& r) {
  return {static_cast<index_t>(r.issues.size()), r.health.off_diagonal_issues, r.health.calibrated_issues,
          r.health.confident_health};
}

/// Audits the labels; with --flip audits them again after the corruption. `predict` gives the probabilities to use with
/// a set of labels.
template <class T, class Exec, class Predict>
audit_result audit(Exec& exec, std::vector<std::int32_t>& labels, const options& o, progress& bar, Predict&& predict) {
  // cleanlab's entropy takes the logarithm of whatever is there, so it refuses entries that are off by rounding.
  const bool strict = o.like_cleanlab && o.score == "confidence_weighted_entropy";
  const row_rules rules{.normalise = o.normalise, .any_sum = o.like_cleanlab, .slack = strict ? 0.0 : 1e-6};
  const auto run = [&](bool check, flipped_labels* flipped) {
    probability_source<T>& source = predict(labels);
    batches<T> data(source, rules, o.batch, bar);
    auditor<T, Exec> auditor(exec, data, labels, o);
    audit_result r = auditor.run(check);
    if (flipped) r.flip = auditor.evaluate(r, std::move(*flipped));
    return r;
  };
  audit_result r = run(true, nullptr);
  if (!o.flip) return r;

  const plain_run plain = summary_of(r);
  flipped_labels flipped = flip_labels(labels, r.k, *o.flip, o.seed);
  r = run(false, &flipped);
  r.flip->fraction = *o.flip;
  r.flip->seed = o.seed;
  r.flip->plain = plain;
  return r;
}

template <class Exec>
audit_result audit_digits(Exec& exec, const digits& d, const options& o, progress& bar) {
  constexpr index_t folds = 5;
  std::vector<std::string> names = class_names(o, digits::classes);
  std::vector<std::int32_t> labels = d.label;
  const row_major x = features_of(d);
  row_major p;
  std::optional<memory_probabilities> source;
  double accuracy = 0;
  audit_result r = audit<float>(
      exec, labels, o, bar, [&](const std::vector<std::int32_t>& current) -> auto& {
        bar.step("training", 0, 1);
        p = cross_validated_probabilities(exec, x, current, digits::classes, folds, o.seed);
        index_t right = 0;
        for (index_t i = 0; i < p.rows(); ++i) {
          index_t best = 0;
          p.row(i).maxCoeff(&best);
          right += best == current[static_cast<std::size_t>(i)];
        }
        accuracy = static_cast<double>(right) / static_cast<double>(p.rows());
        const std::span<const float> values(p.data(), static_cast<std::size_t>(p.size()));
        return static_cast<probability_source<float>&>(source.emplace("the shipped digits", digits::classes, values));
      });
  r.class_names = std::move(names);
  r.source = "UCI optical digits, predicted by a small perceptron in 5-fold cross-validation";
  r.model_accuracy = accuracy;
  return r;
}

void require_probabilities(const npy::npy_file& p) {
  constexpr index_t most_classes = 10000;
  static_assert(most_classes < issue::most_classes);
  const auto refuse = [&](const std::string& what) { throw bad_input(p.name() + ": " + what); };
  if (p.rank() != 2)
    refuse("has shape " + p.shape_text() + "; class probabilities have shape (n, k), one column a class");
  if (!npy::is_real(p.type()))
    refuse("holds " + std::string(p.type_name()) + "; class probabilities are float16, float32 or float64");
  if (p.rows() >= issue::most_rows)
    refuse("has " + grouped(p.rows()) + " rows; this tool takes fewer than " + grouped(issue::most_rows));
  if (p.rows() == 0) refuse("has no rows; give the probabilities of at least one example");
  if (p.cols() < 2)
    refuse("has " + counted(p.cols(), "class column") + "; give one column a class, two or more (1 - p and p for two)");
  if (p.cols() > most_classes)
    refuse("has " + grouped(p.cols()) + " classes; this report holds k x k tables and takes at most " +
           grouped(most_classes) + ": call the library on lists of the top probabilities instead");
  // A process that the system kills for its memory says nothing, so what is known before is said before.
  const auto gib = [](double bytes) { return fixed(bytes / 0x1p30, 1) + " GiB"; };
  const double tables = 74.0 * static_cast<double>(p.cols()) * static_cast<double>(p.cols());
  const double memory = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  if (memory > 0 && tables > memory)
    refuse("has " + grouped(p.cols()) + " classes, whose k x k tables take " + gib(tables) + "; this machine has " +
           gib(memory) + ": call the library on lists of the top probabilities instead");
}

template <class Exec>
audit_result audit_files(Exec& exec, const options& o, progress& bar) {
  npy::npy_file p(o.pred_probs), s(o.labels);
  require_probabilities(p);
  if (s.rank() > 0 && s.rows() != p.rows())
    throw bad_input(s.name() + ": has " + counted(s.rows(), "label") + ", but " + p.name() + " has " +
                    counted(p.rows(), "row") + "; give one label for each row");
  std::vector<std::string> names = class_names(o, p.cols());
  std::vector<std::int32_t> labels = read_labels(s, p.cols());

  const auto run = [&]<class T>(T) {
    file_probabilities<T> source(p);
    return audit<T>(
        exec, labels, o, bar, [&](const auto&) -> auto& { return static_cast<probability_source<T>&>(source); });
  };
  audit_result r = p.type() == npy::element::float64   ? run(double{})
                   : p.type() == npy::element::float32 ? run(float{})
                                                       : run(weakly::half(0.0f));
  r.class_names = std::move(names);
  r.source = o.pred_probs + ", " + o.labels;
  return r;
}

void run(const options& o) {
  reports out(o);
  const auto threads = start_threads(o.threads);
  weakly::thread_pool& pool = *threads;
  audit_result r;
  std::optional<digits> d;
  {
    progress bar(!o.quiet);
    if (o.pred_probs.empty()) {
      d = read_digits(digits_path());
      r = audit_digits(pool, *d, o, bar);
    } else {
      r = audit_files(pool, o, bar);
    }
  }
  out.write(r, d ? &*d : nullptr);
  if (o.quiet) return;
  const bool bold = ::isatty(STDOUT_FILENO) == 1 && !std::getenv("NO_COLOR");
  std::fputs(terminal_report(r, bold).text().c_str(), stdout);
  if (std::fflush(stdout) != 0) throw file_error("the report cannot be printed; check where the output goes");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    temporaries::delete_on_signal();
    options o;
    if (const std::optional<int> status = parse(argc, argv, o)) return *status;
    if (!o.note.empty() && !o.quiet) std::fprintf(stderr, "label_audit: note: %s\n", o.note.c_str());
    run(o);
    return 0;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "label_audit: not enough memory; pass a smaller --batch, or fewer --threads\n");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "label_audit: %s\n", printable(e.what()).c_str());
  }
  return 2;
}
