# SPDX-License-Identifier: MIT
"""Merge one run of weakly_bench and of the peers into the tables of bench/README.md.

    python table.py weakly.json [more_of_weakly.json...] peers.json... [README.md]

Times are the least of the repetitions, ratios are taken within the run. One-thread rows compare CPU time, which a busy
machine changes least; two-thread rows have to compare wall time, and mean something only on a machine that is otherwise
idle: the load average is printed for that. A row that was not run is shown as missing. With a page as the last argument the
tables also replace what stands between the marks in it.
"""

import json
import platform
import re
import sys

SMALL, LARGE = "1000000x10", "100000x1000"
JOINT, ISSUES, RANKED = "thresholds_and_confident_joint", "issues_and_score", "ranked_issues_and_margin"

# Goal and stretch of loss + gradient in streaming copies of the logits, and how many times faster than torch.
LOSS_GOALS = {"1000000x10": (2.6, 2.0, 25), "65536x100": (1.8, 1.5, 8), "65536x1000": (1.55, 1.3, 4), "4096x50000": (2.1, 1.4, 4)}
LONGEST_WITH_AVX512 = 1.6
# Goals and stretches of label_posterior in copies of the scores, and how many times faster than torch.
EM_GOALS = {"1000000x10": ((2.5, 2.0, 25), (3.8, 3.0, 15)), "65536x100": ((2.1, 1.6, 10), (3.2, 2.4, 7)),
            "65536x1000": ((1.6, 1.3, 8), (2.3, 1.7, 6))}
PGMAX_PASSES = 10 / 30  # of the passes that weakly does
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"


def read_bench(path):
    """Name -> least wall and CPU seconds and the counters."""
    unit = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
    out = {}
    for b in json.load(open(path))["benchmarks"]:
        if b.get("run_type") == "aggregate" or b.get("error_occurred"):
            continue
        name = re.sub(r"/(real_time|process_time|repeats:\d+|iterations:\d+|min_time:[\d.]+|min_warmup_time:[\d.]+)", "", b["name"])
        scale = unit[b["time_unit"]]
        old = out.setdefault(name, {"wall": float("inf"), "cpu": float("inf"), "counters": {}})
        old["wall"] = min(old["wall"], b["real_time"] * scale)
        old["cpu"] = min(old["cpu"], b["cpu_time"] * scale)
        for key in ("extra_bytes", "nonzeros", "flops", "items_per_second", "bytes_per_second", "bytes_per_edge"):
            if key in b:
                old["counters"][key] = max(old["counters"].get(key, 0), b[key])
    return out


def milliseconds(seconds):
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


class Table:
    def __init__(self, bench, peers):
        self.bench, self.peers, self.lines = bench, peers, []

    def time(self, name, clock="wall"):
        found = self.bench.get(name) or self.peers.get(name)
        return found and found[clock]

    def row(self, work, needs, clock, ratio, goal, at_most, stretch=None, unit="x"):
        """One line: `ratio` of the times called `needs`, against a bound from above or from below."""
        times = [self.time(n, clock) for n in needs]
        if None in times:
            missing = ", ".join(n for n, t in zip(needs, times) if t is None)
            self.lines.append(f"| {work} | not run: {missing} | | {bound(goal, at_most, unit)} | | |")
            return
        value = ratio(*times)
        shown = " / ".join(milliseconds(t) for t in times)
        met = "" if goal is None else "yes" if (value <= goal if at_most else value >= goal) else "no"
        self.lines.append(
            f"| {work} | {shown} | {value:.3g} {unit} | {bound(goal, at_most, unit)} | {bound(stretch, at_most, unit)} | {met} |")

    def memory(self, size, threads):
        k = int(size.split("x")[1])
        allowed = threads * (2**20 + 16 * k * k)
        found = self.bench.get(f"{JOINT}/{size}/threads:{threads}", {"counters": {}})["counters"].get("extra_bytes")
        work = f"extra memory of thresholds + joint, {size}, {threads} thread{'s' if threads > 1 else ''}"
        if found is None:
            self.lines.append(f"| {work} | not run | | ≤ {allowed / 2**10:.0f} KiB | | |")
            return
        self.lines.append(f"| {work} | | {found / 2**10:.1f} KiB | ≤ {allowed / 2**10:.0f} KiB | | {'yes' if found <= allowed else 'no'} |")

    def sparse(self):
        name = next((n for n in self.bench if n.startswith("sparse_confident_joint/1000000x20000")), None)
        work = "confident joint, k = 20,000, n = 1e6, (label, top-m) lists"
        if name is None:
            self.lines.append(f"| {work} | not run | | works, memory O(non-zeros) | | |")
            return
        found = self.bench[name]
        extra, nonzeros = found["counters"].get("extra_bytes"), found["counters"].get("nonzeros")
        memory = "" if not extra or not nonzeros else f"{extra / 2**20:.1f} MiB, {extra / nonzeros:.3g} bytes a non-zero"
        # A dense k x k joint of 8-byte counts alone would take 3.2 GB.
        met = "" if not memory else ("yes" if extra <= 256 * nonzeros else "no")
        self.lines.append(f"| {work} | {milliseconds(found['wall'])} | {memory} | works, memory O(non-zeros) | | {met} |")


