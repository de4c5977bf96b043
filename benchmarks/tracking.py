"""What the record of runs costs a stage: `python -m benchmarks.tracking`.

The same work of all cores, in steps of some 50 ms with two figures each, with a record and without,
one after the other, in a project that has a record. From opening to closing: also what MLflow
needs to start, on the same cores. The first run of all, which makes the record, is told apart.
"""

import argparse
import os
import subprocess
import sys
import tempfile

from benchmarks.measure import machine

SCRIPT = """
import sys, time, torch
from cvg.tracking import open_tracker
seconds = float(sys.argv[1])
a = torch.rand(1024, 1024)
start = time.perf_counter()
with open_tracker("benchmark", params={"seed": 0}) as tracker:
    steps = int(seconds * STEPS_A_SECOND)
    for step in range(steps):
        (a @ a @ a).sum().item()
        tracker.log_metrics({"loss": 1.0, "rate": 0.1}, step=step)
print(steps, time.perf_counter() - start)
"""


def run(seconds: float, rate: float, tracking: str, folder: str) -> float:
    """Give the wall seconds of one run in a project."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("STEPS_A_SECOND", str(rate)), str(seconds)],
        cwd=folder,
        env=os.environ | {"CVG_TRACKING": tracking, "DVC_ROOT": folder},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=180.0, help="length of the stage")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"a new record: {run(0, 1, 'on', folder):.1f} s, once for each project")
        rate = 20.0
        rate *= 10 / run(10, rate, "off", folder)  # steps that this machine does in a second
        print("| stage | without | with | cost |\n| --- | ---: | ---: | ---: |")
        for number in range(arguments.rounds):
            without, recorded = (run(arguments.seconds, rate, how, folder) for how in ("off", "on"))
            texts = (f"round {number + 1}", f"{without:.1f} s", f"{recorded:.1f} s")
            print(f"| {' | '.join(texts)} | {recorded / without - 1:.2%} |", flush=True)
    print(machine())


if __name__ == "__main__":
    main()
