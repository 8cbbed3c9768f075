// expect: anything
// harness: compiles and must not
int main() {}
