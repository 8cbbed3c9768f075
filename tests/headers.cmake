# SPDX-License-Identifier: MIT
# Every public header compiles alone, with warnings as errors; every core header compiles as CUDA where nvcc is found.
weakly_sort_sources(weakly_verified libraries ${weakly_headers})
list(FILTER weakly_verified INCLUDE REGEX "\\.hpp$")

# weakly_reaches(<out> <header> <reached>)
#
# Whether the header includes <reached>, a path below include/, itself or through headers of this library.
function(weakly_reaches out header reached)
  get_property(answer GLOBAL PROPERTY weakly_reaches:${header})
  if("${answer}" STREQUAL "")
    set(answer FALSE)
    file(STRINGS ${header} lines REGEX "^#include <weakly/")
    foreach(line IN LISTS lines)
      string(REGEX REPLACE "^#include <([^>]+)>.*" "\\1" included "${line}")
      if(included STREQUAL reached)
        set(answer TRUE)
      else()
        weakly_reaches(answer ${PROJECT_SOURCE_DIR}/include/${included} ${reached})
      endif()
      if(answer)
        break()
      endif()
    endforeach()
    set_property(GLOBAL PROPERTY weakly_reaches:${header} ${answer})
  endif()
  set(${out} ${answer} PARENT_SCOPE)
endfunction()

if(CMAKE_VERSION VERSION_GREATER_EQUAL 3.24)
  # Not part of `all`: the test builds it, and only where the presets run the tests that no flag changes.
  add_custom_target(weakly_verified_headers)
  # weakly_verify_headers(<target> <header>...)
  function(weakly_verify_headers target)
    # A target of its own, because the verification compiles with what the target links: weakly::weakly links nothing.
    add_library(${target} INTERFACE)
    target_sources(${target} INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${ARGN})
    target_link_libraries(${target} INTERFACE weakly_development ${libraries})
    # Reading xsimd takes longer than all the rest, and only core/simd/lanes_xsimd.hpp, which does so regardless, uses it.
    target_compile_definitions(${target} INTERFACE WEAKLY_NO_XSIMD)
    target_compile_options(${target} INTERFACE $<$<CXX_COMPILER_ID:GNU,Clang>:-O0>)
    set_target_properties(${target} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
    add_dependencies(weakly_verified_headers ${target}_verify_interface_header_sets)
  endfunction()

  # Most headers include this one, which is half of what there is to read: they find it read already, and nothing that
  # they do not include themselves.
  set(common weakly/core/row_access.hpp)
  set(plain "")
  set(upon_common "")
  foreach(header IN LISTS weakly_verified)
    weakly_reaches(reached ${header} ${common})
    if(reached)
      list(APPEND upon_common ${header})
    else()
      list(APPEND plain ${header})
    endif()
  endforeach()
  weakly_verify_headers(weakly_plain_headers ${plain})
  weakly_verify_headers(weakly_row_headers ${upon_common})
  target_precompile_headers(weakly_row_headers INTERFACE <${common}>)

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
