// expect: conversion from .* to non-scalar type|no viable conversion
#include <weakly/core/view.hpp>

#include <vector>

int main() {
  const std::vector<float> numbers(3);
#ifdef MUST_FAIL
  weakly::vector_view<float> v = weakly::view(numbers);
#else
  weakly::vector_view<const float> v = weakly::view(numbers);
#endif
  return static_cast<int>(v.size());
}
