# SPDX-License-Identifier: MIT
# What weakly's own tests, benchmarks and examples are built with, and no user of weakly::weakly ever sees.
include(${CMAKE_CURRENT_LIST_DIR}/dependencies.cmake)
include(CheckCXXSourceCompiles)

set(CMAKE_CXX_EXTENSIONS OFF)

check_cxx_source_compiles("int main() { try { throw 1; } catch (int) { return 0; } }" WEAKLY_BUILD_HAS_EXCEPTIONS)

# Linked by every target of this repository. weakly's headers arrive as ordinary includes, so that warnings in them count.
add_library(weakly_development INTERFACE)
target_link_libraries(weakly_development INTERFACE weakly::weakly)
if(TARGET xsimd)
  target_link_libraries(weakly_development INTERFACE xsimd)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  target_compile_options(weakly_development INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow
                                                      -Werror)
endif()

# weakly_sort_sources(<ready> <libraries> <file>...)
#
# Sets <ready> to the files whose optional includes are all available and <libraries> to what they need; says which file
# is left out and why.
function(weakly_sort_sources ready libraries)
  set(needs_Eigen3::Eigen "<(Eigen/|unsupported/Eigen/|weakly/adapt/eigen|weakly/rate/)")
  set(needs_xtensor "<(xtensor/|xtl/|weakly/adapt/xtensor)")
  set(needs_OpenMP::OpenMP_CXX "<(omp\\.h|weakly/exec/openmp)")
  set(needs_TBB::tbb "<(tbb/|oneapi/tbb|weakly/exec/tbb)")
  set(needs_Threads::Threads "<(thread|mutex|future|weakly/exec/thread_pool)")
  set(needs_CLI11::CLI11 "<CLI/")
  set(needs_nlohmann_json::nlohmann_json "<nlohmann/")
  set(kept "")
  set(linked "")
  foreach(file ${ARGN})
    set(missing "")
    foreach(library Eigen3::Eigen xtensor OpenMP::OpenMP_CXX TBB::tbb Threads::Threads CLI11::CLI11
                    nlohmann_json::nlohmann_json)
      file(STRINGS ${file} hits REGEX "^ *# *include *${needs_${library}}")
      if(hits AND TARGET ${library})
        list(APPEND linked ${library})
      elseif(hits)
        list(APPEND missing ${library})
      endif()
    endforeach()
    if(missing)
      cmake_path(RELATIVE_PATH file BASE_DIRECTORY ${PROJECT_SOURCE_DIR})
      message(STATUS "weakly: ${file} is left out, it needs ${missing}")
    else()
      list(APPEND kept ${file})
    endif()
  endforeach()
  list(REMOVE_DUPLICATES linked)
  set(${ready} ${kept} PARENT_SCOPE)
  set(${libraries} ${linked} PARENT_SCOPE)
endfunction()
