# SPDX-License-Identifier: MIT
# libFuzzer targets: tests/fuzz/fuzz_<name>.cpp with its seeds in tests/fuzz/corpus/<name>/. In the sanitizer presets only: without a
# sanitizer a fuzzer sees little.
file(GLOB fuzzers CONFIGURE_DEPENDS fuzz/fuzz_*.cpp)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND CMAKE_CXX_FLAGS MATCHES "-fsanitize=[^ ]*address" AND TARGET label_audit_parts
   AND TARGET uai_marginals_parts)
  foreach(source ${fuzzers})
    cmake_path(GET source STEM name)
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE label_audit_parts uai_marginals_parts -fsanitize=fuzzer)
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
    string(REGEX REPLACE "^fuzz_" "" subject ${name})
    # libFuzzer writes what it finds into the first folder.
    set(found ${CMAKE_CURRENT_BINARY_DIR}/${name}_corpus)
    file(MAKE_DIRECTORY ${found})
    add_test(NAME "fuzz: ${name} survives its seeds" COMMAND ${name} -runs=200 -seed=1 ${found}
                                                            ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${subject})
  endforeach()
endif()
