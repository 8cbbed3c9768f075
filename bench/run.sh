#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds the benchmarks, runs floors, library and peers on the same arrays one after the other, prints one table.
# Installs what is missing with apt on Debian and Ubuntu; everything else it writes stays in build/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=()
need() { command -v "$1" > /dev/null || packages+=("$2"); }
need g++ g++
need cmake cmake
need ninja ninja-build
need git git
need python3 python3
python3 -c 'import ensurepip' 2> /dev/null || packages+=(python3-venv)
[ -e /usr/include/benchmark/benchmark.h ] || packages+=(libbenchmark-dev)
[ -e /usr/include/xsimd/xsimd.hpp ] || packages+=(libxsimd-dev)
if [ "${#packages[@]}" -gt 0 ]; then
  if ! command -v apt-get > /dev/null; then
    echo "bench/run.sh needs what Debian calls ${packages[*]}; install them and run it again" >&2
    exit 1
  fi
  sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  echo "installing ${packages[*]}"
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

out=build/bench/results
mkdir -p "$out"
cmake --preset bench -DWEAKLY_TESTS=OFF -DWEAKLY_EXAMPLES=OFF
cmake --build --preset bench --target weakly_bench

venv=build/bench/venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import cleanlab; assert cleanlab.__version__ == "2.9.0"' 2> /dev/null ||
  "$venv/bin/python" -m pip install -q --disable-pip-version-check cleanlab==2.9.0 numpy

sizes=(1000000x10 100000x1000)
"$venv/bin/python" bench/peers/make_arrays.py "$out/arrays" "${sizes[@]}"
WEAKLY_BENCH_DATA="$PWD/$out/arrays" build/bench/bench/weakly_bench \
  --benchmark_filter='^(floor|thresholds_and_confident_joint|issues_and_score|sparse_confident_joint)/' \
  --benchmark_repetitions="${WEAKLY_BENCH_REPETITIONS:-7}" --benchmark_out="$out/weakly.json" --benchmark_out_format=json
"$venv/bin/python" bench/peers/confident_learning.py "$out/arrays" "$out/peers.json" "${sizes[@]}"
"$venv/bin/python" bench/table.py "$out/weakly.json" "$out/peers.json" | tee "$out/table.md"
