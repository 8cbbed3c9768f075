# SPDX-License-Identifier: MIT
"""Write the reference results beside this file by running cleanlab 2.9.0.

    python make_confident_learning.py             results for the stored optdigits predictions and for seeded draws
    python make_confident_learning.py --retrain   also make the optdigits predictions again (needs scikit-learn's data)

Fields are described in README.md. Labels and probabilities are our own draws or predictions on UCI
optical digits (CC BY 4.0).
"""

import argparse
import json
import pathlib
import warnings

import numpy as np

# numpy's default sort leaves the order of equal keys open; with a stable one every result depends on the input alone.
_argsort, _sort = np.argsort, np.sort
np.argsort = lambda a, axis=-1, kind=None, order=None: _argsort(a, axis=axis, kind="stable", order=order)
np.sort = lambda a, axis=-1, kind=None, order=None: _sort(a, axis=axis, kind="stable", order=order)

import cleanlab  # noqa: E402
from cleanlab import count, dataset, filter as cl_filter, rank  # noqa: E402
from cleanlab.internal import latent_algebra, util  # noqa: E402
from cleanlab.multilabel_classification import dataset as ml_dataset  # noqa: E402
from cleanlab.multilabel_classification import filter as ml_filter  # noqa: E402
from cleanlab.multilabel_classification import rank as ml_rank  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
FILTERS = [
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_self_confidence",
    "low_normalized_margin",
]
PRUNE = FILTERS[:3]
SCORES = ["self_confidence", "normalized_margin", "confidence_weighted_entropy"]
SEED = 20240611


def attempt(f, *args, **kwargs):
    """The result of a call, or None where cleanlab refuses the input."""
    try:
        return f(*args, **kwargs)
    except (ValueError, IndexError, np.linalg.LinAlgError):
        return None


def plain(x):
    """numpy values as JSON values; None stays null, a non-finite number becomes null."""
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    if isinstance(x, np.ndarray):
        return plain(x.tolist())
    if isinstance(x, (bool, np.bool_)):
        return bool(x)
    if isinstance(x, (int, np.integer)):
        return int(x)
    if isinstance(x, (float, np.floating)):
        return float(x) if np.isfinite(x) else None
    return x


def write(name, case):
    """One key a line, so that a diff shows which quantity moved."""
    body = ",\n".join(f" {json.dumps(k)}: {encode(v)}" for k, v in plain(case).items())
    (HERE / f"{name}.json").write_text("{\n" + body + "\n}\n")


def encode(v):
    compact = lambda x: json.dumps(x, separators=(",", ":"))  # noqa: E731
    if isinstance(v, list) and v and isinstance(v[0], dict):
        return "[\n  " + ",\n  ".join(compact(x) for x in v) + "\n ]"
    if isinstance(v, dict) and any(isinstance(x, (dict, list)) for x in v.values()):
        return "{\n  " + ",\n  ".join(f"{json.dumps(k)}:{compact(x)}" for k, x in v.items()) + "\n }"
    return compact(v)


def rows(mask):
    return None if mask is None else np.flatnonzero(mask)


def table(frame, names):
    return {new: frame[old].to_numpy() for old, new in names.items()}


QUALITY = {
    "Class Index": "class",
    "Label Issues": "issues",
    "Inverse Label Issues": "inverse_issues",
    "Label Noise": "noise",
    "Inverse Label Noise": "inverse_noise",
    "Label Quality Score": "quality",
}
OVERLAP = {
    "Class Index A": "a",
    "Class Index B": "b",
    "Num Overlapping Examples": "count",
    "Joint Probability": "probability",
}


def latent(joint, labels, methods=("cnt", "eqn", "marginal", "marginal_ps")):
    out = {}
    for method in methods:
        for converge in (False, True):
            got = attempt(count.estimate_latent, joint, labels, py_method=method, converge_latent_estimates=converge)
            if got is not None and all(np.isfinite(x).all() for x in got):
                key = method + ("_converged" if converge else "")
                out[key] = dict(zip(("prior", "noise_matrix", "inverse_noise_matrix"), got))
    return out


def joint_of(labels, p, **kwargs):
    raw, off = count.compute_confident_joint(labels, p, calibrate=False, return_indices_of_off_diagonals=True, **kwargs)
    return raw, count.compute_confident_joint(labels, p, **kwargs), off


