# SPDX-License-Identifier: MIT
"""Time cleanlab and plain numpy on the arrays of make_arrays.py.

    python confident_learning.py FOLDER OUT.json SIZE...

Each piece of work runs a few times on one thread; the least wall time and the least CPU time are kept.
"""

import json
import os
import pathlib
import sys
import time
import warnings

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
import cleanlab  # noqa: E402
from cleanlab.count import compute_confident_joint  # noqa: E402
from cleanlab.filter import find_label_issues  # noqa: E402
from cleanlab.rank import get_label_quality_scores  # noqa: E402


def numpy_joint(y, p):
    """Thresholds and confident joint without a loop over classes: what a careful numpy user would write."""
    n, k = p.shape
    own = p[np.arange(n), y]
    counts = np.bincount(y, minlength=k)
    sums = np.bincount(y, weights=own, minlength=k)
    t = np.where(counts > 0, np.maximum(sums / np.maximum(counts, 1), 2e-6), 2).astype(p.dtype)
    confident = p >= t - 1e-6
    several = confident.sum(axis=1)
    guess = np.where(several > 1, p.argmax(axis=1), confident.argmax(axis=1))
    counted = several > 0
    return np.bincount(y[counted] * k + guess[counted], minlength=k * k).reshape(k, k)


def seconds(work, repetitions=5, budget=60.0):
    """Least wall and CPU seconds of a call, over a few calls or until the budget is spent."""
    wall, cpu, spent = [], [], 0.0
    while len(wall) < repetitions and (not wall or spent < budget):
        w, c = time.perf_counter(), time.process_time()
        work()
        cpu.append(time.process_time() - c)
        wall.append(time.perf_counter() - w)
        spent += wall[-1]
    return {"wall": min(wall), "cpu": min(cpu), "runs": len(wall)}


def main():
    folder, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    warnings.simplefilter("ignore")
    times = {}
    for size in sys.argv[3:]:
        n, k = map(int, size.split("x"))
        p = np.fromfile(folder / f"{size}.f32", dtype="<f4").reshape(n, k)
        y = np.fromfile(folder / f"{size}.i64", dtype="<i8")
        joint = compute_confident_joint(y, p, calibrate=False)
        differs = numpy_joint(y, p) != joint
        np.fill_diagonal(differs, False)  # cleanlab puts at least a 1 on the diagonal
        if differs.sum() > 2:
            sys.exit(f"{size}: numpy and cleanlab disagree in {differs.sum()} cells")
        work = {
            "numpy/thresholds_and_confident_joint": lambda: numpy_joint(y, p),
            "cleanlab/thresholds_and_confident_joint": lambda: compute_confident_joint(y, p, calibrate=False),
            "cleanlab/issues": lambda: find_label_issues(y, p, n_jobs=1),
            "cleanlab/issues_and_score": lambda: (find_label_issues(y, p, n_jobs=1), get_label_quality_scores(y, p)),
            "cleanlab/ranked_issues_and_margin": lambda: (
                find_label_issues(y, p, n_jobs=1, return_indices_ranked_by="normalized_margin"),
                get_label_quality_scores(y, p, method="normalized_margin")),
        }
        for name, f in work.items():
            times[f"{name}/{size}"] = seconds(f)
            print(f"{name}/{size}: {times[f'{name}/{size}']['cpu']:.3f} CPU seconds", file=sys.stderr)
    out.write_text(json.dumps({"versions": {"cleanlab": cleanlab.__version__, "numpy": np.__version__}, "times": times}, indent=1))


if __name__ == "__main__":
    main()
