"""Where the time of each stage goes: `python -m benchmarks.profile --preset demo`.

Runs the chain in a folder of its own. In each stage a thread looks a hundred times a second at what
the main thread is at, and counts it under the first of the headings below that fits.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType

from benchmarks.measure import machine
from pipeline.chain import PROJECT, prepare

SECONDS_BETWEEN_LOOKS = 0.01
LEAST_SHARE = 0.01  # below it, a heading is not shown
BEGAN = "CVG_PROFILE_BEGAN"

# Heading, part of a file's path, name of a function ("" for any). The first that fits any frame of
# the stack counts, so what calls others stands before what is called.
HEADINGS: tuple[tuple[str, str, str], ...] = (
    ("start: imports", "importlib._bootstrap", ""),
    ("start: parameters, paths, locks", "cvg/params.py", ""),
    ("start: parameters, paths, locks", "pipeline/graph.py", ""),
    ("start: parameters, paths, locks", "cvg/locks.py", ""),
    ("record of runs", "cvg/tracking/", ""),
    ("keeping the state", "cvg/training/loop.py", "_save"),
    ("validation", "cvg/training/loop.py", "_look"),
    ("optimizer and average", "cvg/training/optimizer.py", ""),
    ("optimizer and average", "cvg/training/average.py", ""),
    ("waiting for data", "cvg/frames/batches.py", ""),
    ("waiting for data", "cvg/codes/batches.py", ""),
    ("waiting for data", "cvg/frames/store.py", ""),
    ("waiting for data", "cvg/codes/store.py", ""),
    ("waiting for child processes", "cvg/videos/pool.py", ""),
    ("augmentation", "cvg/vqgan/augment.py", ""),
    ("backward", "torch/autograd/graph.py", "_engine_run_backward"),
    ("comparator", "cvg/vqgan/comparator.py", ""),
    ("quantizers", "cvg/vqgan/quantizer.py", ""),
    ("forward", "cvg/training/loop.py", "_add_gradients"),
    ("training, the rest", "cvg/training/loop.py", ""),
    ("layers of the transformer", "cvg/transformer/native/", ""),
    ("layers of the transformer", "cvg/transformer/decoder.py", "_pass"),
    ("logits", "cvg/transformer/decoder.py", "_predict"),
    ("rest of the decoder", "cvg/transformer/", ""),
    ("drawing codes", "cvg/sampling/draw.py", ""),
    ("drawing codes", "cvg/sampling/filters.py", ""),
    ("network of FVD", "cvg/pretrained/i3d.py", ""),
    ("network of LPIPS", "cvg/pretrained/lpips.py", ""),
    ("VQGAN", "cvg/vqgan/", ""),
    ("critic", "cvg/critic/", ""),
    ("Frechet and kernel distances", "cvg/metrics/frechet.py", ""),
    ("Frechet and kernel distances", "cvg/metrics/kernel.py", ""),
    ("PSNR, SSIM, motion", "cvg/metrics/", ""),
    ("videos and pictures", "cvg/media.py", ""),
    ("writing", "cvg/files.py", ""),
    ("writing", "safetensors", ""),
    ("page", "cvg/report/", ""),
)


def heading_of(frame: FrameType | None) -> str:
    """Give the heading that a stack belongs under."""
    stack: list[tuple[str, str]] = []
    while frame is not None:
        stack.append((frame.f_code.co_filename, frame.f_code.co_name))
        frame = frame.f_back
    for heading, path, function in HEADINGS:
        if any(path in file and function in ("", name) for file, name in stack):
            return heading
    return "everything else"


class Looks(threading.Thread):
    """Counts what the main thread is at."""

    def __init__(self) -> None:
        """Begin with the time that the interpreter took to get here."""
        super().__init__(daemon=True)
        self.seconds: Counter[str] = Counter()
        self.seconds["start: interpreter"] = time.time() - float(os.environ[BEGAN])
        self._main = threading.main_thread().ident
        self._over = threading.Event()

    def run(self) -> None:
        """Look until `end`."""
        before = time.perf_counter()
        while not self._over.wait(SECONDS_BETWEEN_LOOKS):
            now = time.perf_counter()
            heading = heading_of(sys._current_frames().get(self._main or 0))
            self.seconds[heading] += now - before
            before = now

    def end(self) -> dict[str, float]:
        """Give seconds by heading."""
        self._over.set()
        self.join()
        return dict(self.seconds)


def inside(words: Sequence[str], result: Path) -> None:
    """Run one stage in this process, and write where its time went."""
    looks = Looks()
    looks.start()
    from pipeline.__main__ import main

    sys.argv = ["cvg", *words]
    try:
        main()
    finally:  # Commands leave by SystemExit.
        result.write_text(json.dumps(looks.end()), encoding="utf-8")


def profile(preset: str, names: Sequence[str]) -> Iterable[tuple[str, dict[str, float]]]:
    """Run the chain; give seconds by heading of each stage, or of those that are named."""
    with tempfile.TemporaryDirectory() as root:
        folder, result = Path(root) / "run", Path(root) / "result.json"
        stages = prepare(folder, PROJECT / "params.yaml", preset=preset)
        for stage in stages:
            command = [sys.executable, "-m", "benchmarks.profile", "--result", str(result)]
            environment = {
                BEGAN: str(time.time()),
                "PYTHONPATH": str(PROJECT),
                "DVC_ROOT": str(folder),
            }
            subprocess.run(
                [*command, "--inside", *stage.words],
                cwd=folder,
                env=os.environ | environment,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            if not names or stage.name in names:
                yield stage.name, json.loads(result.read_text(encoding="utf-8"))


def print_shares(stage: str, seconds: dict[str, float]) -> None:
    """Print a row of a table in Markdown."""
    total = sum(seconds.values())
    shares = sorted(((value / total, name) for name, value in seconds.items()), reverse=True)
    shown = [f"{name} {share:.1%}" for share, name in shares if share >= LEAST_SHARE]
    print(f"| `{stage}` | {total:.1f} | {', '.join(shown)} |", flush=True)


def main() -> None:
    """Profile each stage, or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--stage", action="append", default=[], help="show only these")
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--inside", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        inside(arguments.inside, arguments.result)
        return
    print("| stage | seconds | where they go |\n| --- | ---: | --- |")
    for stage, seconds in profile(arguments.preset, arguments.stage):
        print_shares(stage, seconds)
    print(machine())


if __name__ == "__main__":
    main()
