#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what is missing, builds label_audit, and audits the labels of the optical digits in examples/data.
#
#   bash examples/run.sh [--list-packages] [label_audit arguments]
set -euo pipefail
caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. cmake/setup.sh

for argument in "$@"; do
  if [ "$argument" = --list-packages ]; then WEAKLY_LIST_PACKAGES=1; fi
done
weakly_setup gcc examples
weakly_use_ccache "$PWD"

# Its own folder and no tests: nothing is configured that the tool does not need.
cmake --preset gcc -B build/examples -D WEAKLY_TESTS=OFF >/dev/null
cmake --build build/examples --target label_audit --parallel "$(nproc 2>/dev/null || echo 2)"
tool=$PWD/build/examples/examples/label_audit
report=$PWD/build/label_audit.html

# From the caller's folder, so that relative paths among the arguments mean what they say.
cd "$caller"
case " $* " in
  *" --html "* | *" --html="* | *" --help "* | *" -h "*) "$tool" "$@" ;;
  *)
    "$tool" --html "$report" "$@"
    echo "The report, for a browser: $report"
    ;;
esac