def bound(value, at_most, unit):
    return "" if value is None else f"{'≤' if at_most else '≥'} {value:g} {unit}"


def over(a, b):
    return a / b


def losses(t):
    """The rows of the losses: every time is that of loss and gradient unless the row says otherwise."""
    def copy(size, threads=1):
        return f"floor/copy/{size}/threads:{threads}"

    def entropy(size, what="gradient", threads=1):
        return f"loss/cross_entropy/{what}/{size}/threads:{threads}"

    for size, (goal, stretch, faster) in LOSS_GOALS.items():
        if size == "4096x50000" and has_avx512():
            goal = LONGEST_WITH_AVX512
        t.row(f"cross-entropy, {size} (loss / copy)", [entropy(size), copy(size)], "cpu", over, goal, True, stretch)
        t.row(f"cross-entropy, {size}, against PyTorch into mapped memory (torch / weakly)",
              [f"torch/cross_entropy/out/{size}", entropy(size)], "cpu", over, faster, False)
        t.row(f"cross-entropy, {size}, every row shifted (30 x the logits / the logits)", [entropy(size, "extreme"), entropy(size)],
              "cpu", over, 2.5, True)
        for what in ("value", "double", "half"):
            t.row(f"cross-entropy, {size}, {what}{' only' if what == 'value' else ''} (loss / copy of float)", [entropy(size, what), copy(size)],
                  "cpu", over, None, True)
    for size in list(LOSS_GOALS)[:3]:
        for name, shown, goal, stretch in (("lambda_0.10", "lambda 0.1, every row shifted", 2, 1.5), ("lambda_1.00", "lambda 1", 1.3, 1.1),
                                           ("lambda_10.0", "lambda 10", 1.3, 1.1), ("margin_table", "table of margins", 1.3, 1.1)):
            t.row(f"LDR-KL, {shown}, {size} (LDR / cross-entropy)", [f"loss/ldr_kl/{name}/{size}", entropy(size)], "cpu", over, goal,
                  True, stretch)
    for size in list(LOSS_GOALS)[:3]:
        for alpha in (2, 3):
            t.row(f"ALDR-KL, alpha {alpha}, {size} (ALDR / LDR)", [f"loss/aldr_kl/alpha_{alpha}/{size}", f"loss/aldr_kl/ldr_kl/{size}"],
                  "cpu", over, 6, True, 4)
    for size in ("1000000x10", "65536x100"):
        t.row(f"cross-entropy, two threads against one, {size} (one / two)", [entropy(size), entropy(size, threads=2)], "wall", over,
              1.8, False)
    t.row("cross-entropy, two threads, 65536x1000 (loss / copy, two threads both)",
          [entropy("65536x1000", threads=2), copy("65536x1000", 2)], "wall", over, 1.3, True)


