// expect: no matching function|constraints not satisfied
#include <weakly/check/labels.hpp>

#include <array>

int main() {
#ifdef MUST_FAIL
  const std::array<bool, 2> labels{false, true};
#else
  const std::array<char, 2> labels{0, 1};
#endif
  return static_cast<int>(weakly::check_labels(labels, 2).count);
}
