# SPDX-License-Identifier: MIT
# Makes the target libtorch for the examples that need it, where torch is found: Debian's libtorch-dev, or pip's torch with
#
#   cmake -D CMAKE_PREFIX_PATH=$(python3 -c 'import torch; print(torch.utils.cmake_prefix_path)') ...
#
# By its headers and libraries, not by find_package(Torch): the package of a CUDA build, which pip installs, stops the
# whole configuration where there is no CUDA toolkit, and nothing here needs one.
include(CheckCXXSourceCompiles)

set(places "")
foreach(prefix ${CMAKE_PREFIX_PATH})
  list(APPEND places ${prefix}/../..)  # pip's prefix is share/cmake
endforeach()
if(Torch_DIR)
  list(APPEND places ${Torch_DIR}/../../..)
endif()
find_path(WEAKLY_TORCH_INCLUDE torch/csrc/autograd/custom_function.h HINTS ${places} PATH_SUFFIXES include)
find_library(WEAKLY_TORCH_CPU torch_cpu HINTS ${places} PATH_SUFFIXES lib)
find_library(WEAKLY_TORCH_C10 c10 HINTS ${places} PATH_SUFFIXES lib)
mark_as_advanced(WEAKLY_TORCH_INCLUDE WEAKLY_TORCH_CPU WEAKLY_TORCH_C10)
if(NOT WEAKLY_TORCH_INCLUDE OR NOT WEAKLY_TORCH_CPU OR NOT WEAKLY_TORCH_C10)
  return()
endif()

# pip's torch before 2.6 has std::string as g++ 4 had it.
set(CMAKE_REQUIRED_INCLUDES ${WEAKLY_TORCH_INCLUDE})
set(CMAKE_REQUIRED_LIBRARIES ${WEAKLY_TORCH_CPU} ${WEAKLY_TORCH_C10})
set(CMAKE_REQUIRED_FLAGS -std=c++20)
set(source [[
#include <c10/util/Exception.h>
#include <string>
int main() { c10::detail::torchCheckFail("", "", 0u, std::string()); }
]])
check_cxx_source_compiles("${source}" WEAKLY_TORCH_LINKS)
if(NOT WEAKLY_TORCH_LINKS)
  set(CMAKE_REQUIRED_DEFINITIONS -D_GLIBCXX_USE_CXX11_ABI=0)
  check_cxx_source_compiles("${source}" WEAKLY_TORCH_LINKS_WITH_OLD_STRINGS)
endif()
if(NOT WEAKLY_TORCH_LINKS AND NOT WEAKLY_TORCH_LINKS_WITH_OLD_STRINGS)
  message(STATUS "weakly: the torch in ${WEAKLY_TORCH_INCLUDE} does not link with this compiler")
  return()
endif()

add_library(libtorch INTERFACE)
target_include_directories(libtorch SYSTEM INTERFACE ${WEAKLY_TORCH_INCLUDE}
                                                     ${WEAKLY_TORCH_INCLUDE}/torch/csrc/api/include)
target_link_libraries(libtorch INTERFACE ${WEAKLY_TORCH_CPU} ${WEAKLY_TORCH_C10})
target_compile_definitions(libtorch INTERFACE ${CMAKE_REQUIRED_DEFINITIONS})