def posteriors(t):
    """The rows of em/."""
    def em(what, size, threads=1):
        return f"em/label_posterior/{what}/{size}/threads:{threads}"

    def copy(size):
        return f"floor/copy/{size}/threads:1"

    for size, goals in EM_GOALS.items():
        for (kind, shown), (goal, stretch, faster) in zip((("posterior", "posterior only"), ("gradient", "loss + gradient")), goals):
            t.row(f"logits + byte mask, {shown}, {size} (em / copy)", [em(f"{kind}_mask", size), copy(size)], "cpu", over, goal, True, stretch)
            t.row("same, against PyTorch into mapped memory (torch / weakly)",
                  [f"torch/label_posterior/{kind}_mask/{size}", em(f"{kind}_mask", size)], "cpu", over, faster, False)
            t.row(f"logits + bits, {shown}, {size} (bits / bytes)", [em(f"{kind}_bits", size), em(f"{kind}_mask", size)], "cpu", over,
                  0.9 if has_avx512() else 1, True, 0.85 if has_avx512() else None)
            t.row(f"logits + byte mask, {shown}, two threads against one, {size} (one / two)",
                  [em(f"{kind}_mask", size), em(f"{kind}_mask", size, 2)], "wall", over, 1.8, False)
    t.row("candidate lists, 10 of 1000, into their slots, 65536 rows (em / copy of the scores)",
          ["em/candidate_list_posterior/10_of/65536x1000", copy("65536x1000")], "cpu", over, 0.45, True, 0.3)
    t.row("noisy label with a k x k matrix, 65536x100 (noisy / byte mask)",
          [em("posterior_noisy", "65536x100"), em("posterior_mask", "65536x100")], "cpu", over, 1.3, True)
    t.row("bag of 4096 items, one count (weakly / recursion in logarithms)",
          ["em/bag_count/usual_count/4096", "em/bag_count/in_logarithms/4096"], "cpu", over, None, True)
    t.row("bag of 4096 items against one of 512 (64 = O(b^2))", ["em/bag_count/usual_count/4096", "em/bag_count/usual_count/512"],
          "cpu", over, 64, True)


def rates(t):
    """The rows of rate/: shares of the peak of the arithmetic units, and of what plain products take."""
    def peak(kind):
        found = t.bench.get(f"rate/floor/fma_{kind}")
        return found and found["counters"]["flops"] / found["cpu"]

    def rate(what, size, threads=1):
        return f"rate/{what}/{size}/threads:{threads}"

    def against_flops(work, name, flops, kind, size, goal, stretch):
        products = [f"rate/floor/{whose}_product_{kind}/{size}" for whose in ("packed", "eigen")]
        fastest = min((p for p in products if p in t.bench), key=lambda p: t.bench[p]["cpu"], default=products[0])
        n, d = map(int, size.split("x"))
        t.row(work, [name, fastest], "cpu", lambda a, b: a / (b * flops / (2 * n * d * d)), goal, True, stretch)

    n, d, size = 20000, 512, "20000x512"
    for kind, goal, stretch in (("float", 0.75, 0.85), ("double", None, None)):
        most = peak(kind)
        t.row(f"coding rate + gradient, {size}, {kind} (share of the FMA peak)", [rate(f"coding_rate/gradient_{kind}", size)], "cpu",
              lambda a: 3 * n * d * d / a / most if most else float("nan"), goal, False, stretch, "of peak")
        t.row(f"same, against numpy and OpenBLAS (weakly / numpy), {kind}",
              [rate(f"coding_rate/gradient_{kind}", size), f"numpy/coding_rate/gradient_{kind}/{size}"], "cpu", over, 1.05, True)
    t.row(f"coding rate + gradient, {size}, float, two threads (one / two)",
          [rate("coding_rate/gradient_float", size), rate("coding_rate/gradient_float", size, 2)], "wall", over, 1.7, False)
    n, d, k, size = 10000, 128, 10, "10000x128x10"
    name = "rate_reduction/gradient_double"
    against_flops(f"rate reduction + gradient, {size}, double (its flops at the rate of a product)", rate(name, size),
                  3 * n * d * d + (k + 1) * d**3, "double", "10000x128", 1.5, 1.2)
    t.row("same, against numpy and LAPACK (numpy / weakly)", [f"numpy/{name}/{size}", rate(name, size)], "cpu", over, 1.8, False)
    t.row("same, two threads (one / two)", [rate(name, size), rate(name, size, 2)], "wall", over, 1.7, False)
    n, d, k, m, size = 20000, 512, 100, 200, "20000x512x100"
    against_flops(f"rate reduction + gradient, {size}, double (flops of the best mixed choice at the rate of a product)", rate(name, size),
                  3 * n * d * d + 3 * n * m * d + n * m * m + d**3, "double", "20000x512", 1.6, 1.3)
    t.row("same, against numpy and LAPACK (numpy / weakly)", [f"numpy/{name}/{size}", rate(name, size)], "cpu", over, None, False)
    t.row("same, two threads (one / two)", [rate(name, size), rate(name, size, 2)], "wall", over, 1.7, False)
    for who in ("torch", "numpy"):
        t.row(f"published loss with dense memberships, 1000x128x10, float ({who} / weakly)",
              [f"{who}/dense_memberships/gradient_float/1000x128x10", rate("rate_reduction/gradient_float", "1000x128x10")], "cpu", over, 20,
              False)


