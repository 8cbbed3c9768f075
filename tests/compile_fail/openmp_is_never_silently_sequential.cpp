// expect: compile with -fopenmp
#ifdef MUST_FAIL
#include <weakly/exec/openmp.hpp>
#else
#include <weakly/core/executor.hpp>
#endif

int main() {}
