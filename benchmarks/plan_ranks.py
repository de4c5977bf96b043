"""Is what `cvg plan` says of the memory of several devices true? `python -m benchmarks.plan_ranks`.

Two processes train by the loop that the stages use, with either strategy, and each tells the most
memory that it had beyond what it began with (Linux). Networks are such that their weights take most
of it. A ratio is predicted over measured.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import replace
from itertools import count, product

import torch
from torch import nn

from benchmarks.measure import add_json_option, machine
from benchmarks.plan import Case, memory, transformer
from cvg import launch
from cvg.files import write_json
from cvg.planning.memory import STRATEGIES, Strategy, memory_of
from cvg.planning.trace import Trainable, trace
from cvg.training.checkpoint import Checkpoints
from cvg.training.group import joined
from cvg.training.job import Job, StepResult, Surroundings
from cvg.training.loop import train
from cvg.training.runtime import Runtime, chosen_runtime

RANKS = 2
WIDE = {"width": 384, "layers": 10, "heads": 6, "clip_frames": 3, "window": 2}
CASES = (
    transformer("top", 1, "raster", **WIDE),
    transformer("top", 1, "raster", **WIDE, muon_scale="null"),
    Case(
        stage="vqgan",
        rows=2,
        overrides=("vqgan.comparator=none", "vqgan.width=256", "vqgan.blocks=3"),
    ),
)
WARM = transformer("top", 1, "raster", width=32, layers=2, heads=2, clip_frames=3, window=2)


def run(task: Trainable, runtime: Runtime, checkpoints: Checkpoints | None = None) -> None:
    """Take a few steps with looks between them, as a stage does."""
    looks = count()

    def train_step(step: int, part: int) -> StepResult:
        del step, part
        return StepResult(loss=task.loss(), figures={})

    def validate(averaged: nn.Module) -> dict[str, float]:
        del averaged
        return {"figure": -float(next(looks))}  # each is the best so far

    job = Job(
        label="plan_ranks",
        model=task.model,
        train_step=train_step,
        validate=validate,
        objective="figure",
        matrices=task.matrices,
        layers=task.layers,
    )
    params = task.params.model_copy(update={"steps": 4, "validate_every": 2, "batch_size": RANKS})
    around = Surroundings(
        learning_rate=1e-4, seed=0, runtime=runtime, log=lambda *_: None, checkpoints=checkpoints
    )
    train(job, params, around)


def take(number: int, strategy: Strategy) -> int:
    """Give the most bytes that a rank has had in training."""
    runtime = replace(chosen_runtime(), strategy=strategy)
    run(WARM.build(), runtime)  # loads and makes what stays
    before = memory("VmRSS", reset=True)
    run(CASES[number].build(), runtime)
    return runtime.ranks.most(memory("VmHWM") - before)


def take_on_ranks(number: int, strategy: Strategy) -> int:
    """Start the ranks, which give memory back at once; give the most bytes of one."""
    words = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={RANKS}"]
    words += ["-m", "benchmarks.plan_ranks", "--case", str(number), "--strategy", strategy]
    done = subprocess.run(
        [sys.executable, *words],
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return int(done.stdout.splitlines()[-1])


def compare(number: int, strategy: Strategy) -> dict[str, object]:
    """Plan and measure a case."""
    case = CASES[number]
    cost = trace(case.build, Runtime(device=torch.device("cpu")))
    planned = memory_of(cost, strategy=strategy, devices=RANKS).total
    measured = take_on_ranks(number, strategy)
    return {
        "name": f"{case.name}, {strategy}",
        "weights": cost.weights,
        "planned": planned,
        "measured": measured,
        "ratio": planned / measured,
    }


def main() -> None:
    """Print predicted over measured, one line a case and strategy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--strategy", choices=STRATEGIES, help=argparse.SUPPRESS)
    add_json_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.case is not None:
        with joined():
            most = take(arguments.case, arguments.strategy)
            if launch.is_first():
                print(most)
        return
    found = []
    for number, strategy in product(range(len(CASES)), STRATEGIES):
        row = compare(number, strategy)
        print(
            f"{row['name']}: weights {row['weights'] / 1e6:.0f} MB, most "
            f"{row['measured'] / 1e6:.0f} MB, planned {row['planned'] / 1e6:.0f} MB, "
            f"ratio {row['ratio']:.3f}",
            flush=True,
        )
        found.append(row)
    print(machine())
    if arguments.json is not None:
        write_json(arguments.json, {"machine": machine(), "rows": found})


if __name__ == "__main__":
    main()
