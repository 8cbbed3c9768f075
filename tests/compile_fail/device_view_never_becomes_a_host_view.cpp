// expect: conversion from .* to non-scalar type|no viable conversion
#include <weakly/core/view.hpp>

int main() {
  const weakly::matrix_view<float, weakly::device_memory> device;
#ifdef MUST_FAIL
  const weakly::matrix_view<const float> v = device;
#else
  const weakly::matrix_view<const float, weakly::device_memory> v = device;
#endif
  return static_cast<int>(v.size());
}
