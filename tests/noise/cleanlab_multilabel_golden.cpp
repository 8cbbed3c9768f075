// SPDX-License-Identifier: MIT
// The stored multi-label results of cleanlab in tests/golden and WEAKLY_REFERENCE_DATA against weakly's compatibility
// mode.
#include "cleanlab_multilabel_case.hpp"
#include "golden/reference_data.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <string>

namespace {

template <class Check>
golden::comparison walk(Check&& check) {
  golden::comparison all;
  for (const std::string& name : golden::case_names("multi_label")) {
    const golden::multi_label expected = golden::load_multi_label(name);
    golden::with_dtype(expected.dtype, [&](auto element) {
      golden::comparison one{name};
      check(cleanlab_case::multilabel_subject<decltype(element)>(expected), one);
      all.add(one);
    });
  }
  return all;
}

}  // namespace

TEST_CASE("golden, multi-label: thresholds and joints of every class are cleanlab's") {
  const auto all = walk([](const auto& s, auto& c) { cleanlab_case::check_multilabel_joint(s, c); });
  CHECK(all.quantities == 40);
  CHECK(all.values == 417);
}

TEST_CASE("golden, multi-label: every filter flags cleanlab's rows in every class") {
  const auto all = walk([](const auto& s, auto& c) { cleanlab_case::check_multilabel_issues(s, c); });
  CHECK(all.quantities == 302);
  CHECK(all.values == 3463);
}

TEST_CASE("golden, multi-label: scores of classes and of rows are cleanlab's") {
  const auto all = walk([](const auto& s, auto& c) { cleanlab_case::check_multilabel_scores(s, c); });
  CHECK(all.quantities == 45);
  CHECK(all.values == 10800);
}

TEST_CASE("reference data: every stored multi-label result of cleanlab is reproduced, its defective ranking aside") {
  const auto root = support::reference_data("confident_learning/edge");
  if (!root) return;
  golden::comparison all;
  for (const std::string folder : {"multilabel", "multilabel_absent_class"}) {
    golden::reference_case stored(*root / folder);
    const golden::multi_label expected = golden::load_multi_label_reference(stored);
    golden::comparison one{folder};
    const cleanlab_case::multilabel_subject<double> s(expected);
    cleanlab_case::check_multilabel_joint(s, one);
    cleanlab_case::check_multilabel_issues(s, one);
    cleanlab_case::check_multilabel_scores(s, one);
    // The variant for low memory depends on the size of its batches.
    for (const std::string& array : stored.unread())
      CHECK_MESSAGE(array == "expected_mask_low_memory", folder << ": " << array);
    MESSAGE(folder << ": " << one.quantities << " results, " << one.values << " numbers");
    all.add(one);
  }
  CHECK(all.quantities >= 102);
  CHECK(all.values >= 8578);
}
