"""Is what `cvg plan` says true? `python -m benchmarks.plan`.

Steps of networks of several sizes, windows and batches are planned, and then taken: numbers of
parameters, operations (counted as they are computed), bytes kept for the gradient (of what autograd
saves), bytes at the worst moment (of the memory of a process of its own; Linux), and seconds, from
the rate that `cvg plan --measure` finds. A ratio is predicted over measured.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import machine
from cvg.config import Level, Params
from cvg.files import write_json
from cvg.params import load_params
from cvg.planning.measure import measure
from cvg.planning.networks import Networks
from cvg.planning.trace import StepCost, Trainable, trace
from cvg.tensors import Tensor
from cvg.training.optimizer import Optimizer
from cvg.training.runtime import Runtime

PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"
RUNTIME = Runtime(device=torch.device("cpu"))
ROUNDS = 3
WORDS = 100


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network to be planned and stepped.

    Attributes:
        stage: vqgan, a level, or critic.
        rows: frames or clips of a batch.
        overrides: `section.key=value` texts.
    """

    stage: str
    rows: int
    overrides: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Say what it is."""
        values = [one.removeprefix(f"transformer.{self.stage}.") for one in self.overrides]
        return ", ".join([self.stage, f"batch {self.rows}", *values])

    @property
    def params(self) -> Params:
        """The committed parameters, but for the overrides."""
        return load_params(PARAMS, self.overrides)

    def build(self) -> Trainable:
        """Give the network and its batch."""
        networks = Networks(params=self.params, runtime=RUNTIME, words=WORDS)
        levels: tuple[Level, ...] = get_args(Level)
        for level in levels:
            if self.stage == level:
                return networks.transformer(level, self.rows)
        return networks.critic(self.rows) if self.stage == "critic" else networks.vqgan(self.rows)


def transformer(level: str, rows: int, order: str, **values: int | str) -> Case:
    """Give a case of a transformer of a level."""
    own = [f"transformer.{level}.{key}={value}" for key, value in values.items()]
    own += [f"transformer.order={order}"] if order != "raster" else []
    return Case(stage=level, rows=rows, overrides=own)


CASES = (
    Case(stage="vqgan", rows=16, overrides=("vqgan.comparator=none",)),
    Case(stage="vqgan", rows=64, overrides=("vqgan.width=32", "vqgan.blocks=3")),
    Case(
        stage="vqgan",
        rows=16,
        overrides=("vqgan.comparator=none", "vqgan.norm=group", "extract.frame_size=128"),
    ),
    Case(
        stage="vqgan",
        rows=8,
        overrides=("vqgan.comparator=none", "vqgan.levels=[top, middle, bottom]"),
    ),
    transformer("top", 16, "raster"),
    transformer("top", 16, "parallel"),
    transformer("top", 8, "raster", width=384, layers=6, heads=6, clip_frames=16, window=8),
    transformer("bottom", 8, "raster"),
    transformer("bottom", 8, "parallel"),
    transformer("bottom", 2, "raster", clip_frames=8, window=6),
    transformer("bottom", 4, "parallel", width=256, layers=6, heads=8, clip_frames=3, window=2),
    transformer("bottom", 16, "raster", width=64, layers=2, heads=2),
    Case(stage="critic", rows=32),
)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a step took: `StepCost` has the same names."""

    parameters: int
    forward: int
    backward: int
    saved: int
    peak: int


def take(task: Trainable) -> Measured:
    """Take steps and measure them."""
    model = task.model.train()
    optimizer = Optimizer(model, task.matrices(), task.params, RUNTIME)
    parameters = sum(one.numel() for one in model.parameters())
    step(task, optimizer)  # makes what the optimizer keeps
    optimizer.zero_grad()
    saved = Saved(model)
    with FlopCounterMode(display=False) as forward, saved:
        loss = task.loss()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    del loss
    optimizer.zero_grad()
    before = memory("VmRSS", reset=True)
    task.loss().backward()
    peak = memory("VmHWM") - before
    return Measured(
        parameters=parameters,
        forward=forward.get_total_flops(),
        backward=backward.get_total_flops(),
        saved=saved.bytes,
        peak=peak,
    )


