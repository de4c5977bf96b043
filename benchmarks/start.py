"""How long the commands take that people wait for most often: `python -m benchmarks.start`."""

import statistics
import subprocess
import sys
import time

RUNS = 5
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "cvg --help": [sys.executable, "-m", "pipeline", "--help"],
    "cvg train-vqgan --help": [sys.executable, "-m", "pipeline", "train-vqgan", "--help"],
    "dvc repro, nothing to do": [sys.executable, "-m", "dvc", "repro", "--quiet"],
}


def seconds(words):
    start = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    return time.perf_counter() - start


def main():
    times = {name: [] for name in COMMANDS}
    for _ in range(RUNS):  # in turn, so that a slow moment of the machine hits all alike
        for name, words in COMMANDS.items():
            times[name].append(seconds(words))
    print(f"{'command':<28}{'minimum s':>12}{'median s':>12}")
    for name, values in times.items():
        print(f"{name:<28}{min(values):>12.2f}{statistics.median(values):>12.2f}")


if __name__ == "__main__":
    main()
