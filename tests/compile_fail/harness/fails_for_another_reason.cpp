// expect: use of deleted function
// harness: fails for another reason than `use of deleted function`
#ifdef MUST_FAIL
static_assert(sizeof(int) == 1);
#endif
int main() {}
