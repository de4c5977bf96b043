"""Confidence intervals of means over clips; not for Frechet distances, which it would mislead."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cvg.seeding import derive_seed
from cvg.tensors import Float

MIN_UNITS = 5  # resampling fewer says next to nothing
RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A percentile bootstrap interval of a mean."""

    low: float
    high: float
    level: float
    unit: Literal["video", "clip"]  # what was resampled
    units: int


def interval_of_mean(
    values: Float[np.ndarray, "n"], *, videos: Sequence[str] | None = None, seed: int
) -> Interval | None:
    """Give the interval of the mean over clips, None where there are too few to say anything.

    Clips of one video resemble each other, so whole videos are resampled, with all their clips.
    Below 5 videos clips are resampled instead: then the interval speaks about other clips of these
    videos, not about other videos, and `unit` says so.

    Args:
        values: one figure a clip.
        videos: source video of each clip; None counts every clip as a video of its own.
        seed: root seed; the same seed gives the same interval.

    Raises:
        ValueError: there is not one video name a clip.
    """
    if videos is not None and len(videos) != len(values):
        raise ValueError(f"{len(values)} values but {len(videos)} video names")
    names = list(videos) if videos is not None else [str(index) for index in range(len(values))]
    unit: Literal["video", "clip"] = "video"
    if videos is None or len(set(names)) < MIN_UNITS:
        names, unit = [str(index) for index in range(len(values))], "clip"
    distinct, group = np.unique(names, return_inverse=True)
    if len(distinct) < MIN_UNITS:
        return None
    sums = np.bincount(group, weights=values)
    counts = np.bincount(group)
    rng = np.random.default_rng(derive_seed(seed, "bootstrap"))
    drawn = rng.integers(len(distinct), size=(RESAMPLES, len(distinct)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(low=float(low), high=float(high), level=LEVEL, unit=unit, units=len(distinct))
