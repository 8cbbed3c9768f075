// expect: no matching function|constraints not satisfied
#include <weakly/core/view.hpp>

#include <vector>

int main() {
#ifdef MUST_FAIL
  std::vector<bool> x(3);
#else
  std::vector<unsigned char> x(3);
#endif
  return static_cast<int>(weakly::view(x).size());
}
