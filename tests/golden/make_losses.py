# SPDX-License-Identifier: MIT
"""Writes torch_losses.json: losses and gradients by PyTorch, in double, on small inputs.

    python make_losses.py            # needs torch, any build

Losses that PyTorch has come from torch.nn.functional; of the others the formula is written below as its paper states
it, and PyTorch differentiates it.
"""

import json
import math
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(7)
N, K = 6, 5
logits = torch.randn(N, K, dtype=torch.float64) * 2
labels = torch.randint(0, K, (N,))
ignored = labels.clone()
ignored[2] = -100
class_weights = torch.tensor([0.5, 1.0, 2.0, 0.25, 3.0], dtype=torch.float64)
soft = torch.rand(N, K, dtype=torch.float64)  # rows that sum to anything
positive = torch.rand(N, K) < 0.4


def p_label(f):
    return F.softmax(f, 1).gather(1, labels[:, None])[:, 0]


def one_hot():
    return F.one_hot(labels, K).double()


def cross_entropy(f):
    return F.cross_entropy(f, labels, reduction="none")


def reverse_cross_entropy(f, log_zero):
    # log 0 of the one-hot label is -log_zero, its log 1 is 0.
    return -(F.softmax(f, 1) * (one_hot() - 1) * log_zero).sum(1)


def jensen_shannon(f, pi):
    p, e = F.softmax(f, 1), one_hot()
    m = pi * e + (1 - pi) * p
    kl = lambda a: torch.where(a > 0, a * (torch.log(torch.where(a > 0, a, 1.0)) - torch.log(m)), 0.0).sum(1)
    return (pi * kl(e) + (1 - pi) * kl(p)) / (-(1 - pi) * math.log(1 - pi))


def normalized(f):
    log_p = F.log_softmax(f, 1)
    return log_p.gather(1, labels[:, None])[:, 0] / log_p.sum(1)


def agce(f, a, q):
    return ((a + 1) ** q - (a + p_label(f)) ** q) / q


def aul(f, a, q):
    return ((a - p_label(f)) ** q - (a - 1) ** q) / q


def robust_log_loss(f, a):
    p, e = F.softmax(f, 1), one_hot()
    logs = torch.log(a + p)
    return math.log((a + 1) / a) - (logs * e).sum(1) + (logs * (1 - e)).sum(1) / (K - 1)


def truncated(f, q, k):
    p = p_label(f)
    return torch.where(p > k, (1 - p**q) / q, torch.full_like(p, (1 - k**q) / q))


ldam_margins = torch.tensor([0.5, 0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
prior = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05], dtype=torch.float64)

cases = {
    "cross_entropy": cross_entropy,
    "cross_entropy_temperature": lambda f: F.cross_entropy(f / 2.5, labels, reduction="none"),
    "cross_entropy_smoothing": lambda f: F.cross_entropy(f, labels, reduction="none", label_smoothing=0.1),
    "cross_entropy_weights": lambda f: F.cross_entropy(f, labels, weight=class_weights, reduction="none"),
    "cross_entropy_ignore": lambda f: F.cross_entropy(f, ignored, reduction="none"),
    "cross_entropy_soft": lambda f: F.cross_entropy(f, soft, reduction="none"),
    "cross_entropy_sum": lambda f: F.cross_entropy(f, ignored, weight=class_weights, reduction="sum"),
    "cross_entropy_mean": lambda f: F.cross_entropy(f, ignored, reduction="mean"),
    "cross_entropy_weighted_mean": lambda f: F.cross_entropy(f, ignored, weight=class_weights, reduction="mean"),
    "multi_margin": lambda f: F.multi_margin_loss(f, labels, reduction="none"),
    "multi_margin_2": lambda f: F.multi_margin_loss(f, labels, margin=2.0, reduction="none"),
    "binary_cross_entropy": lambda f: F.binary_cross_entropy_with_logits(f, positive.double(), reduction="none").mean(1),
    "generalized_cross_entropy": lambda f: (1 - p_label(f) ** 0.7) / 0.7,
    "truncated_generalized_cross_entropy": lambda f: truncated(f, 0.7, 0.3),
    "mean_absolute_error": lambda f: (one_hot() - F.softmax(f, 1)).abs().sum(1),
    "brier": lambda f: ((one_hot() - F.softmax(f, 1)) ** 2).sum(1),
    "reverse_cross_entropy": lambda f: reverse_cross_entropy(f, -math.log(1e-4)),
    "symmetric_cross_entropy": lambda f: 0.1 * cross_entropy(f) + reverse_cross_entropy(f, 4.0),
    "jensen_shannon": lambda f: jensen_shannon(f, 0.3),
    "asymmetric_generalized_cross_entropy": lambda f: agce(f, 3.0, 1.5),
    "asymmetric_unhinged": lambda f: aul(f, 6.0, 1.5),
    "focal": lambda f: (1 - p_label(f)) ** 2 * cross_entropy(f),
    "normalized_cross_entropy": normalized,
    "active_passive": lambda f: 5 * normalized(f) + 2 * aul(f, 6.0, 1.5),
    "robust_log_loss": lambda f: robust_log_loss(f, 0.1),
    "logit_adjustment": lambda f: F.cross_entropy(f + 1.5 * torch.log(prior), labels, reduction="none"),
    "ldam": lambda f: F.cross_entropy(10 * (f - one_hot() * ldam_margins), labels, reduction="none"),
}


def numbers(t):
    return [float(x) for x in t.detach().reshape(-1)]


result = {
    "torch": torch.__version__.split("+")[0],
    "n": N,
    "k": K,
    "logits": numbers(logits),
    "labels": labels.tolist(),
    "ignored": ignored.tolist(),
    "class_weights": numbers(class_weights),
    "soft": numbers(soft),
    "positive": positive.int().reshape(-1).tolist(),
    "ldam_margins": numbers(ldam_margins),
    "prior": numbers(prior),
    "cases": {},
}
for name, loss in cases.items():
    f = logits.clone().requires_grad_()
    value = loss(f)
    value.sum().backward()
    result["cases"][name] = {"loss": numbers(value), "grad": numbers(f.grad)}

path = pathlib.Path(__file__).with_name("torch_losses.json")
path.write_text(json.dumps(result, indent=1) + "\n")
