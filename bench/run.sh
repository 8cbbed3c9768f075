#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what is missing, builds the benchmarks, runs floors, library and peers on the same arrays one after the other,
# and prints the tables. The peers (cleanlab, numpy, PyTorch, PGMax) come from pip into build/.
#
#   bash bench/run.sh [--list-packages | --update-readme]
#
# WEAKLY_BENCH_REPETITIONS (7) is how often each benchmark runs. WEAKLY_BENCH_TORCH names a Python that has PyTorch already.
# --update-readme puts the tables into bench/README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. cmake/setup.sh

python=()
python3 -c 'import ensurepip' 2>/dev/null || python=(python3 python3-venv)
if [ "${1:-}" = --list-packages ]; then
  [ ${#python[@]} -eq 0 ] || echo "weakly: would install with apt: ${python[*]}"
  WEAKLY_LIST_PACKAGES=1
fi
weakly_setup gcc examples bench
weakly_use_ccache "$PWD"
if [ ${#python[@]} -gt 0 ]; then
  if ! command -v apt-get >/dev/null; then
    echo "weakly: the peers need Python 3 with venv and pip" >&2
    exit 1
  fi
  apt=(apt-get -o DPkg::Lock::Timeout=600 -qq)
  [ "$(id -u)" -eq 0 ] || apt=(sudo "${apt[@]}")
  echo "weakly: installing with apt: ${python[*]}"
  "${apt[@]}" update
  DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends "${python[@]}"
fi

# Its own folder and no tests. The examples stay on, because Debian's xsimd links xtl, which is looked for with them.
build=build/benchmarks
cmake --preset bench -B "$build" -D WEAKLY_TESTS=OFF >/dev/null
cmake --build "$build" --target weakly_bench --parallel "$(nproc 2>/dev/null || echo 2)"

venv=$build/venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import cleanlab; assert cleanlab.__version__ == "2.9.0"' 2>/dev/null ||
  "$venv/bin/python" -m pip install -q --disable-pip-version-check cleanlab==2.9.0 numpy
"$venv/bin/python" -c 'import scipy' 2>/dev/null || "$venv/bin/python" -m pip install -q --disable-pip-version-check scipy ||
  echo "weakly: scipy cannot be installed, numpy's inverse stands in for LAPACK's potri" >&2

torch=${WEAKLY_BENCH_TORCH:-$venv/bin/python}
"$torch" -c 'import torch' 2>/dev/null ||
  "$torch" -m pip install -q --disable-pip-version-check --retries 1 torch --index-url https://download.pytorch.org/whl/cpu ||
  "$torch" -m pip install -q --disable-pip-version-check torch ||
  echo "weakly: PyTorch cannot be installed, so its rows will say that it was not run" >&2

repetitions=${WEAKLY_BENCH_REPETITIONS:-7}
arrays=$PWD/$build/arrays
sizes=(1000000x10 100000x1000)
"$venv/bin/python" bench/peers/make_arrays.py "$arrays" "${sizes[@]}"
noise='floor/read|thresholds_and_confident_joint|(ranked_)?issues_and_[a-z]+|sparse_confident_joint'
losses='floor/copy|loss/(cross_entropy/[a-z]+|ldr_kl|aldr_kl)|em/(label_posterior|candidate_list_posterior|bag_count)'
WEAKLY_BENCH_DATA=$arrays "$build/bench/weakly_bench" --benchmark_filter="^($noise|$losses)/" \
  --benchmark_repetitions="$repetitions" --benchmark_out="$build/weakly.json" --benchmark_out_format=json
"$build/bench/weakly_bench" --benchmark_filter='^rate/' --benchmark_min_time=0.2 --benchmark_repetitions="$repetitions" \
  --benchmark_out="$build/rates.json" --benchmark_out_format=json
# Every other loss, what weighs and reduces losses, and what goes beside EM, each beside its own copy: fewer and shorter repetitions.
"$build/bench/weakly_bench" --benchmark_filter='^(loss|em)/[a-z_]+/[0-9]+x[0-9]+/' --benchmark_min_time=0.1 \
  --benchmark_repetitions="$((repetitions < 3 ? repetitions : 3))" --benchmark_out="$build/losses.json" \
  --benchmark_out_format=json
# Graphs are large: what has a goal, and its floor.
graphs='label_propagation/1000000x40/anywhere|belief_propagation/(grid500|neighbours|network)/(ratios|flooding|gather_floor)'
graphs+='|grid/(read|float)/1000x1000|count_factor/(multiply_adds|quadratic|hard|wide)/2048|label_proportions/1000000'
"$build/bench/weakly_bench" --benchmark_filter="^graph/($graphs)/" --benchmark_min_time=0.2 \
  --benchmark_repetitions="$((repetitions < 3 ? repetitions : 3))" --benchmark_out="$build/graphs.json" --benchmark_out_format=json
peers=("$build/peers.json")
"$venv/bin/python" bench/peers/confident_learning.py "$arrays" "${peers[0]}" "${sizes[@]}"
if "$torch" -c 'import torch' 2>/dev/null; then
  peers+=("$build/torch.json" "$build/torch_em.json" "$build/torch_rates.json")
  "$torch" bench/peers/losses.py "$build/torch.json" "$repetitions" 1000000x10 65536x100 65536x1000 4096x50000
  "$torch" bench/peers/em.py "$build/torch_em.json" "$repetitions" 1000000x10 65536x100 65536x1000
  "$torch" bench/peers/coding_rate.py "$build/torch_rates.json" "$repetitions" torch
fi
peers+=("$build/numpy_rates.json")
"$venv/bin/python" bench/peers/coding_rate.py "$build/numpy_rates.json" "$repetitions" numpy
# A folder of its own, because PGMax 0.6.1 needs an older JAX and numpy than the others.
pgmax=$build/venv-pgmax
if { [ -x "$pgmax/bin/python" ] || python3 -m venv "$pgmax"; } && { "$pgmax/bin/python" -c 'import pgmax' 2>/dev/null ||
  "$pgmax/bin/python" -m pip install -q --disable-pip-version-check pgmax==0.6.1 jax==0.4.34 jaxlib==0.4.34 'numpy<2.1'; } &&
  "$pgmax/bin/python" bench/peers/belief_propagation.py "$build/pgmax.json" "$((repetitions < 3 ? repetitions : 3))"; then
  peers+=("$build/pgmax.json")
else
  echo "weakly: PGMax cannot be installed or run here, so its row will say that it was not run" >&2
fi
readme=()
if [ "${1:-}" = --update-readme ]; then readme=(bench/README.md); fi
"$venv/bin/python" bench/table.py "$build/weakly.json" "$build/losses.json" "$build/rates.json" "$build/graphs.json" "${peers[@]}" \
  "${readme[@]}" | tee "$build/table.md"
