// expect: anything
// harness: the control of .* does not compile
static_assert(sizeof(int) == 1);
int main() {}
