#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what is missing, builds weakly with one preset, and runs its tests.
#
#   bash tests/run.sh [--preset NAME] [--list-packages] [ctest arguments]
#
# NAME: gcc (default), clang, asan-ubsan, tsan, no-exceptions, no-xsimd, bench.
# With WEAKLY_REFERENCE_DATA set to a folder of reference data, the tests that need it run too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. cmake/setup.sh

preset=gcc
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --preset) preset=${2:?--preset needs a name} && shift ;;
    --preset=*) preset=${1#*=} ;;
    --list-packages) WEAKLY_LIST_PACKAGES=1 ;;
    -h | --help) sed -n '3,9s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) arguments+=("$1") ;;
  esac
  shift
done

case $preset in
  gcc | no-exceptions | no-xsimd) weakly_setup gcc tests examples ;;
  bench) weakly_setup gcc tests examples bench ;;
  clang | asan-ubsan | tsan) weakly_setup clang tests examples ;;
  *) echo "tests/run.sh: no preset '$preset'; see --help" >&2 && exit 2 ;;
esac
weakly_use_ccache "$PWD"

# The thread sanitizer of clang 16 does not start where the kernel spreads addresses over more bits than it expects.
launch=()
if [ "$preset" = tsan ] && setarch "$(uname -m)" -R true 2>/dev/null; then launch=(setarch "$(uname -m)" -R); fi

jobs=$(nproc 2>/dev/null || echo 2)
cmake --preset "$preset"
"${launch[@]}" cmake --build --preset "$preset" --parallel "$jobs"
"${launch[@]}" ctest --preset "$preset" --parallel "$jobs" --output-junit junit.xml "${arguments[@]}"
