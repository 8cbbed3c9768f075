// SPDX-License-Identifier: MIT
#include "rules.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

namespace {

using tree = std::map<std::string, std::string>;

std::string header(const std::string& body) { return "// SPDX-License-Identifier: MIT\n#pragma once\n\n" + body; }

tree sound_tree() {
  return {
      {"weakly.hpp", header("#include <weakly/em/posterior.hpp>\n#include <weakly/noise/joint.hpp>\n")},
      {"core/config.hpp", header("#include <cstdint>\n#define WEAKLY_VERSION_MAJOR 0\n")},
      {"core/error.hpp", header("#include <weakly/core/config.hpp>\ninline void fail() { throw 1; }\n")},
      {"core/simd.hpp", header("#include <xsimd/xsimd.hpp>\n#include <weakly/core/config.hpp>\n")},
      {"adapt/eigen.hpp", header("#include <Eigen/Core>\n#include <weakly/core/config.hpp>\n")},
      {"exec/pool.hpp", header("#include <thread>\n#include <weakly/core/config.hpp>\n")},
      {"noise/detail/part.hpp", header("#include <weakly/core/error.hpp>\n")},
      {"noise/joint.hpp", header("#include <weakly/noise/detail/part.hpp>\n// throw, threadIdx and <<< in a comment\n"
                                 "inline const char* text = \"using namespace \\\" throw\"; int x = 1'000;\n")},
      {"em/posterior.hpp", header("#include <weakly/core/simd.hpp>\n#include <vector>\n")},
      {"cuda/kernel.cuh", header("#include <cuda_runtime.h>\nvoid go() { f<<<1, threadIdx.x>>>(); }\n")},
      {"cuda/joint.cuh", header("#include <weakly/noise/joint.hpp>\n#include <weakly/cuda/kernel.cuh>\n")},
  };
}

void write(const std::filesystem::path& root, const tree& files) {
  for (const auto& [name, text] : files) {
    std::filesystem::create_directories((root / name).parent_path());
    std::ofstream(root / name, std::ios::binary) << text;
  }
}

structure::faults faults_of(const tree& files, const std::string& folder) {
  const auto root = support::scratch_dir("structure_" + folder);
  write(root, files);
  return structure::header_faults(root);
}

std::string joined(const structure::faults& faults) {
  std::string text;
  for (const auto& fault : faults) text += "\n  " + fault;
  return text;
}

}  // namespace

TEST_CASE("the headers keep the arrows and the bans of the architecture") {
  const auto root = support::source_dir() / "include" / "weakly";
  REQUIRE(structure::headers_under(root).size() > 5);
  const auto faults = structure::header_faults(root);
  CHECK_MESSAGE(faults.empty(), joined(faults));
}

TEST_CASE("every public header has a test of its name, every algorithm a page") {
  const auto faults = structure::mirror_faults(support::source_dir());
  CHECK_MESSAGE(faults.empty(), joined(faults));
}