def single_label(labels, p, custom=(), removals=None, minimums=(0, 1, 5)):
    n, k = p.shape
    raw, calibrated, off = joint_of(labels, p)
    counts = np.bincount(labels, minlength=k)
    removals = np.minimum(3, counts) if removals is None else np.asarray(removals)

    def run(rule, **kwargs):
        return rows(attempt(cl_filter.find_label_issues, labels, p, filter_by=rule, n_jobs=1, **kwargs))

    variants = [dict(filter_by=f) for f in FILTERS]
    variants += [dict(filter_by=f, frac_noise=x) for f in PRUNE for x in (0.5, 0.3)]
    variants += [dict(filter_by=f, min_examples_per_class=m) for f in PRUNE for m in minimums]
    variants += [dict(filter_by=f, num_to_remove_per_class=removals) for f in PRUNE]
    variants += [dict(filter_by=f, joint="raw") for f in PRUNE]
    found = []
    for v in variants:
        options = {key: x for key, x in v.items() if key not in ("filter_by", "joint")}
        if v.get("joint") == "raw":
            options["confident_joint"] = raw
        found.append({**v, "issues": run(v["filter_by"], **options)})
    argmax = attempt(cl_filter.find_label_issues_using_argmax_confusion_matrix, labels, p)
    found.append(dict(filter_by="prune_by_noise_rate", joint="argmax", issues=rows(argmax)))

    rankings = []
    for f in FILTERS:
        for s in SCORES:
            rankings.append(dict(filter_by=f, score=s, issues=attempt(
                cl_filter.find_label_issues, labels, p, filter_by=f, return_indices_ranked_by=s, n_jobs=1)))
    for s in SCORES[:2]:
        rankings.append(dict(filter_by=FILTERS[0], score="adjusted_" + s, issues=attempt(
            cl_filter.find_label_issues, labels, p, return_indices_ranked_by=s,
            rank_by_kwargs={"adjust_pred_probs": True}, n_jobs=1)))
    scores = {s: attempt(rank.get_label_quality_scores, labels, p, method=s) for s in SCORES}
    for s in SCORES[:2]:
        scores["adjusted_" + s] = attempt(rank.get_label_quality_scores, labels, p, method=s, adjust_pred_probs=True)
    for s, value in scores.items():
        rankings.append(dict(filter_by="all", score=s,
                             issues=None if value is None else np.argsort(value)))

    joint = count.estimate_joint(labels, p)
    num = lambda method, **kw: attempt(count.num_label_issues, labels, p, estimation_method=method, **kw)  # noqa: E731
    return dict(
        thresholds=count.get_confident_thresholds(labels, p),
        confident_joint_raw=raw,
        confident_joint=calibrated,
        off_diagonal=off,
        joint=joint,
        latent=latent(calibrated, labels),
        latent_from_raw=latent(raw, labels, ("cnt",)),
        num_issues=dict(
            off_diagonal=num("off_diagonal"),
            off_diagonal_calibrated=num("off_diagonal_calibrated"),
            off_diagonal_custom_from_raw=num("off_diagonal_custom", confident_joint=raw),
        ),
        filters=found,
        rankings=rankings,
        scores=scores,
        custom_thresholds=[dict(zip(("thresholds", "confident_joint_raw", "confident_joint", "off_diagonal"),
                                    (t, *joint_of(labels, p, thresholds=np.asarray(t))))) for t in custom],
        health=attempt(dataset.overall_label_health_score, labels, p, verbose=False),
        health_from_joint=dataset.overall_label_health_score(labels, joint=joint, verbose=False),
        class_quality=table(dataset.rank_classes_by_label_quality(labels, p), QUALITY),
        overlapping_classes=table(dataset.find_overlapping_classes(labels, p), OVERLAP),
        overlapping_classes_asymmetric=table(dataset.find_overlapping_classes(labels, p, asymmetric=True), OVERLAP),
    )


