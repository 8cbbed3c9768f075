// expect: weakly gives NaN and infinity a meaning
#ifdef MUST_FAIL
#undef __FINITE_MATH_ONLY__
#define __FINITE_MATH_ONLY__ 1  // what -ffast-math and -ffinite-math-only do
#endif
#include <weakly/core/config.hpp>

int main() {}
