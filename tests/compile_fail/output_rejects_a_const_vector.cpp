// expect: constraints not satisfied|no matching function
#include <weakly/core/view.hpp>

#include <vector>

template <weakly::writable_vector Out>
void fill(Out&& out) {
  weakly::view(out)(0) = 1;
}

int main() {
#ifdef MUST_FAIL
  const std::vector<float> out(1);
#else
  std::vector<float> out(1);
#endif
  fill(out);
}
