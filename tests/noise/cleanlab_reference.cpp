// SPDX-License-Identifier: MIT
// cleanlab's results on real and artificial data (WEAKLY_REFERENCE_DATA) against weakly's compatibility mode.
#include "cleanlab_case.hpp"
#include "golden/reference_data.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

/// What the folders also hold and noise/ does not compute: cleanlab's batched variant, whose results depend on the size
/// of the batches, and out-of-distribution scores.
bool out_of_scope(const std::string& array) {
  return array.starts_with("expected_batched_") || array.starts_with("expected_ood_");
}

bool single_label(const fs::path& folder) {
  return fs::exists(folder / "expected_thresholds.npy") && fs::exists(folder / "expected_off_diagonal_indices.npy");
}

std::vector<fs::path> single_label_folders(const fs::path& root) {
  std::vector<fs::path> folders{root / "mnist", root / "20news"};
  for (const auto& entry : fs::directory_iterator(root / "edge"))
    if (single_label(entry.path())) folders.push_back(entry.path());
  std::sort(folders.begin() + 2, folders.end());
  return folders;
}

}  // namespace

TEST_CASE("reference data: every stored single-label result of cleanlab is reproduced") {
  const auto root = support::reference_data("confident_learning");
  if (!root) return;
  golden::comparison all;
  const std::vector<fs::path> folders = single_label_folders(*root);
  for (const fs::path& folder : folders) {
    golden::reference_case stored(folder);
    const golden::single_label expected = golden::load_reference(stored);
    golden::comparison one{expected.name};
    const auto s = cleanlab_case::subject_of(expected, expected.dtype);
    s->check_joint(one);
    s->check_latent(one);
    s->check_issues(one);
    // numpy 1.24, which made these, kept the weighted entropy of float32 in float32; later versions widen it.
    s->check_scores(one, expected.dtype == "float32" ? 1e-6 : 1e-12);
    s->check_health(one);
    for (const std::string& array : stored.unread()) CHECK_MESSAGE(out_of_scope(array), expected.name << ": " << array);
    MESSAGE(one.subject << ": " << one.quantities << " results, " << one.values << " numbers");
    all.add(one);
  }
  CHECK(folders.size() >= 17);
  CHECK(all.quantities >= 1139);
  CHECK(all.values >= 146194);
  MESSAGE("in all: " << folders.size() << " folders, " << all.quantities << " results, " << all.values << " numbers");
}

TEST_CASE("reference data: in single precision the same rows are flagged and the same cells counted") {
  const auto root = support::reference_data("confident_learning");
  if (!root) return;
  golden::comparison all;
  for (const fs::path& folder : single_label_folders(*root)) {
    golden::reference_case stored(folder);
    const nlohmann::json expected = stored.expected();
    if (!expected.contains("float32_input")) continue;
    const auto& claim = expected["float32_input"];
    const golden::single_label c = golden::load_reference(stored);
    const auto narrow = cleanlab_case::subject_of(c, "float32");
    golden::comparison one{c.name + " in float32"};
    std::int64_t cells = 0;
    double moved = 0;
    for (std::size_t i = 0; i < c.confident_joint_raw.size(); ++i)
      cells += narrow->joint().counts.elements()[i] != c.confident_joint_raw[i];
    for (std::size_t a = 0; a < c.thresholds.size(); ++a)
      moved = std::max(moved, std::abs(narrow->joint().thresholds[a] - c.thresholds[a]));
    one.exact("cells", cells, claim.at("confident_joint_raw_cells_differing").get<std::int64_t>());
    one.close("threshold", moved, claim.at("max_abs_threshold_difference").get<double>(), 1e-12);
    for (const auto& f : c.filters) {
      if (cleanlab_case::described(f) != f.filter_by) continue;
      CHECK(claim.at("masks_differing").at(f.filter_by) == 0);
      one.exact(f.filter_by, narrow->issues(f), *f.issues);
    }
    all.add(one);
  }
  CHECK(all.quantities >= 36);
}

TEST_CASE("reference data: rounding, prune counts and noise algebra are cleanlab's") {
  const auto root = support::reference_data("confident_learning");
  if (!root) return;
  golden::comparison c{"rounding"};
  const auto stored = golden::read_json(*root / "edge" / "rounding" / "expected.json");
  cleanlab_case::check_rounding(stored, c);
  cleanlab_case::check_noise_algebra(stored, c);
  CHECK(c.quantities >= 48);
  CHECK(c.values >= 690);
}
