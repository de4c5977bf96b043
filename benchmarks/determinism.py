"""What another number of threads changes: `python -m benchmarks.determinism`.

The chain at the size of the preset `quick`, twice with one thread and once with two: which files of
each stage are the same to the byte, and by how much figures differ. Some minutes.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import machine
from cvg.metrics.names import flat_figures

FOLDERS = (
    *("data/frames", "data/vqgan", "data/codes", "data/transformer/top", "data/transformer/bottom"),
    *("data/critic", "data/samples", "reports/scores"),
)
FIGURES = "reports/metrics.json"


def run(folder: Path, threads: int, preset: str) -> None:
    command = [sys.executable, "-m", "pipeline", "run", "--preset", preset, "--out", folder]
    environment = {"OMP_NUM_THREADS": str(threads), "CVG_TRACKING": "off"}
    subprocess.run(command, env=os.environ | environment, check=True, capture_output=True)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def compare(one: Path, other: Path) -> None:
    for name in FOLDERS:
        a, b = digests(one / name), digests(other / name)
        same = sum(a[file] == b.get(file) for file in a)
        print(f"| {name} | {same} of {len(a)} files |")
    a, b = (flat_figures(json.loads((folder / FIGURES).read_text())) for folder in (one, other))
    changes = {name: abs(a[name] - b[name]) / max(abs(a[name]), 1e-6) for name in a}
    equal = sum(change == 0 for change in changes.values())
    middle = sorted(changes.values())[len(changes) // 2]
    most = max(changes, key=changes.__getitem__)
    print(
        f"| {FIGURES} | {equal} of {len(a)} figures; change in the middle {middle:.2%}, at most "
        f"{changes[most]:.2%} ({most}: {a[most]:.5g}, {b[most]:.5g}) |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="quick")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folders = {name: Path(root) / name for name in ("one", "again", "two")}
        for name, threads in (("one", 1), ("again", 1), ("two", 2)):
            run(folders[name], threads, arguments.preset)
        print("one thread, twice")
        compare(folders["one"], folders["again"])
        print("one thread and two")
        compare(folders["one"], folders["two"])
    print(machine())


if __name__ == "__main__":
    main()
