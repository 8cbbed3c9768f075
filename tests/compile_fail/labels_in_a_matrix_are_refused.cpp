// expect: no matching function|constraints not satisfied
#include <weakly/check/labels.hpp>
#include <weakly/core/matrix.hpp>

int main() {
  const weakly::matrix<int> labels(2, 1);
#ifdef MUST_FAIL
  return static_cast<int>(weakly::check_labels(labels, 2).count);
#else
  return static_cast<int>(weakly::check_labels(labels.elements(), 2).count);
#endif
}
