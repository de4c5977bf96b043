"""Does a long video cost as much at its end as at its start? `python -m benchmarks.long_video`.

Writes one video of 1,000 frames with the models of a folder, frame after frame as it comes, and
prints for each hundred frames the time, the peak of the memory until then, how much moves, and how
often a frame repeats the one before. Nothing of the video is kept.
"""

import argparse
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.measure import machine
from cvg.conditions.condition import Condition
from cvg.frames.pixels import changes
from cvg.metrics.motion import SAME
from cvg.sampling.generator import Generator, Request

SPAN = 100  # frames
EARLY, LATE = 1, -1  # the spans that are compared: the first one also warms up


@dataclass(frozen=True, kw_only=True)
class Reached:
    """Where a video was at some time."""

    frames: int
    seconds: float
    peak: int  # of the memory, in units of the system
    motion: float  # of the frames since the one before, grey levels
    repeated: float


def follow(generator: Generator, request: Request) -> Iterator[Reached]:
    """Write a video, and tell after each span of frames how it stands."""
    start, frames, last = time.perf_counter(), 0, None
    steps: list[float] = []
    yield Reached(frames=0, seconds=0.0, peak=_peak(), motion=0.0, repeated=0.0)
    for chunk in generator.stream([request]):
        video = chunk[0] if last is None else np.concatenate([last, chunk[0]])
        steps += changes(video).tolist()
        frames, last = frames + chunk.shape[1], chunk[0, -1:]
        if frames // SPAN > (frames - chunk.shape[1]) // SPAN or frames == request.frames:
            yield Reached(
                frames=frames,
                seconds=time.perf_counter() - start,
                peak=_peak(),
                motion=float(np.mean(steps)),
                repeated=float(np.mean(np.array(steps) < SAME)),
            )
            steps = []


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Write, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("data"))
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--caption", help="what it is to show")
    arguments = parser.parse_args()
    generator = Generator.load(arguments.folder)
    request = Request(frames=arguments.frames, condition=Condition(caption=arguments.caption))
    pace = []
    reached = list(follow(generator, request))
    print("frames       ms a frame  memory  motion  repeated")
    for before, now in pairwise(reached):
        pace.append((now.seconds - before.seconds) / (now.frames - before.frames))
        print(
            f"{before.frames:4d} to {now.frames:4d}  {1000 * pace[-1]:9.1f}  "
            f"{now.peak / reached[EARLY].peak:6.3f}  {now.motion:6.2f}  {now.repeated:8.0%}"
        )
    print(f"the last frames take {pace[LATE] / pace[EARLY]:.2f} times as long as the early ones")
    print("memory: peak until then, against that after the first frames;", machine())


if __name__ == "__main__":
    main()