def multi_label(y, p):
    labels = [np.flatnonzero(r).tolist() for r in y]
    k = p.shape[1]
    raw, off = count.compute_confident_joint(labels, p, multi_label=True, calibrate=False,
                                             return_indices_of_off_diagonals=True)
    filters = []
    variants = [dict(filter_by=f) for f in FILTERS]
    variants += [dict(filter_by=f, frac_noise=0.5, min_examples_per_class=5) for f in PRUNE]
    variants += [dict(filter_by=f, num_to_remove_per_class=[2, 0, 3, 1]) for f in PRUNE]
    # cleanlab ranks the low_* rules by the order of one list applied to another: a defect, so that is not stored.
    for v in variants:
        per_class = attempt(ml_filter.find_multilabel_issues_per_class, labels, p, n_jobs=1, **v)
        mask = attempt(ml_filter.find_label_issues, labels, p, n_jobs=1, **v)
        ranked = None if v["filter_by"].startswith("low_") else attempt(
            ml_filter.find_label_issues, labels, p, return_indices_ranked_by="self_confidence", n_jobs=1, **v)
        filters.append(dict(**v, per_class=None if per_class is None else [rows(c) for c in per_class.T],
                            issues=rows(mask), ranked_by_self_confidence=ranked))
    scores = {}
    for s in SCORES:
        scores["per_class_" + s] = attempt(ml_rank.get_label_quality_scores_per_class, labels, p, method=s)
        scores[s] = attempt(ml_rank.get_label_quality_scores, labels, p, method=s)
    scores["adjusted_self_confidence"] = attempt(ml_rank.get_label_quality_scores, labels, p, adjust_pred_probs=True)
    scores["moving_average_default_alpha"] = attempt(
        ml_rank.get_label_quality_scores, labels, p,
        aggregator_kwargs={"method": "exponential_moving_average", "alpha": None})
    scores["softmin"] = attempt(ml_rank.get_label_quality_scores, labels, p,
                                aggregator_kwargs={"method": "softmin", "temperature": 0.1})
    common = attempt(ml_dataset.common_multilabel_issues, labels, p)
    given, not_given = np.zeros(k, int), np.zeros(k, int)
    if common is not None:
        for _, r in common.iterrows():
            (given if r["In Given Label"] else not_given)[r["Class Index"]] = r["Num Examples"]
    return dict(
        thresholds=attempt(count.get_confident_thresholds, labels, p, multi_label=True),
        confident_joint_raw=raw,
        confident_joint=count.compute_confident_joint(labels, p, multi_label=True),
        off_diagonal=off,
        joint=attempt(count.estimate_joint, labels, p, multi_label=True),
        filters=filters,
        scores=scores,
        common_issues=None if common is None else dict(given_but_flagged=given, not_given_but_flagged=not_given),
        health=attempt(ml_dataset.overall_multilabel_health_score, labels, p),
    )


def noisy(rng, n, k, strength, flip, labels_from=None):
    """Labels of which a share is flipped, and probabilities that lean to the label before the flip."""
    classes = np.arange(k) if labels_from is None else np.asarray(labels_from)
    truth = rng.choice(classes, n)
    logit = rng.normal(0, 1, (n, k))
    logit[np.arange(n), truth] += strength
    p = np.exp(logit)
    p /= p.sum(axis=1, keepdims=True)
    wrong = rng.random(n) < flip
    labels = np.where(wrong, rng.choice(classes, n), truth)
    labels[: len(classes)] = classes
    return labels, p


def sixteenths(rng, n, k):
    return rng.multinomial(16, np.ones(k) / k, n) / 16


