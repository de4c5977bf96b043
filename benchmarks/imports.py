"""What a stage loads, and what it costs beside another checkout: `python -m benchmarks.imports`.

Runs the chain at the preset `quick` in a folder of its own, then each stage once more and again, as
itself and with the import times of Python. Seconds are of processor time, children included, the
least of the rounds. `--against CHECKOUT` runs the stages of another checkout in turn.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measure import machine
from pipeline.chain import PROJECT, prepare
from pipeline.graph import Stage

IMPORTED = re.compile(r"import time:\s+(\d+) \|\s+\d+ \| +([\w.]+)")
WHOLE = ("tokenize", "sample", "train_")  # of these a run that is complete would not be redone
SHOWN = 0.05  # seconds below which a package is not named


def run_stage(stage: Stage, checkout: Path, folder: Path, *flags: str) -> tuple[float, str]:
    """Run one stage of a checkout in a folder; give the seconds of processor time, and stderr."""
    fresh = ["--fresh"] if stage.name.startswith(WHOLE) else []
    environment = {
        "PYTHONPATH": str(checkout),
        "DVC_ROOT": str(folder),
        "CVG_TRACKING": "off",
        "OMP_NUM_THREADS": "1",
    }
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, *flags, "-m", "pipeline", *stage.words, *fresh],
            cwd=folder,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        _, process.returncode, used = os.wait4(process.pid, 0)
        errors.seek(0)
        said = errors.read()
    if process.returncode:
        sys.exit(f"{stage.name} of {checkout} failed:\n{said}")
    return used.ru_utime + used.ru_stime, said


def packages(said: str) -> Counter[str]:
    """Give the seconds that the modules of each package took to load, without what they load."""
    seconds: Counter[str] = Counter()
    for line in said.splitlines():
        if found := IMPORTED.match(line):
            seconds[found[2].partition(".")[0]] += int(found[1]) / 1e6
    return seconds


def measure(checkouts: Sequence[Path], rounds: int) -> Iterator[str]:
    """Yield a row of the table for each stage."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "run"
        for stage in prepare(folder, PROJECT / "params.yaml", preset="quick"):
            best = [float("inf")] * len(checkouts)
            for _ in range(rounds + 1):  # the first is a warm-up
                for number, checkout in enumerate(checkouts):
                    best[number] = min(best[number], run_stage(stage, checkout, folder)[0])
            loaded = packages(run_stage(stage, checkouts[0], folder, "-X", "importtime")[1])
            names = [f"{n} {s:.2f}" for n, s in loaded.most_common(5) if s >= SHOWN]
            cells = [f"`{stage.name}`", *(f"{seconds:.1f}" for seconds in best)]
            if len(best) > 1:
                cells.append(f"{best[1] / best[0]:.1f}")
            yield f"| {' | '.join([*cells, f'{loaded.total():.1f}', ', '.join(names)])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="another checkout of this project")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    checkouts = [PROJECT]
    heads = ["stage", "seconds"]
    if arguments.against:
        checkouts.append(arguments.against.resolve())
        heads += ["of the other", "ratio"]
    heads += ["of these imports", "the heaviest packages"]
    print(f"| {' | '.join(heads)} |\n| --- |{' ---: |' * (len(heads) - 2)} --- |")
    for row in measure(checkouts, arguments.rounds):
        print(row, flush=True)
    print(machine())


if __name__ == "__main__":
    main()
