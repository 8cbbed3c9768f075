// SPDX-License-Identifier: MIT
// For programs that keep their numbers in xtensor, for instance tags of words: probabilities [sentence, word, class].
// Tensors of any rank are lists of rows where their strides allow it, and an xarray says its rank when it is viewed.
#include <weakly/adapt/xtensor.hpp>
#include <weakly/noise/label_issues.hpp>
#include <weakly/noise/label_quality.hpp>

#include <cstdint>
#include <cstdio>
#include <vector>

int main() {
  constexpr std::size_t sentences = 20, words = 12, k = 4;
  xt::xtensor<float, 3> prob = xt::ones<float>({sentences, words, k}) * 0.02f;
  xt::xarray<std::uint8_t> tags = xt::zeros<std::uint8_t>({sentences, words});
  std::vector<weakly::index_t> wrong;
  for (std::size_t s = 0; s < sentences; ++s)
    for (std::size_t w = 0; w < words; ++w) {
      const std::size_t truth = (s + w) % k;
      prob(s, w, truth) = 0.94f;
      tags(s, w) = std::uint8_t(truth);
      if (w == 5 && s % 3 == 0) {
        tags(s, w) = std::uint8_t((truth + 1) % k);
        wrong.push_back(weakly::index_t(s * words + w));
      }
    }

  // [sentence, word, class] is a matrix of rows x k, without a copy. The rank of an xarray is known only at run time,
  // so it is asked for; a wrong one throws shape_error. A contiguous matrix of tags is a vector of them.
  const auto rows = weakly::as_rows(weakly::view(prob));
  const auto tag_matrix = weakly::as_view<std::uint8_t, 2>(tags);
  const auto labels = weakly::view(tag_matrix.data(), tag_matrix.size());

  const weakly::label_issue_result found = weakly::find_label_issues(labels, rows);
  std::printf("%d of %d tags look wrong\n", int(found.rows.size()), int(labels.size()));

  // Slices are views too: the scores of one sentence, written into a row of a tensor.
  xt::xtensor<double, 2> quality = xt::zeros<double>({sentences, words});
  weakly::label_quality(weakly::view(&tag_matrix(3, 0), words), xt::view(prob, 3), xt::view(quality, 3));

  const bool right = found.rows == wrong && quality(3, 5) < 0.1 && quality(3, 4) > 0.9 && quality(4, 5) == 0;
  if (!right) std::fputs("xtensor: unexpected result\n", stderr);
  return right ? 0 : 1;
}
