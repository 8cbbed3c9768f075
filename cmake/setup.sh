# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Sourced by the run.sh scripts. Installs what a build needs and is missing: by apt on Debian and Ubuntu, elsewhere it
# says what is needed. Everything else stays inside build/.

# weakly_setup <word>...   words: gcc clang tests examples bench
weakly_setup() {
  local word tools=(cmake ninja) packages=() missing=() available=() package
  command -v cmake >/dev/null || missing+=(cmake)
  command -v ninja >/dev/null || missing+=(ninja-build)
  for word in "$@"; do
    case $word in
      gcc)
        tools+=(g++)
        command -v g++ >/dev/null || missing+=(g++)
        ;;
      clang)
        tools+=(clang++)
        mapfile -t -O ${#packages[@]} packages < <(weakly_clang_packages)
        ;;
      tests)
        command -v pkg-config >/dev/null || missing+=(pkg-config)
        packages+=(doctest-dev libeigen3-dev libxsimd-dev libxtensor-dev libtbb-dev)
        ;;
      examples) packages+=(libeigen3-dev libxsimd-dev libcli11-dev nlohmann-json3-dev) ;;
      bench) packages+=(libeigen3-dev libxsimd-dev libbenchmark-dev) ;;
    esac
  done

  if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    if [ -n "${WEAKLY_LIST_PACKAGES:-}" ]; then
      echo "weakly: no apt here, so nothing would be installed. Debian's names of what is needed: ${tools[*]} ${packages[*]}"
      exit 0
    fi
    for word in "${tools[@]}"; do
      if ! command -v "$word" >/dev/null; then
        echo "weakly: $word is missing. Needed: CMake 3.25, Ninja, g++ 12 or clang 16, and for $*: Eigen, xsimd, xtensor," \
          "doctest, Google Benchmark, CLI11, nlohmann_json (CMake downloads libraries that are not installed)." >&2
        exit 1
      fi
    done
    weakly_check_versions "$@"
    return
  fi

  for package in "${packages[@]}"; do
    dpkg -s "$package" 2>/dev/null | grep -q '^Status: .* installed$' || missing+=("$package")
  done
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sed '/^$/d' | sort -u)
  if [ -n "${WEAKLY_LIST_PACKAGES:-}" ]; then
    echo "weakly: would install with apt: ${missing[*]:-nothing}"
    exit 0
  fi
  if [ ${#missing[@]} -gt 0 ]; then
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600)
    if [ "$(id -u)" -ne 0 ]; then
      if ! command -v sudo >/dev/null; then
        echo "weakly: missing packages; as root run: apt-get install ${missing[*]}" >&2
        exit 1
      fi
      apt=(sudo "${apt[@]}")
    fi
    echo "weakly: installing with apt: ${missing[*]}"
    "${apt[@]}" -qq update
    # What this release does not have, CMake downloads, or it leaves out the targets that need it.
    for package in "${missing[@]}"; do
      if apt-cache show "$package" >/dev/null 2>&1; then
        available+=("$package")
      else
        echo "weakly: apt does not know $package"
      fi
    done
    "${apt[@]}" -qq install -y --no-install-recommends "${available[@]}"
  fi

  weakly_check_versions "$@"
}

# Says which tool is too old, where a later error would not: CMake, and the compilers among the words.
weakly_check_versions() {
  local version word
  version=$(cmake --version | sed -n '1s/[^0-9]*//p')
  if ! printf '3.25\n%s\n' "$version" | sort -VC; then
    echo "weakly: CMake 3.25 or newer is needed, this is $version: see https://cmake.org/download" >&2
    exit 1
  fi
  for word in "$@"; do
    case $word in
      gcc)
        version=$(g++ -dumpversion)
        if [ "${version%%.*}" -lt 12 ]; then
          echo "weakly: g++ 12 or newer is needed, this is $version: install one, and put it before this one on PATH" >&2
          exit 1
        fi
        ;;
      clang)
        if version=$(weakly_clang_version) && [ "$version" -lt 16 ]; then
          echo "weakly: clang 16 or newer is needed, this is $version: install clang-16" >&2
          exit 1
        fi
        ;;
    esac
  done
}

# The major version of the newest clang++ here.
weakly_clang_version() {
  local version
  for version in 21 20 19 18 17 16; do
    if command -v clang++-$version >/dev/null; then echo $version && return; fi
  done
  clang++ -dumpversion 2>/dev/null | cut -d. -f1 | grep .
}

# The clang that cmake/clang.cmake will find, or the one to install, with its sanitizer and OpenMP runtimes.
weakly_clang_packages() {
  local version
  for version in 16 17 18 19 20 21; do
    if command -v clang++-$version >/dev/null; then
      printf '%s\n' libclang-rt-$version-dev libomp-$version-dev
      return
    fi
  done
  if apt-cache show clang-16 >/dev/null 2>&1; then
    printf '%s\n' clang-16 libclang-rt-16-dev libomp-16-dev
  else
    printf '%s\n' clang libclang-rt-dev libomp-dev
  fi
}

# A second build costs nothing where ccache is installed; its cache stays in the build tree.
weakly_use_ccache() {
  if command -v ccache >/dev/null; then
    export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_DIR="$1/build/ccache" CCACHE_MAXSIZE=1G
  fi
}