TEST_CASE("a sound tree has no fault, and each seeded fault is found by name") {
  const auto none = faults_of(sound_tree(), "seeded");
  CHECK_MESSAGE(none.empty(), joined(none));

  struct seed {
    std::string file;
    std::string extra;
    std::string expected;
  };
  const seed seeds[] = {
      {"core/error.hpp", "#include <weakly/noise/joint.hpp>\n", "an arrow the architecture does not have"},
      {"core/error.hpp", "#include <weakly/exec/pool.hpp>\n", "an arrow the architecture does not have"},
      {"noise/joint.hpp", "#include <weakly/em/posterior.hpp>\n", "an arrow the architecture does not have"},
      {"noise/joint.hpp", "#include <weakly/adapt/eigen.hpp>\n", "an arrow the architecture does not have"},
      {"em/posterior.hpp", "#include <weakly/cuda/joint.cuh>\n", "an arrow the architecture does not have"},
      {"adapt/eigen.hpp", "#include <weakly/exec/pool.hpp>\n", "an arrow the architecture does not have"},
      {"exec/pool.hpp", "#include <weakly/noise/joint.hpp>\n", "an arrow the architecture does not have"},
      {"weakly.hpp", "#include <weakly/adapt/eigen.hpp>\n", "an arrow the architecture does not have"},
      {"weakly.hpp", "#  include  <weakly/cuda/joint.cuh>\n", "an arrow the architecture does not have"},
      {"noise/joint.hpp", "#include <weakly/core/nothing.hpp>\n", "there is no such header"},
      {"noise/joint.hpp", "#include \"detail/part.hpp\"\n", "write <weakly/...>"},
      {"core/error.hpp", "#include <xsimd/xsimd.hpp>\n", "a dependency this header must not have"},
      {"core/error.hpp", "#include <Eigen/Core>\n", "a dependency this header must not have"},
      {"core/simd.hpp", "#include <immintrin.h>\n", "a dependency this header must not have"},
      {"adapt/eigen.hpp", "#include <xtensor/xarray.hpp>\n", "a dependency this header must not have"},
      {"exec/pool.hpp", "#include <omp.h>\n", "a dependency this header must not have"},
      {"noise/joint.hpp", "#include <iostream>\n", "not in a header of weakly"},
      {"noise/joint.hpp", "#include <thread>\n", "threads and locks live in exec/"},
      {"noise/joint.hpp", "#define HELPER 1\n", "macros live in core/config.hpp"},
      {"noise/joint.hpp", "# undef HELPER\n", "macros live in core/config.hpp"},
      {"noise/joint.hpp", "#pragma omp parallel\n", "omp pragmas live in exec/"},
      {"noise/joint.hpp", "inline void f() { throw 1; }\n", "throws outside detail::fail"},
      {"noise/joint.hpp", "using  namespace std;\n", "using namespace in a header"},
      {"noise/joint.hpp", "namespace\n{ int hidden; }\n", "an unnamed namespace in a header"},
      {"cuda/joint.cuh", "int i = threadIdx.x;\n", "the raw CUDA vocabulary"},
      {"cuda/joint.cuh", "void g() { f<<<1, 2>>>(); }\n", "the raw CUDA vocabulary"},
      {"noise/detail/part.hpp", "#include <weakly/noise/joint.hpp>\n", "include cycle"},
  };
  for (const seed& s : seeds) {
    tree files = sound_tree();
    files[s.file] += s.extra;
    const auto faults = faults_of(files, "seeded");
    CAPTURE(s.file);
    CAPTURE(s.extra);
    CAPTURE(joined(faults));
    // A wrong arrow may close a cycle too; nothing else may be blamed.
    const auto found = [&](const std::string& text) {
      return std::ranges::count_if(faults, [&](const std::string& f) { return f.find(text) != std::string::npos; });
    };
    CHECK(found(s.expected) > 0);
    if (s.expected != "include cycle") CHECK(found(s.expected) + found("include cycle") == std::ssize(faults));
  }
}

TEST_CASE("a header without licence, without guard, or missing from the umbrella is found") {
  tree files = sound_tree();
  files["em/posterior.hpp"] = "#pragma once\n";
  CHECK(joined(faults_of(files, "missing")) == "\n  em/posterior.hpp: the first line is not the licence");

  files = sound_tree();
  files["em/posterior.hpp"] = "// SPDX-License-Identifier: MIT\n// #pragma once\n";
  CHECK(joined(faults_of(files, "missing")) == "\n  em/posterior.hpp: no #pragma once");

  files = sound_tree();
  files["em/other.hpp"] = header("");
  CHECK(joined(faults_of(files, "missing")) == "\n  weakly.hpp does not include em/other.hpp");
}

TEST_CASE("a public header without its test or its page is found") {
  const auto root = support::scratch_dir("structure_mirror");
  write(root, {{"include/weakly/core/view.hpp", ""},
               {"include/weakly/noise/joint.hpp", ""},
               {"include/weakly/noise/detail/part.hpp", ""},
               {"include/weakly/check/labels.hpp", ""},
               {"include/weakly/weakly.hpp", ""},
               {"tests/core/view.cpp", ""},
               {"tests/noise/joint.cpp", ""},
               {"tests/check/labels.cpp", ""},
               {"docs/algorithms/joint.md", ""},
               {"docs/algorithms/labels.md", ""}});
  CHECK(structure::mirror_faults(root).empty());

  std::filesystem::remove(root / "tests/core/view.cpp");
  CHECK(joined(structure::mirror_faults(root)) == "\n  core/view.hpp has no test of its name");
  std::filesystem::remove(root / "docs/algorithms/joint.md");
  CHECK(joined(structure::mirror_faults(root)) ==
        "\n  core/view.hpp has no test of its name\n  noise/joint.hpp has no page in docs/algorithms");
}