class Saved(torch.autograd.graph.saved_tensors_hooks):
    """Adds up the storages that autograd saves, each once, the parameters' left out."""

    def __init__(self, model: nn.Module) -> None:
        self._weights = {one.untyped_storage().data_ptr() for one in model.parameters()}
        self._found: dict[int, int] = {}
        super().__init__(self._pack, lambda tensor: tensor)

    @property
    def bytes(self) -> int:
        return sum(self._found.values())

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._weights:
            self._found[storage.data_ptr()] = storage.nbytes()
        return tensor


def step(task: Trainable, optimizer: Optimizer) -> None:
    """Take one whole step."""
    optimizer.zero_grad()
    task.loss().backward()
    nn.utils.clip_grad_norm_(task.model.parameters(), task.params.grad_clip)
    optimizer.step()


def fastest(case: Case) -> float:
    """Time whole steps; give the seconds of the fastest."""
    task = case.build()
    optimizer = Optimizer(task.model.train(), task.matrices(), task.params, RUNTIME)
    seconds = []
    for _ in range(1 + ROUNDS):  # the first also allocates
        start = time.perf_counter()
        step(task, optimizer)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def memory(name: str, *, reset: bool = False) -> int:
    """Read the present (VmRSS) or the largest (VmHWM) memory of this process, bytes."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    assert found is not None
    return 1024 * int(found[1])


def take_alone(number: int) -> Measured:
    """Take the steps of a case in a process of its own, which gives memory back at once."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.plan", "--case", str(number)],
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},
        check=True,
        capture_output=True,
        text=True,
    )
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def compare(cost: StepCost, measured: Measured) -> dict[str, float]:
    """Give predicted over measured."""
    predicted = {
        "parameters": sum(cost.parameters.values()),
        "forward": cost.forward,
        "backward": cost.backward,
        "saved": cost.saved,
        "peak": cost.peak,
    }
    return {name: value / getattr(measured, name) for name, value in predicted.items()}


def rows(cases: Mapping[int, Case]) -> Iterator[dict[str, object]]:
    """Plan and take each case."""
    for number, case in cases.items():
        cost = trace(case.build, RUNTIME)
        measured = take_alone(number)
        ratios = compare(cost, measured)
        rates = measure(Networks(params=case.params, runtime=RUNTIME, words=WORDS))
        rate = next(rate for name, rate in rates.steps.items() if name.endswith(case.stage))
        seconds = (cost.forward + cost.backward) / rate + cost.update / rates.product
        # Not in the other process: what gives memory back at once is slow.
        taken = fastest(case)
        ratios["seconds"] = seconds / taken
        yield {
            "name": case.name,
            "measured": asdict(measured) | {"seconds": taken},
            "ratios": ratios,
        }


def main() -> None:
    """Print predicted over measured, one line a case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", type=int, help="take one case, and print what was measured")
    parser.add_argument("--small", action="store_true", help="two cases; no figures to keep")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.case is not None:
        print(json.dumps(asdict(take(CASES[arguments.case].build()))))
        return
    cases = dict(enumerate(CASES))
    found = []
    keys = ("parameters", "forward", "backward", "saved", "peak", "seconds")
    width = max(len(case.name) for case in CASES)
    print(f"{'':<{width}} {'MB peak':>8} {'s':>7}   predicted / measured")
    print(f"{'':<{width}} {'':>8} {'':>7} " + " ".join(f"{key:>10}" for key in keys))
    for row in rows(dict(list(cases.items())[3:5]) if arguments.small else cases):
        measured, ratios = row["measured"], row["ratios"]
        print(
            f"{row['name']:<{width}} {measured['peak'] / 1e6:>8.0f} {measured['seconds']:>7.3f} "
            + " ".join(f"{ratios[key]:>10.3f}" for key in keys),
            flush=True,
        )
        found.append(row)
    print(machine())
    if arguments.json is not None:
        write_json(arguments.json, {"machine": machine(), "rows": found})


if __name__ == "__main__":
    main()
