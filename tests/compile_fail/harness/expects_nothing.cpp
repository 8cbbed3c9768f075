#ifdef MUST_FAIL
#error "no expectation"
#endif
// harness: does not begin with `// expect:
int main() {}
