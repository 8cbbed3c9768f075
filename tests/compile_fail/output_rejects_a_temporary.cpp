// expect: no matching function|constraints not satisfied
#include <weakly/core/view.hpp>

#include <vector>

template <weakly::writable_vector Out>
void fill(Out&& out) {
  weakly::view(out)(0) = 1;
}

int main() {
#ifdef MUST_FAIL
  fill(std::vector<float>(1));
#else
  std::vector<float> out(1);
  fill(out);
#endif
}
