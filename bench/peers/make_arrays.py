# SPDX-License-Identifier: MIT
"""Write the arrays that weakly_bench and the peers both read: <n>x<k>.f32 and <n>x<k>.i64, raw and little endian.

    python make_arrays.py FOLDER SIZE...        sizes as 1000000x10

Softmax of gaussian logits of deviation 3; the label is the arg max, one in ten replaced at random.
"""

import pathlib
import sys

import numpy as np


def make(folder, size):
    n, k = map(int, size.split("x"))
    prob, label = folder / f"{size}.f32", folder / f"{size}.i64"
    if prob.exists() and label.exists() and prob.stat().st_size == 4 * n * k and label.stat().st_size == 8 * n:
        return
    random = np.random.default_rng([n, k])
    p = random.standard_normal((n, k), dtype=np.float32)
    p *= 3
    p -= p.max(axis=1, keepdims=True)
    np.exp(p, out=p)
    p /= p.sum(axis=1, keepdims=True)
    y = p.argmax(axis=1)
    wrong = random.random(n) < 0.1
    y[wrong] = random.integers(0, k, wrong.sum())
    p.astype("<f4").tofile(prob)
    y.astype("<i8").tofile(label)


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for s in sys.argv[2:]:
        make(target, s)