def graphs(t):
    """The rows of graph/."""
    def rate(name, key="items_per_second"):
        return t.bench.get(name, {"counters": {}})["counters"].get(key, 0)

    def share(work, name, floor, goal, stretch=None, key="items_per_second"):
        t.row(work, [name, floor], "wall", lambda a, b: rate(name, key) / rate(floor, key), goal, False, stretch)

    def bp(what, graph="grid500", type_of="double", threads=1):
        return f"graph/belief_propagation/{graph}/{what}/{type_of}/{threads}"

    nodes = "graph/label_propagation/1000000x40/anywhere"
    for steps, shown in ((1, "one step"), (6, "six steps")):
        share(f"label propagation, 1e6 nodes, 1e7 edges, k = 40, {shown} (of rows gathered and added, asked for ahead)",
              f"{nodes}/threads1/steps{steps}", f"{nodes}/threads1/floor_asking_ahead", 0.5)
    t.row("same, two threads against one, six steps (one / two)", [f"{nodes}/threads1/steps6", f"{nodes}/threads2/steps6"], "wall", over,
          1.7, False)
    for type_of, goal, stretch in (("double", 150, 214), ("float", 300, 472)):
        name = bp("ratios", type_of=type_of)
        t.row(f"Ising grid 500 x 500, flooding, {type_of}, messages", [name], "cpu", lambda a, n=name: rate(n) / 1e6, goal, False, stretch,
              "M/s")
    for type_of in ("double", "float"):
        name = bp("ratios", type_of=type_of)
        t.row(f"same, {type_of}, bytes for each directed edge", [name], "cpu", lambda a, n=name: rate(n, "bytes_per_edge"), 48, True, 29,
              "bytes")
        share(f"1e6 nodes, 8e6 directed edges, breadth-first order, {type_of} (of one gather a message)",
              bp("ratios", "neighbours", type_of), f"graph/belief_propagation/neighbours/gather_floor/{type_of}", 0.5, 0.8)
    t.row("Ising grid 500 x 500, float, a pass, against PGMax (ten passes of PGMax / thirty of weakly)",
          ["pgmax/belief_propagation/grid500", bp("ratios", type_of="float")], "cpu", lambda a, b: a / (PGMAX_PASSES * b), None, False)
    name = bp("flooding", "network")
    t.row("tables of mixed shapes, messages (libDAI: 0.5 to 1.7 M/s)", [name], "cpu", lambda a: rate(name) / 1e6, 20 * 0.5, False, 20 * 1.7,
          "M/s")
    for graph, what, shown in (("grid500", "ratios", "Ising grid 500 x 500"), ("neighbours", "ratios", "1e6 nodes"),
                               ("network", "flooding", "tables")):
        t.row(f"{shown}, double, two threads against one (one / two)", [bp(what, graph), bp(what, graph, threads=2)], "wall", over, 1.7,
              False)
    grid = "graph/grid"
    share("grid 1000 x 1000 without indices, float (of as many bytes read)", f"{grid}/float/1000x1000/threads:1",
          f"{grid}/read/1000x1000/threads:1", 0.6, 0.8, "bytes_per_second")
    for potential in ("quadratic", "hard", "wide"):
        t.row(f"count factor, 2048 variables, {potential} (messages / 2048^2 multiply-adds)",
              [f"graph/count_factor/{potential}/2048", "graph/count_factor/multiply_adds/2048"], "cpu", over, 3, True, 1.6)
    sweep = "graph/label_proportions/1000000"
    t.row("label proportions, 1e6 items, bags of 2048, 5 neighbours: 100 sweeps on two threads", [f"{sweep}/2"], "wall",
          lambda a: 100 * a, 300, True, 120, "s")


