"""How long the commands take that people wait for most often: `python -m benchmarks.start`."""

import subprocess
import sys
from functools import partial

from benchmarks.measure import alternate, main, row_of

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "cvg --help": [sys.executable, "-m", "pipeline", "--help"],
    "cvg train-vqgan --help": [sys.executable, "-m", "pipeline", "train-vqgan", "--help"],
    "dvc repro, nothing to do": [sys.executable, "-m", "dvc", "repro", "--quiet"],
}


def rows():
    # With anything to do, the last command would run the pipeline instead of looking at it.
    if subprocess.run([sys.executable, "-m", "dvc", "status", "--quiet"]).returncode != 0:
        sys.exit("the pipeline is not up to date; run `dvc repro` first")
    run = partial(subprocess.run, check=True, capture_output=True)
    times = alternate({name: partial(run, words) for name, words in COMMANDS.items()})
    return [row_of(times, name) for name in COMMANDS]


if __name__ == "__main__":
    main(rows)
