"""How much faster two processes train than one: `python -m benchmarks.scaling`, one thread each.

The transformer of the benchmark of sampling, on random codes in memory, with the same batch of
eight clips for one process and for two (strong scaling). What two processes share of the machine
besides (memory, caches, its cooling) is seen where both compute their half and average nothing.
The time of averaging holds the wait for the slower of the two. Time of a processor says the same on
a machine that has other work to do.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import torch

from benchmarks.measure import Row, machine, print_table
from benchmarks.sampling import CODES, SIDE, WINDOW, build, null
from cvg.config import TrainingParams
from cvg.seeding import generator
from cvg.training.group import joined
from cvg.training.optimizer import Optimizer
from cvg.training.runtime import chosen_runtime
from cvg.transformer.train import cross_entropies

BATCH = 8
KINDS = ("alone", "together", "apart")
PARAMS = TrainingParams(
    steps=1,
    batch_size=BATCH,
    accumulate=1,
    max_minutes=None,
    patience=None,
    lr_scale=1.0,
    muon_scale=None,
    warmup_steps=1,
    weight_decay=0.1,
    grad_clip=1.0,
    ema_decay=0.9,
    validate_every=1,
)


def steps(rounds: int, *, averages: bool) -> dict[str, list[float]]:
    """Time steps of this rank, and within them the averaging of gradients."""
    runtime = chosen_runtime()
    ranks = runtime.ranks
    model = build().train().requires_grad_(True)
    optimizer = Optimizer(model, (), PARAMS, runtime)
    shape = (BATCH, WINDOW, SIDE * SIDE)
    sequence = torch.randint(CODES, shape, generator=generator(0, "sequence"))
    sequence = sequence[ranks.share(BATCH).rows]
    times: dict[str, list[float]] = {"step": [], "processor": [], "averaging": []}
    for _ in range(rounds + 1):
        ranks.most(0)  # All begin together.
        start, processor = time.perf_counter(), time.process_time()
        cross_entropies(model(sequence, null(len(sequence))), sequence).mean().backward()
        before = time.perf_counter()
        if averages:
            ranks.average_gradients(model.parameters())
        times["averaging"].append(time.perf_counter() - before)
        optimizer.step()
        optimizer.zero_grad()
        times["step"].append(time.perf_counter() - start)
        times["processor"].append(time.process_time() - processor)
    return {name: values[1:] for name, values in times.items()}  # The first one warms up.


def run(kind: str, rounds: int) -> dict[str, list[float]]:
    """Start one process or two, and read what the first one found."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words = [sys.executable, *(torchrun if kind != "alone" else [])]
    words += ["-m", "benchmarks.scaling", "--kind", kind, "--rounds", str(rounds)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def report(times: dict[str, dict[str, list[float]]]) -> None:
    """Print the table, and what of it is communication."""
    alone = statistics.median(times["alone"]["step"])
    rows = []
    for kind in KINDS:
        seconds = times[kind]["step"]
        median = statistics.median(seconds)
        others = {"peer": "alone", "peer_value": alone, "ratio": alone / median}
        rows.append(Row(name=kind, value=median, best=min(seconds), unit="s a step", **others))
    print_table(rows)
    for kind in KINDS:
        seconds = statistics.median(times[kind]["processor"])
        print(f"{kind}: {seconds:.2f} s of a processor a step and process")
    averaging = statistics.median(times["together"]["averaging"])
    share = averaging / statistics.median(times["together"]["step"])
    megabytes = 4 * sum(parameter.numel() for parameter in build().parameters()) / 1e6
    print(f"averaging {megabytes:.0f} MB of gradients: {averaging:.3f} s, {share:.1%} of a step")
    print(machine())


def main() -> None:
    """Measure all kinds and print; with `--kind`, take part in one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10, help="steps that are timed")
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.kind is None:
        report({kind: run(kind, arguments.rounds) for kind in KINDS})
        return
    with joined():
        found = steps(arguments.rounds, averages=arguments.kind == "together")
        if os.environ.get("RANK", "0") == "0":
            print(json.dumps(found))


if __name__ == "__main__":
    main()
