// expect: constraints not satisfied|no matching function
#include <weakly/core/view.hpp>

template <weakly::on_host X>
weakly::index_t host_algorithm(const X& x) {
  return weakly::view(x).size();
}

int main() {
#ifdef MUST_FAIL
  using memory = weakly::device_memory;
#else
  using memory = weakly::host_memory;
#endif
  return static_cast<int>(host_algorithm(weakly::matrix_view<const float, memory>()));
}
