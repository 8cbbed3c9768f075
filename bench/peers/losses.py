# SPDX-License-Identifier: MIT
"""Time PyTorch's cross-entropy, forward and backward, on one thread.

    python losses.py OUT.json REPETITIONS SIZE...        sizes as 1000000x10

Twice: `out` calls the operators that autograd would, each into memory that exists already, and `autograd` is
cross_entropy(x, y).backward() as users write it, which maps fresh memory in every call. Gaussian logits of deviation 3,
random labels; the least wall and process CPU time of the repetitions are kept.
"""

import json
import pathlib
import sys
import time

import torch

MEAN, IGNORED = 1, -100  # the codes of aten::nll_loss


def seconds(work, repetitions):
    work()  # maps what it needs
    wall, cpu = [], []
    for _ in range(repetitions):
        w, c = time.perf_counter(), time.process_time()
        work()
        cpu.append(time.process_time() - c)
        wall.append(time.perf_counter() - w)
    return {"wall": min(wall), "cpu": min(cpu), "runs": repetitions}


def into_memory(x, y):
    """The four operators behind cross_entropy(x, y).backward(), and where the gradient lies."""
    aten = torch.ops.aten
    log_p, of_log_p, of_x = (torch.zeros_like(x) for _ in range(3))
    loss, weight, one = torch.zeros(()), torch.zeros(()), torch.ones(())

    def work():
        aten._log_softmax.out(x, 1, False, out=log_p)
        aten.nll_loss_forward.output(log_p, y, None, MEAN, IGNORED, output=loss, total_weight=weight)
        aten.nll_loss_backward.grad_input(one, log_p, y, None, MEAN, IGNORED, weight, grad_input=of_log_p)
        aten._log_softmax_backward_data.out(of_log_p, log_p, 1, x.dtype, out=of_x)

    return work, of_x


def main():
    torch.set_num_threads(1)
    repetitions, times = int(sys.argv[2]), {}
    for size in sys.argv[3:]:
        n, k = map(int, size.split("x"))
        torch.manual_seed(1)
        x, y = torch.randn(n, k) * 3, torch.randint(k, (n,))
        work, gradient = into_memory(x, y)
        with torch.no_grad():
            times[f"torch/cross_entropy/out/{size}"] = seconds(work, repetitions)
        leaf = x.requires_grad_()

        def autograd():
            leaf.grad = None
            torch.nn.functional.cross_entropy(leaf, y).backward()

        times[f"torch/cross_entropy/autograd/{size}"] = seconds(autograd, repetitions)
        if not torch.allclose(leaf.grad, gradient, rtol=1e-5, atol=1e-12):
            sys.exit(f"{size}: the operators and autograd disagree")
        for kind in ("out", "autograd"):
            cpu = times[f"torch/cross_entropy/{kind}/{size}"]["cpu"]
            print(f"torch/cross_entropy/{kind}/{size}: {cpu:.4f} CPU seconds", file=sys.stderr)
        del work, gradient, leaf, x, y
    pathlib.Path(sys.argv[1]).write_text(json.dumps({"versions": {"torch": torch.__version__}, "times": times}, indent=1))


if __name__ == "__main__":
    main()
