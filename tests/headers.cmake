# SPDX-License-Identifier: MIT
# Every public header compiles alone, with warnings as errors; every core header compiles as CUDA where nvcc is found.
weakly_sort_sources(weakly_verified libraries ${weakly_headers})
list(FILTER weakly_verified INCLUDE REGEX "\\.hpp$")

if(CMAKE_VERSION VERSION_GREATER_EQUAL 3.24)
  # A target of its own, because the verification compiles with what the target links: weakly::weakly links nothing.
  add_library(weakly_headers INTERFACE)
  target_sources(weakly_headers INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${weakly_verified})
  target_link_libraries(weakly_headers INTERFACE weakly_development ${libraries})
  # Reading xsimd takes longer than all the rest, and only core/simd/lanes_xsimd.hpp, which does so regardless, uses it.
  target_compile_definitions(weakly_headers INTERFACE WEAKLY_NO_XSIMD)
  target_compile_options(weakly_headers INTERFACE $<$<CXX_COMPILER_ID:GNU,Clang>:-O0>)
  set_target_properties(weakly_headers PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
  # Not part of `all`: the test builds it, and only where the presets run the tests that no flag changes.
  add_custom_target(weakly_verified_headers)
  add_dependencies(weakly_verified_headers weakly_headers_verify_interface_header_sets)

  add_test(NAME "headers: each compiles alone" COMMAND ${CMAKE_COMMAND} --build ${PROJECT_BINARY_DIR} --target
                                                       weakly_verified_headers)
  set_tests_properties("headers: each compiles alone" PROPERTIES LABELS ${weakly_static_label} TIMEOUT 600)
endif()

find_program(WEAKLY_NVCC nvcc HINTS ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
mark_as_advanced(WEAKLY_NVCC)
if(WEAKLY_NVCC)
  set(includes "")
  foreach(header ${weakly_headers})
    if(header MATCHES "/include/(weakly/core/[^/]+\\.hpp)$")
      string(APPEND includes "#include <${CMAKE_MATCH_1}>\n")
    endif()
  endforeach()
  file(READ nvcc/core_headers.cu body)
  file(CONFIGURE OUTPUT core_headers.cu CONTENT "${includes}${body}" @ONLY)
  add_test(NAME "headers: nvcc compiles core and its views in a kernel"
           COMMAND ${WEAKLY_NVCC} -std=c++20 -ccbin ${CMAKE_CXX_COMPILER} -I ${PROJECT_SOURCE_DIR}/include -c
                   ${CMAKE_CURRENT_BINARY_DIR}/core_headers.cu -o ${CMAKE_CURRENT_BINARY_DIR}/core_headers.o)
  set_tests_properties("headers: nvcc compiles core and its views in a kernel" PROPERTIES LABELS ${weakly_static_label}
                                                                                         TIMEOUT 300)
endif()