def beside_em(bench):
    """Everything else of em/ in copies of its array."""
    rows = []
    for name, found in bench.items():
        match = re.fullmatch(r"em/(\w+)/(\d+x\d+)", name)
        floor = match and bench.get(f"em/floor_copy/{match[2]}")
        if floor and match[1] != "floor_copy":
            rows.append(f"| {match[1]} | {match[2]} | {milliseconds(found['cpu'])} | {found['cpu'] / floor['cpu']:.3g} x |")
    return ["| beside EM, float, one thread | size | time | in copies |", "| --- | --- | --- | --- |", *rows] if rows else []


def other_losses(bench):
    """Every loss/NAME/SIZE in copies of its array: a column for each of the two sizes that most have, one for any other."""
    columns, rows = ("1000000x10", "65536x1000"), {}
    for name, found in bench.items():
        match = re.fullmatch(r"loss/(\w+)/(\d+x\d+)", name)
        floor = match and bench.get(f"loss/floor_copy/{match[2]}")
        if not floor or match[1] == "floor_copy":
            continue
        shown = f"{found['cpu'] / floor['cpu']:.3g} x, {milliseconds(found['cpu'])}"
        cells = rows.setdefault(match[1], ["", "", ""])
        if match[2] in columns:
            cells[columns.index(match[2])] = shown
        else:
            cells[2] = f"{match[2]}: {shown}"
    return [f"| every loss, float, one thread, in copies | {' | '.join(columns)} | another size |", "| --- | --- | --- | --- |",
            *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())] if rows else []


def has_avx512():
    try:
        return any(line.startswith("flags") and " avx512f " in line for line in open("/proc/cpuinfo"))
    except OSError:
        return False


