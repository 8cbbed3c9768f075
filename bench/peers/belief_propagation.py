# SPDX-License-Identifier: MIT
"""Time flooding of PGMax on a 500 x 500 grid of spins on one thread, compiled by JAX before it is timed.

    python belief_propagation.py OUT.json REPETITIONS

Ten passes from uniform messages, in float, as bench/graph/belief_propagation.cpp makes them. Building the graph is not timed. The
least wall and process CPU time of the repetitions are kept.
"""

import json
import os
import pathlib
import sys
import time

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from pgmax import fgraph, fgroup, infer, vgroup

SIDE, PASSES = 500, 10


def main():
    random = np.random.default_rng(0)
    spins = vgroup.NDVarArray(num_states=2, shape=(SIDE, SIDE))
    graph = fgraph.FactorGraph(variable_groups=spins)
    pairs = [[spins[i, j], spins[i, j + 1]] for i in range(SIDE) for j in range(SIDE - 1)]
    pairs += [[spins[i, j], spins[i + 1, j]] for i in range(SIDE - 1) for j in range(SIDE)]
    coupling = random.normal(0, 0.3, len(pairs))
    table = np.stack([np.stack([coupling, -coupling], -1), np.stack([-coupling, coupling], -1)], -2)
    graph.add_factors(fgroup.PairwiseFactorGroup(variables_for_factors=pairs, log_potential_matrix=table))
    propagation = infer.build_inferer(graph.bp_state, backend="bp")
    field = random.normal(0, 0.5, (SIDE, SIDE))
    start = propagation.init(evidence_updates={spins: np.stack([-field, field], -1)})
    run = jax.jit(lambda state: propagation.run(state, num_iters=PASSES, damping=0.0, temperature=1.0))
    jax.block_until_ready(run(start).ftov_msgs)
    wall, cpu = [], []
    for _ in range(int(sys.argv[2])):
        w, c = time.perf_counter(), time.process_time()
        jax.block_until_ready(run(start).ftov_msgs)
        cpu.append(time.process_time() - c)
        wall.append(time.perf_counter() - w)
    print(f"PGMax: {2e-6 * PASSES * len(pairs) / min(cpu):.3g} million messages per CPU second", file=sys.stderr)
    times = {f"pgmax/belief_propagation/grid{SIDE}": {"wall": min(wall), "cpu": min(cpu), "runs": len(cpu)}}
    versions = {"jax": jax.__version__, "PGMax": "0.6.1"}
    pathlib.Path(sys.argv[1]).write_text(json.dumps({"versions": versions, "times": times}, indent=1))


if __name__ == "__main__":
    main()
