// SPDX-License-Identifier: MIT
// Belief propagation on the model of a file: see --help, and README.md of this folder.
#include "../command_line/atomic_file.hpp"
#include "../command_line/start_threads.hpp"
#include "fg_format.hpp"
#include "graph.hpp"
#include "options.hpp"
#include "read_file.hpp"
#include "solution_format.hpp"
#include "uai_format.hpp"

#include <weakly/core/error.hpp>
#include <weakly/graph/belief_propagation.hpp>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <new>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace command_line;
using namespace uai;

model read_model(const std::string& path) {
  const std::string text = read_file(path);
  return path.ends_with(".fg") ? read_fg(text, path) : read_uai(text, path);
}

void run(const options& o) {
  std::optional<atomic_file> out;
  if (!o.out.empty()) out.emplace(o.out);  // before the work: the place may not be writable
  const model m = read_model(o.model);
  evidence e;
  if (!o.evidence.empty()) {
    e = read_evidence(read_file(o.evidence), o.evidence, m);
    if (e.has_tail)
      std::fprintf(stderr, "uai_marginals: note: %s goes on after the pairs that it declares; the rest is ignored\n",
                   printable(o.evidence).c_str());
  }

  const bool map = o.propagation.temperature == weakly::max_product;
  std::string solution;
  try {
    const weakly::factor_graph<double> graph = graph_of(m);
    weakly::belief_propagation<double> propagation(graph, o.propagation);
    for (const auto& [variable, state] : e.observed) propagation.clamp(variable, state);
    const auto threads = start_threads(o.threads);
    weakly::thread_pool& pool = *threads;
    const weakly::belief_propagation_result result = propagation.run(pool);
    std::printf("%d variables, %zu factors, %zu observed\n", m.variables(), m.factors.size(), e.observed.size());
    std::printf("iterations  %lld\n", static_cast<long long>(result.iterations));
    std::printf("residual    %.3g\n", result.change);
    std::printf("converged   %s\n", !result.converged        ? "no: try --damping 0.5, or more of --max-iter"
                                    : result.iterations == 0 ? "yes, without cycles the results are exact"
                                                             : "yes");
    if (map) {
      std::vector<std::int32_t> state(m.states.size());
      std::printf("log weight  %.12g, of the states found\n", propagation.map_states(state));
      solution = mpe_text(state);
    } else {
      std::vector<double> belief(static_cast<std::size_t>(graph.all_states()));
      propagation.all_beliefs(pool, belief);
      const double log_z = propagation.log_z();
      std::printf("log Z       %.12g, by Bethe (log10 Z %.10g)\n", log_z, log_z / std::numbers::ln10);
      solution = mar_text(m.states, belief);
    }
  } catch (const weakly::error& error) {
    throw bad_input(printable(o.model) + ": " + error.what() + "; such a model" +
                    (e.observed.empty() ? "" : " with this evidence") + " has no solution");
  }
  if (out) {
    out->write(solution);
    out->commit();
  }
  if (std::fflush(stdout) != 0) throw file_error("the report cannot be printed; check where the output goes");
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  try {
    temporaries::delete_on_signal();
    if (const std::optional<int> status = parse(argc, argv, o)) return *status;
    run(o);
    return 0;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "uai_marginals: %s: not enough memory for this model; use a machine with more\n",
                 printable(o.model).c_str());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "uai_marginals: %s\n", printable(e.what()).c_str());
  }
  return 2;
}
