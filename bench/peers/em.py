# SPDX-License-Identifier: MIT
"""Time posteriors over candidate sets as one writes them in PyTorch, on one thread and into memory that exists already.

    python em.py OUT.json REPETITIONS SIZE...        sizes as 1000000x10

`posterior` is softmax(logits with -inf outside of the set); `gradient` is the marginal loss logsumexp(z) - logsumexp(z in S)
and its gradient softmax(z) - posterior. Gaussian logits of deviation 3, a byte mask with half of the classes; the least wall and
process CPU time of the repetitions are kept.
"""

import json
import pathlib
import sys

import torch

from losses import seconds


def main():
    torch.set_num_threads(1)
    repetitions, times = int(sys.argv[2]), {}
    for size in sys.argv[3:]:
        n, k = map(int, size.split("x"))
        torch.manual_seed(1)
        x, inside = torch.randn(n, k) * 3, torch.rand(n, k) < 0.5
        inside[torch.arange(n), torch.randint(k, (n,))] = True
        outside, nothing = ~inside, torch.tensor(-torch.inf)
        shut, q, p = (torch.zeros_like(x) for _ in range(3))
        loss, of_set = torch.zeros(n), torch.zeros(n)

        def posterior():
            torch.where(outside, nothing, x, out=shut)
            torch.softmax(shut, 1, out=q)

        def gradient():
            posterior()
            torch.softmax(x, 1, out=p)
            torch.logsumexp(x, 1, out=loss)
            torch.logsumexp(shut, 1, out=of_set)
            loss.sub_(of_set)
            p.sub_(q)

        with torch.no_grad():
            for name, work in (("posterior_mask", posterior), ("gradient_mask", gradient)):
                times[f"torch/label_posterior/{name}/{size}"] = seconds(work, repetitions)
                print(f"torch/label_posterior/{name}/{size}: {times[f'torch/label_posterior/{name}/{size}']['cpu']:.4f} CPU seconds",
                      file=sys.stderr)
        leaf = x.requires_grad_()
        total = (torch.logsumexp(leaf, 1) - torch.logsumexp(leaf.masked_fill(outside, -torch.inf), 1)).sum()
        total.backward()
        if not torch.allclose(leaf.grad, p, rtol=1e-4, atol=1e-5):
            sys.exit(f"{size}: the formulas and autograd disagree")
        del x, leaf, inside, outside, shut, q, p, total
    pathlib.Path(sys.argv[1]).write_text(json.dumps({"versions": {"torch": torch.__version__}, "times": times}, indent=1))


if __name__ == "__main__":
    main()
