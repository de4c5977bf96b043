"""Choosing frames by their times, never by their numbers: rates vary within a file."""

import math
from collections.abc import Iterable, Iterator
from typing import TypeVar

Picture = TypeVar("Picture")

# Times come from integers and rationals; sums of them are off by far less than this.
ROUNDING_S = 1e-6


def ticks_between(start_s: float, stop_s: float, *, fps: float) -> range:
    """Give the ticks k of the grid k / fps that lie in [start_s, stop_s).

    >>> list(ticks_between(0.0, 0.1, fps=30.0))
    [0, 1, 2]
    >>> list(ticks_between(0.1, 0.101, fps=30.0))
    [3]
    """
    first = max(0, math.ceil((start_s - ROUNDING_S) * fps))
    return range(first, max(first, math.ceil((stop_s - ROUNDING_S) * fps)))


def resample(
    frames: Iterable[tuple[float, Picture]], *, fps: float | None
) -> Iterator[tuple[float, Picture]]:
    """Yield for each tick of an even grid the frame nearest in time; `fps` None keeps all frames.

    One frame is held back, no more. A frame that is nearest to several ticks is given for each.

    Args:
        frames: time in seconds from the first frame, and the frame, in the order of time.
        fps: ticks a second.

    >>> film = [(0.0, "a"), (0.04, "b"), (0.08, "c"), (0.12, "d"), (0.16, "e")]
    >>> "".join(frame for _, frame in resample(film, fps=None))
    'abcde'
    >>> "".join(frame for _, frame in resample(film, fps=12.5))
    'ace'
    >>> "".join(frame for _, frame in resample([(0.0, "a"), (1.0, "b")], fps=4.0))
    'aabbbb'
    """
    if fps is None:
        yield from frames
        return
    source = iter(frames)
    held = next(source, None)
    if held is None:
        return
    start_s, count = 0.0, 1
    for time_s, frame in source:
        middle_s = (held[0] + time_s) / 2
        for tick in ticks_between(start_s, middle_s, fps=fps):
            yield tick / fps, held[1]
        held, start_s, count = (time_s, frame), max(start_s, middle_s), count + 1
    # The last frame is shown for as long as the others are on average.
    stop_s = held[0] + (held[0] / (count - 1) / 2 if count > 1 else 1 / fps)
    for tick in ticks_between(start_s, stop_s, fps=fps):
        yield tick / fps, held[1]


def mean_rate(num_frames: int, span_s: float) -> float | None:
    """Give frames a second of `num_frames` frames whose first and last are `span_s` apart.

    >>> mean_rate(250, 9.96)
    25.0
    >>> mean_rate(1, 0.0) is None
    True
    """
    if num_frames < 2 or span_s <= 0:
        return None
    # Six decimals, because the last bits of the span differ from container to container.
    return round((num_frames - 1) / span_s, 6)
