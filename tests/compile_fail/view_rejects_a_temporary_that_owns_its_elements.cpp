// expect: no matching function|constraints not satisfied
#include <weakly/core/view.hpp>

#include <vector>

std::vector<float> make();

int main() {
#ifdef MUST_FAIL
  return static_cast<int>(weakly::view(make()).size());
#else
  const std::vector<float> kept = make();
  return static_cast<int>(weakly::view(kept).size());
#endif
}