def processor():
    try:
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def main():
    bench = read_bench(sys.argv[1])
    context = json.load(open(sys.argv[1]))["context"]
    pages = [a for a in sys.argv[2:] if a.endswith(".md")]
    versions, peers = {}, {}
    for path in sys.argv[2:]:
        if path not in pages:
            other = json.load(open(path))
            if "benchmarks" in other:
                bench |= read_bench(path)
                continue
            versions |= other["versions"]
            peers |= other["times"]
    t = Table(bench, peers)

    def read(size, threads=1):
        return f"floor/read/{size}/threads:{threads}"

    def joint(size, threads=1):
        return f"{JOINT}/{size}/threads:{threads}"

    t.row("thresholds + confident joint, 1e6 x 10, against two reads (joint / one read)", [joint(SMALL), read(SMALL)],
          "cpu", lambda a, b: a / (2 * b), 2.8, True, 2.2)
    t.row("same, 1e5 x 1000, against one read (joint / read)", [joint(LARGE), read(LARGE)],
          "cpu", over, 1.7, True, 1.4)
    t.row("two threads against one, 1e6 x 10 (one / two)", [joint(SMALL), joint(SMALL, 2)],
          "wall", over, 1.6, False)
    t.row("two threads, 1e5 x 1000, against the two-thread read (joint / read)", [joint(LARGE, 2), read(LARGE, 2)],
          "wall", over, 1.6, True)
    for size, shown, goal, stretch in ((SMALL, "1e6 x 10", 50, 100), (LARGE, "1e5 x 1000", 10, 20)):
        t.row(f"joint + default filter + one score, {shown}, CPU seconds (cleanlab / weakly)",
              [f"cleanlab/{ISSUES}/{size}", f"{ISSUES}/{size}"], "cpu", over, goal, False, stretch)
        t.row(f"the same with the normalised margin as the score, and issues ranked by it, {shown}",
              [f"cleanlab/{RANKED}/{size}", f"{RANKED}/{size}"], "cpu", over, None, False)
    for size in (SMALL, LARGE):
        for threads in (1, 2):
            t.memory(size, threads)
    t.sparse()
    of_losses = Table(bench, peers)
    losses(of_losses)
    of_em = Table(bench, peers)
    posteriors(of_em)
    of_rates, of_graphs = Table(bench, peers), Table(bench, peers)
    rates(of_rates)
    graphs(of_graphs)

    load = ", ".join(f"{x:.2g}" for x in context.get("load_avg", [])) or "unknown"
    out = [f"{processor()}, {context['num_cpus']} logical CPUs, load average {load} at the start; "
           + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".", "",
           "| work | times | result | goal | stretch | met |", "| --- | --- | --- | --- | --- | --- |", *t.lines, "",
           "| losses, float, loss + gradient | times | result | goal | stretch | met |", "| --- | --- | --- | --- | --- | --- |",
           *of_losses.lines, "", *other_losses(bench), "",
           "| posteriors, float | times | result | goal | stretch | met |", "| --- | --- | --- | --- | --- | --- |",
           *of_em.lines, "", *beside_em(bench), "",
           "| coding rates | times | result | goal | stretch | met |", "| --- | --- | --- | --- | --- | --- |", *of_rates.lines, "",
           "| graphs | times | result | goal | stretch | met |", "| --- | --- | --- | --- | --- | --- |", *of_graphs.lines, "",
           "| one thread | wall | CPU | weakly, CPU | ratio of CPU |", "| --- | --- | --- | --- | --- |"]
    for size in (SMALL, LARGE):
        found = bench.get(read(size))
        if found:
            out.append(f"| floor: one read, {size} | {milliseconds(found['wall'])} | {milliseconds(found['cpu'])} | | |")
    for name, times in peers.items():
        who, work, *which, size = name.split("/")
        if work == "dense_memberships":
            ours = t.time(f"rate/rate_reduction/{which[0]}/{size}/threads:1", "cpu")
        elif who == "numpy" and work in ("coding_rate", "rate_reduction"):
            ours = t.time(f"rate/{work}/{which[0]}/{size}/threads:1", "cpu")
        elif who == "pgmax":
            passes = t.time("graph/belief_propagation/grid500/ratios/float/1", "cpu")
            ours = passes and PGMAX_PASSES * passes
        elif who == "torch" and work == "label_posterior":
            ours = t.time(f"em/{work}/{which[0]}/{size}/threads:1", "cpu")
        elif who == "torch":
            ours = t.time(f"loss/{work}/gradient/{size}/threads:1", "cpu")
        else:
            ours = t.time(joint(size) if work == JOINT else f"{work}/{size}", "cpu") if work != "issues" else None
        shown = f"{milliseconds(ours)} | {times['cpu'] / ours:.3g} x" if ours else "|"
        out.append(f"| {name} | {milliseconds(times['wall'])} | {milliseconds(times['cpu'])} | {shown} |")
    text = "\n".join(out) + "\n"
    print(text, end="")
    for path in pages:
        page = open(path).read()
        before, rest = page.split(BEGIN, 1)
        after = rest.split(END, 1)[1]
        open(path, "w").write(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
