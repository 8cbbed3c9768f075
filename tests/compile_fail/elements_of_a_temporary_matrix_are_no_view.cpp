// expect: conversion from|no viable conversion
#include <weakly/core/matrix.hpp>

#include <span>

int main() {
#ifdef MUST_FAIL
  const std::span<int> elements = weakly::matrix<int>(2, 3).elements();
#else
  weakly::matrix<int> owner(2, 3);
  const std::span<int> elements = owner.elements();
#endif
  return elements.size() == 6 ? 0 : 1;
}
