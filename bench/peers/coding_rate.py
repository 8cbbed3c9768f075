# SPDX-License-Identifier: MIT
"""Time coding rates as one writes them in numpy or in PyTorch, on one thread.

    python coding_rate.py OUT.json REPETITIONS (numpy | torch)

`numpy/coding_rate` is the same sequence over OpenBLAS: a symmetric rank update, Cholesky, the inverse from the factor where
scipy is installed (else numpy's), one product. `numpy/rate_reduction` is the natural form: slogdet and inv of each class. `dense_memberships`
is the published loss, with a diagonal membership matrix of n x n for each class: in numpy with its gradient, in PyTorch with autograd. The least wall and process CPU
time of the repetitions are kept.
"""

import json
import os
import pathlib
import sys
import time

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np

try:
    from scipy.linalg import blas, lapack
except ImportError:
    blas = lapack = None
if sys.argv[3:] == ["torch"]:
    import torch

EPS = 0.5


def seconds(work, repetitions):
    work()
    wall, cpu = [], []
    for _ in range(repetitions):
        w, c = time.perf_counter(), time.process_time()
        work()
        cpu.append(time.process_time() - c)
        wall.append(time.perf_counter() - w)
    return {"wall": min(wall), "cpu": min(cpu), "runs": repetitions}


def rows(n, d, k, dtype):
    random = np.random.default_rng(1)
    y = np.arange(n) % k
    z = random.normal(size=(n, d)) + 2.0 * (np.arange(d)[None, :] % k == y[:, None])
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(dtype), y


def coding_rate(z, out):
    n, d = z.shape
    scale = d / (n * EPS)
    if lapack is None:
        m = z.T @ z  # numpy sees the transpose and calls syrk
        m *= scale
        m[np.diag_indices(d)] += 1
        factor = np.linalg.cholesky(m)
        inverse = np.linalg.inv(m)
    else:
        syrk, potrf, potri = (blas.ssyrk, lapack.spotrf, lapack.spotri) if z.dtype == np.float32 else (blas.dsyrk, lapack.dpotrf, lapack.dpotri)
        m = syrk(scale, z.T, lower=1)
        m[np.diag_indices(d)] += 1
        factor, _ = potrf(m, lower=1)
        inverse, _ = potri(factor, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
    value = np.log(np.diag(factor)).sum()
    inverse *= scale
    np.matmul(z, inverse, out=out)
    return value


def rate_reduction(z, y, k, out):
    n, d = z.shape
    eye, beta = np.eye(d, dtype=z.dtype), d / EPS
    m = eye + beta / n * (z.T @ z)
    value = 0.5 * np.linalg.slogdet(m)[1]
    whole = np.linalg.inv(m)
    for j in range(k):
        rows = z[y == j]
        w = len(rows)
        if w == 0:
            continue
        m = eye + beta / w * (rows.T @ rows)
        value -= w / (2 * n) * np.linalg.slogdet(m)[1]
        out[y == j] = beta / n * (rows @ (whole - np.linalg.inv(m)))
    return value


def dense_memberships(z, pi):
    """The published form in numpy: a diagonal membership matrix of n x n for each class; loss and gradient."""
    n, d = z.shape
    eye, beta = np.eye(d, dtype=z.dtype), d / EPS
    m = eye + beta / n * (z.T @ z)
    value, out = 0.5 * np.linalg.slogdet(m)[1], beta / n * (z @ np.linalg.inv(m))
    for of_class in pi:
        w = np.trace(of_class) + 1e-8
        m = eye + beta / w * (z.T @ of_class @ z)
        value -= w / (2 * n) * np.linalg.slogdet(m)[1]
        out -= beta / n * (of_class @ z @ np.linalg.inv(m))
    return value, out


def published(z, y, k):
    """The loss of ryanchankh/mcr2, after its formulas: memberships (k, n, n), features d x n."""
    n, d = z.shape
    pi = torch.zeros(k, n, n, dtype=z.dtype)
    pi[y, torch.arange(n), torch.arange(n)] = 1
    w, eye = z.T, torch.eye(d, dtype=z.dtype)
    whole = torch.logdet(eye + d / (n * EPS) * w @ w.T) / 2
    classes = 0
    for j in range(k):
        mass = torch.trace(pi[j]) + 1e-8
        classes = classes + mass / (2 * n) * torch.logdet(eye + d / (mass * EPS) * w @ pi[j] @ w.T)
    return classes - whole


def of_numpy(add):
    for dtype, shown in ((np.float32, "float"), (np.float64, "double")):
        z, _ = rows(20000, 512, 10, dtype)
        out = np.empty_like(z)
        add(f"numpy/coding_rate/gradient_{shown}/20000x512", lambda: coding_rate(z, out))
    for n, d, k in ((1000, 128, 10), (10000, 128, 10), (20000, 512, 100)):
        z, y = rows(n, d, k, np.float64)
        out = np.empty_like(z)
        add(f"numpy/rate_reduction/gradient_double/{n}x{d}x{k}", lambda: rate_reduction(z, y, k, out))
    n, d, k = 1000, 128, 10
    z, y = rows(n, d, k, np.float32)
    pi = np.zeros((k, n, n), np.float32)
    pi[y, np.arange(n), np.arange(n)] = 1
    add(f"numpy/dense_memberships/gradient_float/{n}x{d}x{k}", lambda: dense_memberships(z, pi))
    if lapack is None:
        return {"numpy": np.__version__}
    import scipy

    return {"numpy": np.__version__, "scipy": scipy.__version__}


def of_torch(add):
    torch.set_num_threads(1)
    n, d, k = 1000, 128, 10
    z, y = rows(n, d, k, np.float32)
    leaf, labels = torch.tensor(z, requires_grad=True), torch.tensor(y)

    def backward():
        leaf.grad = None
        loss = published(leaf, labels, k)
        loss.backward()
        return loss.item()

    out = np.empty_like(z)
    if abs(backward() + rate_reduction(z, y, k, out)) > 1e-3 or np.abs(leaf.grad.numpy() + out).max() > 1e-4:
        sys.exit("the published loss and its formulas disagree")
    add(f"torch/dense_memberships/gradient_float/{n}x{d}x{k}", backward)
    return {"torch": torch.__version__}


def main():
    repetitions, times = int(sys.argv[2]), {}

    def add(name, work):
        times[name] = seconds(work, repetitions)
        print(f"{name}: {times[name]['cpu']:.4f} CPU seconds", file=sys.stderr)

    versions = {"numpy": of_numpy, "torch": of_torch}[sys.argv[3]](add)
    pathlib.Path(sys.argv[1]).write_text(json.dumps({"versions": versions, "times": times}, indent=1))


if __name__ == "__main__":
    main()
