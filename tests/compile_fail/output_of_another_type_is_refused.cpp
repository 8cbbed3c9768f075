// expect: no matching function|constraints not satisfied
#include <weakly/core/matrix.hpp>
#include <weakly/noise/confident_guess.hpp>

#include <vector>

int main() {
  const weakly::matrix<float> prob(2, 2, 0.5f);
  const std::vector<double> thresholds(2, 0.5);
#ifdef MUST_FAIL
  std::vector<unsigned> guess(2);  // no -1 in it
#else
  std::vector<int> guess(2);
#endif
  weakly::confident_guess(prob, thresholds, guess);
}
