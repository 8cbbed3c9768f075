# SPDX-License-Identifier: MIT
# weakly::weakly depends on nothing. What its tests, benchmarks and examples use is looked for on the system, else
# downloaded into the build tree, else left out: a target exists after its weakly_dependency() call, or it does not.
include(FetchContent)

# weakly_dependency(<package> TARGET <target> URL <archive> SHA256 <hash> INCLUDE <folder in it>)
#
# After a download <target> is an interface target over the headers: the package's own CMakeLists.txt is not run, so it
# cannot touch the cache. INCLUDE without a folder leaves <package>_SOURCE_DIR to the caller.
function(weakly_dependency package)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TARGET;URL;SHA256;INCLUDE" "")
  if(TARGET ${arg_TARGET})
    return()
  endif()
  find_package(${package} QUIET CONFIG)
  if(TARGET ${arg_TARGET})
    message(STATUS "weakly: ${package} ${${package}_VERSION} found in ${${package}_DIR}")
    return()
  endif()

  string(TOLOWER ${package} name)
  string(TOUPPER ${package} upper)
  set(archive ${PROJECT_BINARY_DIR}/downloads/${arg_SHA256}.tar)
  if(NOT FETCHCONTENT_SOURCE_DIR_${upper})
    if(EXISTS ${archive})
      file(SHA256 ${archive} hash)
    elseif(FETCHCONTENT_FULLY_DISCONNECTED OR weakly_download_failed)
      set(hash "")
    else()
      message(STATUS "weakly: ${package} is not installed, downloading ${arg_URL}")
      file(DOWNLOAD ${arg_URL} ${archive}.part STATUS status INACTIVITY_TIMEOUT 20 TLS_VERIFY ON)
      list(GET status 0 code)
      if(code EQUAL 0)
        file(SHA256 ${archive}.part hash)
      else()
        set(weakly_download_failed TRUE PARENT_SCOPE)  # one wait for a missing network is enough
        list(GET status 1 reason)
        message(STATUS "weakly: the download failed: ${reason}")
      endif()
      if(hash STREQUAL arg_SHA256)
        file(RENAME ${archive}.part ${archive})
      else()
        file(REMOVE ${archive}.part)
      endif()
    endif()
    if(NOT hash STREQUAL arg_SHA256)
      message(STATUS "weakly: ${package} is neither installed nor downloadable; install it or point "
                     "FETCHCONTENT_SOURCE_DIR_${upper} at its sources")
      return()
    endif()
    FetchContent_Declare(${name} URL ${archive} URL_HASH SHA256=${arg_SHA256} SOURCE_SUBDIR no-cmake-here)
  else()
    FetchContent_Declare(${name} SOURCE_SUBDIR no-cmake-here)
  endif()
  FetchContent_MakeAvailable(${name})
  if(arg_INCLUDE)
    add_library(${arg_TARGET} INTERFACE IMPORTED)
    target_include_directories(${arg_TARGET} INTERFACE ${${name}_SOURCE_DIR}/${arg_INCLUDE})
  endif()
  set(${package}_SOURCE_DIR ${${name}_SOURCE_DIR} PARENT_SCOPE)
endfunction()

# The versions are Debian 12's, the oldest supported.
weakly_dependency(
  Eigen3 TARGET Eigen3::Eigen INCLUDE .
  URL https://gitlab.com/libeigen/eigen/-/archive/3.4.0/eigen-3.4.0.tar.bz2
  SHA256 b4c198460eba6f28d34894e3a5710998818515104d6e74e5cc331ce31e46e626)
weakly_dependency(
  xsimd TARGET xsimd INCLUDE include
  URL https://github.com/xtensor-stack/xsimd/archive/8.1.0.tar.gz
  SHA256 d52551360d37709675237d2a0418e28f70995b5b7cdad7c674626bcfbbf48328)

if(WEAKLY_TESTS OR WEAKLY_EXAMPLES)
  weakly_dependency(
    xtl TARGET xtl INCLUDE include
    URL https://github.com/xtensor-stack/xtl/archive/0.7.2.tar.gz
    SHA256 95c221bdc6eaba592878090916383e5b9390a076828552256693d5d97f78357c)
  if(TARGET xtl)
    weakly_dependency(
      xtensor TARGET xtensor INCLUDE include
      URL https://github.com/xtensor-stack/xtensor/archive/0.24.3.tar.gz
      SHA256 3acde856b9fb8cf4e2a7b66726da541275d40ab9b002e618ad985ab97f08ca4f)
  endif()
  if(TARGET xtensor)
    target_link_libraries(xtensor INTERFACE xtl)
  endif()
  weakly_dependency(
    CLI11 TARGET CLI11::CLI11 INCLUDE include
    URL https://github.com/CLIUtils/CLI11/archive/v2.1.2.tar.gz
    SHA256 26291377e892ba0e5b4972cdfd4a2ab3bf53af8dac1f4ea8fe0d1376b625c8cb)
  weakly_dependency(
    nlohmann_json TARGET nlohmann_json::nlohmann_json INCLUDE single_include
    URL https://github.com/nlohmann/json/archive/v3.11.2.tar.gz
    SHA256 d69f9deb6a75e2580465c6c4c5111b89c4dc2fa94e3a85fcd2ffcd9a143d9273)
endif()

if(WEAKLY_TESTS)
  weakly_dependency(
    doctest TARGET doctest::doctest INCLUDE .
    URL https://github.com/doctest/doctest/archive/refs/tags/v2.4.11.tar.gz
    SHA256 632ed2c05a7f53fa961381497bf8069093f0d6628c5f26286161fbd32a560186)
endif()

if(WEAKLY_BENCH)
  weakly_dependency(
    benchmark TARGET benchmark::benchmark
    URL https://github.com/google/benchmark/archive/refs/tags/v1.7.1.tar.gz
    SHA256 6430e4092653380d9dc4ccb45a1e2dc9259d581f4866dc0759713126056bc1d7)
  if(benchmark_SOURCE_DIR AND NOT TARGET benchmark::benchmark)  # the one dependency with sources of its own
    file(GLOB benchmark_sources ${benchmark_SOURCE_DIR}/src/*.cc)
    list(FILTER benchmark_sources EXCLUDE REGEX "benchmark_main\\.cc$")
    add_library(weakly_google_benchmark STATIC EXCLUDE_FROM_ALL ${benchmark_sources})
    target_compile_features(weakly_google_benchmark PRIVATE cxx_std_17)
    target_compile_definitions(weakly_google_benchmark PRIVATE HAVE_STD_REGEX HAVE_STEADY_CLOCK
                               PUBLIC BENCHMARK_STATIC_DEFINE)
    target_include_directories(weakly_google_benchmark SYSTEM PUBLIC ${benchmark_SOURCE_DIR}/include)
    add_library(benchmark::benchmark ALIAS weakly_google_benchmark)
  endif()
endif()

find_package(Threads QUIET)
find_package(OpenMP QUIET COMPONENTS CXX)
find_package(TBB QUIET CONFIG)
