"""How fast transformers train: `python -m benchmarks.transformer_training`.

The transformer of the benchmark of sampling, on random codes in memory; against GPT-2 of Hugging
Face at the same width, depth and number of positions, both with AdamW; and against what the
processor does at best: a large matrix product, in the same precision, timed in turn with it.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import Row, add_json_option, alternate, report, row_of
from benchmarks.sampling import CODES, SIDE, WINDOW, build, gpt2, null
from cvg.seeding import generator
from cvg.training.runtime import Precision, Runtime
from cvg.transformer.train import cross_entropies

FRAMES, BATCH = WINDOW, 4
MATRIX = 2048
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
CPU = torch.device("cpu")


def ours(precision: Precision) -> Callable[[], None]:
    """Give a training step of a transformer of this project."""
    model = build().train().requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    runtime = Runtime(device=CPU, precision=precision)
    shape = (BATCH, FRAMES, SIDE * SIDE)
    sequence = torch.randint(CODES, shape, generator=generator(0, "sequence"))

    def step() -> None:
        with runtime.autocast():
            logits = model(sequence, null(BATCH))
        cross_entropies(logits, sequence).mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def peer(precision: Precision) -> Callable[[], None]:
    """Give a training step of GPT-2 at the same shape."""
    model = gpt2(frames=FRAMES).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    runtime = Runtime(device=CPU, precision=precision)
    shape = (BATCH, FRAMES * SIDE * SIDE)
    tokens = torch.randint(CODES, shape, generator=generator(0, "sequence"))

    def step() -> None:
        with runtime.autocast():
            loss = model(tokens, labels=tokens).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def product(precision: Precision) -> Callable[[], object]:
    """Give a large matrix product."""
    matrix = torch.randn(MATRIX, MATRIX, dtype=DTYPES[precision])
    return partial(torch.mm, matrix, matrix)


def operations(step: Callable[[], object]) -> int:
    """Count the floating-point operations of products in a step."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def measure(rounds: int) -> Iterator[Row]:
    """Time steps and products in turn."""
    for precision in DTYPES:
        names = {kind: f"{precision}: {kind}" for kind in ("ours", "GPT-2", "product")}
        functions: dict[str, Callable[[], object]] = {
            names["ours"]: ours(precision),
            names["GPT-2"]: peer(precision),
            names["product"]: product(precision),
        }
        counts = {name: operations(function) for name, function in functions.items()}
        times = alternate(functions, rounds=rounds)
        clips = row_of(times, names["ours"], peer=names["GPT-2"], work=BATCH, unit="clips/s")
        yield clips
        peak = counts[names["product"]] / min(times[names["product"]])
        for kind in ("ours", "GPT-2"):
            reached = counts[names[kind]] / min(times[names[kind]])
            print(
                f"{precision}, {kind}: {counts[names[kind]] / 1e9:.0f} GFLOP a step, "
                f"{reached / 1e9:.0f} GFLOP/s, {reached / peak:.0%} of a product's "
                f"{peak / 1e9:.0f}"
            )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="calls of each that are timed")
    parser.add_argument("--small", action="store_true", help="one round; no figures to keep")
    add_json_option(parser)
    arguments = parser.parse_args()
    report(list(measure(1 if arguments.small else arguments.rounds)), arguments.json)
    print(f"{torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