def edge_cases():
    def rng(i):
        return np.random.default_rng([SEED, i])

    cases = {}
    cases["missing_classes"] = noisy(rng(1), 120, 6, 2.0, 0.25, (0, 2, 3)), {}
    cases["binary"] = noisy(rng(2), 90, 2, 1.2, 0.25), dict(custom=([0.5, 0.5], [0.3, 0.9]))
    r = rng(3)
    cases["ties"] = (r.integers(0, 4, 150), sixteenths(r, 150, 4)), {}
    r = rng(4)
    labels, p = noisy(r, 160, 5, 0.6, 0.3)
    p[labels == 0] = p[labels == 0] * 0.2 + 0.8 * np.eye(5)[0]  # a threshold so high that the argmax can miss its own
    for i in np.flatnonzero(labels)[:30]:
        share = np.append(0.40, r.permutation([0.28, 0.26, 0.04, 0.02])) + r.normal(0, 0.01, 5)
        p[i] = np.abs(share)
    p /= p.sum(axis=1, keepdims=True)
    cases["multi_confident"] = (labels, p), {}
    r = rng(5)
    labels = np.arange(6)
    cases["one_per_class"] = (labels, r.dirichlet(np.ones(6), 6)), dict(minimums=(0, 1))
    p = r.dirichlet(np.ones(6), 6) * 0.3 + 0.7 * np.eye(6)
    cases["one_per_class_swapped"] = (np.array([1, 0, 2, 3, 5, 4]), p), dict(minimums=(0, 1))
    labels, p = noisy(rng(6), 130, 5, 1.5, 0.2)
    cases["supplied_thresholds"] = (labels, p), dict(custom=([1.5] * 5, [0.0] * 5, [0.9, 0.1, 0.4, 0.4, 0.2]))
    labels, p = noisy(rng(7), 100, 4, 1.5, 0.2)
    p[labels == 2, 2] = 0
    p /= p.sum(axis=1, keepdims=True)
    cases["zero_threshold_class"] = (labels, p), {}
    labels = np.repeat(np.arange(3), 12)
    p = np.full((36, 3), 0.15) + 0.55 * np.eye(3)[labels]
    p[::9] = p[::9][:, [1, 2, 0]]
    p[labels == 1] = [0.2, 0.5, 0.3]
    cases["on_threshold"] = (labels, p), {}
    labels = rng(8).integers(0, 4, 48)
    cases["one_hot_all_correct"] = (labels, np.eye(4)[labels]), {}
    wrong = np.where(np.arange(48) % 5 == 0, (labels + 1) % 4, labels)
    cases["one_hot_some_wrong"] = (wrong, np.eye(4)[labels]), {}
    labels, p = noisy(rng(9), 120, 4, 1.5, 0.2)
    cases["unnormalised_rows"] = (labels, 0.8 * p), {}
    labels, p = noisy(rng(10), 200, 12, 2.2, 0.15)
    labels[labels == 7] = 3
    labels[[20, 60]] = 7
    cases["rare_class"] = (labels, p), dict(minimums=(0, 1, 2, 3, 5, 40))
    labels, p = noisy(rng(11), 150, 7, 1.8, 0.2)
    cases["single_precision"] = (labels, p.astype(np.float32)), dict(custom=([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.2],))
    labels, p = noisy(rng(12), 150, 5, 1.8, 0.2, (0, 1, 3, 4))
    cases["half_precision_missing_class"] = (labels, p.astype(np.float16)), {}
    labels, p = noisy(rng(13), 150, 6, 1.8, 0.2, (0, 1, 2, 3, 5))
    cases["single_precision_missing_class"] = (labels, p.astype(np.float32)), {}
    labels, p = noisy(rng(14), 240, 20, 2.0, 0.3)
    cases["twenty_classes"] = (labels, p), {}
    labels, p = noisy(rng(45), 150, 12, 1.0, 0.4)
    cases["fractional_counts"] = (labels, np.round(p, 2)), dict(custom=(np.linspace(0.1, 0.5, 12).tolist(),))
    return cases


def multi_label_cases():
    cases = {}
    names = ("multi_label", "multi_label_absent_class", "multi_label_all_ones_class", "multi_label_single_precision",
             "multi_label_half_precision")
    for i, name in enumerate(names):
        r = np.random.default_rng([SEED, 100 + i])
        y = (r.random((120, 4)) < [0.3, 0.5, 0.2, 0.4]).astype(int)
        p = np.clip(0.15 + 0.7 * y + r.normal(0, 0.18, y.shape), 0, 1)
        y ^= r.random(y.shape) < 0.1
        if i == 1:
            y[:, 2] = 0
        if i == 2:
            y[:, 1] = 1
        cases[name] = y, p.astype((np.float64, np.float64, np.float64, np.float32, np.float16)[i])
    return cases


