"""How long people wait for what they call most often: `python -m benchmarks.start`.

In a project whose pipeline is up to date. An experiment is timed on the `report` stage, which
computes for a second or two: from the command to its end, less what the stage says it took.
"""

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from functools import partial

from benchmarks.measure import Row, alternate, main, row_of

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "cvg --help": [sys.executable, "-m", "pipeline", "--help"],
    "cvg train-vqgan --help": [sys.executable, "-m", "pipeline", "train-vqgan", "--help"],
    "dvc repro, nothing to do": [sys.executable, "-m", "dvc", "repro", "--quiet"],
}
EXPERIMENT = [sys.executable, "-m", "dvc", "exp", "run", "--force", "--single-item", "report"]
TOOK = re.compile(r"report: wrote \S+ in (\d+) s")
SECONDS_FOR_THE_PAGE = 120.0


def rows():
    # With anything to do, a command would run the pipeline instead of looking at it.
    if subprocess.run([sys.executable, "-m", "dvc", "status", "--quiet"]).returncode != 0:
        sys.exit("the pipeline is not up to date; run `dvc repro` first")
    run = partial(subprocess.run, check=True, capture_output=True)
    times = alternate({name: partial(run, words) for name, words in COMMANDS.items()})
    yield from (row_of(times, name) for name in COMMANDS)
    yield from _seconds("an experiment, less its stage", _experiment)
    yield from _seconds("cvg ui, until it answers", _page)


def _seconds(name, measure, rounds=3):
    values = sorted(measure() for _ in range(rounds))
    yield Row(name=name, value=values[rounds // 2], best=values[0], unit="s")


def _experiment():
    begin = time.perf_counter()
    done = subprocess.run(EXPERIMENT, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    return seconds - float(TOOK.search(done.stdout)[1])


def _page():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "pipeline", "ui", "--port", str(port)]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while time.perf_counter() - begin < SECONDS_FOR_THE_PAGE:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=1):
                    return time.perf_counter() - begin
            except OSError:
                time.sleep(0.1)
        raise TimeoutError(f"no answer within {SECONDS_FOR_THE_PAGE:.0f} s")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


if __name__ == "__main__":
    main(rows)
