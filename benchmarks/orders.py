"""Codes of a frame one after the other, or all at once in rounds: `python -m benchmarks.orders`.

Trains the transformers of `params.yaml` in both orders on what the chain has left in `data`,
samples the held-out clips with each, scores them, and times both at batch 1 and 4. Writes
`reports/orders.csv`, which the page shows. Takes some minutes; leave the machine alone meanwhile.
"""

import argparse
import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import machine
from cvg.files import read_json
from cvg.params import load_params
from cvg.sampling.generator import Generator, Request
from cvg.sampling.models import load_models
from cvg.training.device import chosen_device

TABLE = Path("reports/orders.csv")
WORK = Path(".runs/orders")
ROUNDS = {"raster": (1,), "parallel": (4, 8, 16)}  # of settling a frame
TIMED_FRAMES = 16
TIMES = 3
FIGURES = ("psnr", "ssim", "lpips", "fvd")


def run(command: str, *options: str, sets: dict[str, object]) -> None:
    """Run a stage with other values."""
    words = [sys.executable, "-m", "pipeline", command, *options]
    for key, value in sets.items():
        words += ["--set", f"{key}={value}"]
    subprocess.run(words, check=True, env=os.environ | {"CVG_TRACKING": "off"})


def train(order: str, levels: list[str]) -> Path:
    """Train the transformers of all levels; give their folder."""
    folder = WORK / order
    for level in levels:
        run(
            "train-transformer",
            f"--level={level}",
            f"--out={folder / level}",
            f"--plot={folder / level}.csv",
            sets={"transformer.order": order},
        )
    return folder


def quality(folder: Path, rounds: int) -> dict[str, float]:
    """Sample held-out clips and score them."""
    sets: dict[str, object] = {"sample.passes": rounds}
    samples, out = WORK / "samples", WORK / "metrics.json"
    run("sample", f"--transformer={folder}", f"--out={samples}", sets=sets)
    run(
        "evaluate",
        f"--transformer={folder}",
        f"--samples={samples}",
        f"--out={out}",
        f"--scores={WORK / 'scores'}",
        sets=sets,
    )
    return read_json(out)["sample"]


def frames_a_second(folder: Path, rounds: int, batch: int) -> float:
    """Time the writing of videos from nothing, the best of some times."""
    settings = load_params(Path("params.yaml"), [f"sample.passes={rounds}"]).sample
    models = load_models(vqgan=Path("data/vqgan"), transformers=folder, device=chosen_device())
    generator, seconds = Generator(models, settings), []
    for _ in range(TIMES + 1):
        start = time.perf_counter()
        for _ in generator.stream([Request(frames=TIMED_FRAMES)] * batch):
            pass
        seconds.append(time.perf_counter() - start)
    return batch * TIMED_FRAMES / min(seconds[1:])


def rows(levels: list[str]) -> Iterator[dict[str, str]]:
    """Measure both orders."""
    for order, all_rounds in ROUNDS.items():
        folder = train(order, levels)
        for rounds in all_rounds:
            speeds = {batch: frames_a_second(folder, rounds, batch) for batch in (1, 4)}
            figures = quality(folder, rounds)
            yield {
                "order": order,
                "rounds": str(rounds) if order == "parallel" else "–",
                "frames_a_second_of_1_video": f"{speeds[1]:.1f}",
                "frames_a_second_of_4_videos": f"{speeds[4]:.1f}",
                **{name: f"{figures[name]:.4g}" for name in FIGURES if name in figures},
            }


def main() -> None:
    """Measure, print, write the table."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    levels = [*load_params(Path("params.yaml"), ()).vqgan.levels]
    measured = list(rows(levels))
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(measured[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(measured)
    print(TABLE.read_text(encoding="utf-8"), machine(), sep="")


if __name__ == "__main__":
    main()