def formulas():
    r = np.random.default_rng([SEED, 200])
    sums = [[0.5, 0.5], [1.5, 2.5, 3.0], [0.4] * 3, [2.6, 2.6, 2.6, 0.2], [10 / 3] * 3, [0.5] * 5, [1e-12, 1 - 1e-7, 7],
            [0.0, 0.0], [1.25] * 4, [-0.6, -0.6, 3.2], [0.5] * 21, [2.75] * 40]
    sums += [(r.random(k) * 20).tolist() for k in (2, 3, 5, 9, 17, 33)]
    sums += [(r.integers(0, 40, k) / 4).tolist() for k in (2, 3, 4, 6, 8, 10, 16, 20, 30)]
    rounding = [dict(input=x, output=util.round_preserving_sum(x)) for x in sums]

    calibration = []
    for i in range(60):
        k = int(r.integers(2, 14)) if i else 6
        c = r.integers(0, 6, (k, k))
        np.fill_diagonal(c, np.maximum(c.diagonal(), 1))
        n = r.integers(0, 12, k)
        n[-1] = max(n[-1], 1)
        labels = np.repeat(np.arange(k), n)
        calibration.append(dict(
            confident_joint=c, label_counts=n,
            supplied=count.calibrate_confident_joint(np.ascontiguousarray(c), labels),
            computed=count.calibrate_confident_joint(np.asfortranarray(c), labels)))

    prune = []
    for _ in range(12):
        k = int(r.integers(2, 8))
        m = r.integers(0, 9, (k, k))
        np.fill_diagonal(m, r.choice([0, 2, 12, 30], k))
        for least in (0, 1, 7):
            for fraction in (1.0, 0.5, 0.3):
                prune.append(dict(matrix=m, n=least, frac_noise=fraction,
                                  output=cl_filter._keep_at_least_n_per_class(m, least, frac_noise=fraction)))

    noise = np.array([[0.7, 0.2, 0.1], [0.2, 0.6, 0.1], [0.1, 0.2, 0.8]])
    ps = np.array([0.3, 0.3, 0.4])
    py, inverse = latent_algebra.compute_py_inv_noise_matrix(ps, noise)
    p = r.dirichlet(np.ones(3), 8)
    rates = r.random((5, 5)) * 0.4
    rates[0, 1], rates[2, 2], rates[3, 1], rates[4, 4] = -0.1, 1.3, 1.2, 0.0
    return dict(
        round_preserving_sum=rounding,
        calibrate_confident_joint=calibration,
        keep_at_least_n=prune,
        clip_noise_rates=dict(input=rates, output=util.clip_noise_rates(rates)),
        remove_noise_from_class=dict(input=noise, cls=1, output=util.remove_noise_from_class(noise, 1)),
        py_inv_from_noise_matrix=dict(ps=ps, noise_matrix=noise, py=py, inverse_noise_matrix=inverse),
        noise_matrix_from_inverse=latent_algebra.compute_noise_matrix_from_inverse(ps, inverse, py=py),
        compute_pyx=dict(pred_probs=p, output=latent_algebra.compute_pyx(p, noise, inverse)),
    )


def train_optdigits(n=600, flip=0.1):
    """Out-of-sample softmax probabilities of the first n digits, a tenth of the labels flipped before training."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    x, truth = load_digits(return_X_y=True)
    r = np.random.default_rng([SEED, 0])
    wrong = r.random(len(truth)) < flip
    labels = np.where(wrong, (truth + r.integers(1, 10, len(truth))) % 10, truth)
    folds = StratifiedKFold(5, shuffle=True, random_state=SEED % 2**31)
    p = cross_val_predict(LogisticRegression(C=0.05, max_iter=500), x / 16, labels, cv=folds, method="predict_proba")
    np.save(HERE / "optdigits_labels.npy", labels[:n].astype(np.uint8))
    for dtype in (np.float64, np.float32, np.float16):
        np.save(HERE / f"optdigits_{np.dtype(dtype).name}.npy", p[:n].astype(dtype))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retrain", action="store_true", help="make the optdigits predictions again")
    if parser.parse_args().retrain:
        train_optdigits()
    warnings.simplefilter("ignore")

    made_by = dict(cleanlab=cleanlab.__version__, numpy=np.__version__)
    labels = np.load(HERE / "optdigits_labels.npy").astype(np.int64)
    for name in ("float64", "float32", "float16"):
        p = np.load(HERE / f"optdigits_{name}.npy")
        write(f"optdigits_{name}", dict(kind="single_label", made_by=made_by, dtype=name, n=p.shape[0], k=p.shape[1],
                                        labels_npy="optdigits_labels.npy", pred_probs_npy=f"optdigits_{name}.npy",
                                        **single_label(labels, p)))
    for name, ((labels, p), options) in edge_cases().items():
        write(name, dict(kind="single_label", made_by=made_by, dtype=p.dtype.name, n=p.shape[0], k=p.shape[1],
                         labels=labels, pred_probs=p, **single_label(labels, p, **options)))
    for name, (y, p) in multi_label_cases().items():
        with np.errstate(all="ignore"):
            write(name, dict(kind="multi_label", made_by=made_by, dtype=p.dtype.name, n=p.shape[0], k=p.shape[1],
                             labels=y, pred_probs=p, **multi_label(y, p)))
    write("formulas", dict(kind="formulas", made_by=made_by, **formulas()))


if __name__ == "__main__":
    main()
