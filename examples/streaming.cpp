// SPDX-License-Identifier: MIT
// For data that do not fit into memory, or lie on several machines: two workers each see some of the batches, and their
// estimators merge. The result is the one of all data in memory, bit for bit, whatever the batches and the merges.
#include <weakly/core/matrix.hpp>
#include <weakly/exec/thread_pool.hpp>
#include <weakly/noise/calibrate_joint.hpp>
#include <weakly/noise/label_issues.hpp>

#include <algorithm>
#include <cstdio>
#include <vector>

struct batch {
  weakly::index_t first_row;
  std::vector<int> labels;
  weakly::matrix<float> prob;
};

constexpr weakly::index_t total_rows = 10000, classes = 5, batch_rows = 768;

batch read(weakly::index_t first_row, weakly::index_t rows) {  // stands for a file, a queue, a data loader
  batch b{first_row, {}, weakly::matrix<float>(rows, classes, 0.1f)};
  for (weakly::index_t i = 0; i < rows; ++i) {
    const weakly::index_t row = first_row + i, truth = row % classes;
    const float sure = 0.05f * static_cast<float>(row % 7);
    b.prob(i, truth) = 0.6f - sure;
    b.prob(i, (truth + 2) % classes) += sure;
    b.labels.push_back(static_cast<int>(row % 31 == 5 ? (truth + 2) % classes : truth));
  }
  return b;
}

template <class F>
void for_batches(int worker, F&& f) {  // worker 0 sees batches 0, 2, 4, ..., worker 1 the others
  for (weakly::index_t first = worker * batch_rows; first < total_rows; first += 2 * batch_rows)
    f(read(first, std::min(batch_rows, total_rows - first)));
}

int main() {
  weakly::thread_pool pool;  // starts once; every add below runs on it

  std::vector<weakly::class_threshold_estimator> thresholds(2, weakly::class_threshold_estimator(classes));
  for (int w = 0; w < 2; ++w)
    for_batches(w, [&](const batch& b) { thresholds[std::size_t(w)].add(pool, b.labels, b.prob); });
  thresholds[1].merge(thresholds[0]);  // between machines: an integer all-reduce over state(), then normalise()

  weakly::confident_joint_result all;
  all.thresholds = thresholds[1].finish();
  all.rejected = thresholds[1].rejected();
  std::vector<weakly::confident_joint_estimator> joint(2, weakly::confident_joint_estimator(all.thresholds));
  for (int w = 0; w < 2; ++w)
    for_batches(w, [&](const batch& b) { joint[std::size_t(w)].add(pool, b.labels, b.prob); });
  joint[0].merge(joint[1]);
  all.counts = joint[0].finish();
  all.label_counts = joint[0].label_counts();
  all.off_diagonal_issues = joint[0].off_diagonal_issues();

  const auto calibrated = weakly::calibrate_joint(all.counts, all.label_counts);
  std::vector<weakly::label_issue_estimator> issues(2, weakly::label_issue_estimator(all, calibrated));
  for (int w = 0; w < 2; ++w)
    for_batches(w, [&](const batch& b) { issues[std::size_t(w)].add(pool, b.first_row, b.labels, b.prob); });
  issues[0].merge(issues[1]);
  const std::vector<weakly::index_t> rows = issues[0].finish();
  std::printf("%d of %d labels look wrong\n", int(rows.size()), int(total_rows));

  const batch whole = read(0, total_rows);
  const weakly::label_issue_result expected = weakly::find_label_issues(whole.labels, whole.prob);
  const bool same = rows == expected.rows && all.thresholds == expected.joint.thresholds &&
                    all.counts == expected.joint.counts && !rows.empty();
  if (!same) std::fputs("streaming: differs from the data in memory\n", stderr);
  return same ? 0 : 1;
}
