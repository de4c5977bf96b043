"""How much changes from frame to frame, and what videos stand still; no network is needed."""

from dataclasses import dataclass

import numpy as np

from cvg.frames.pixels import changes
from cvg.tensors import Float, UInt8

# Bytes of a frame that differ by less than this on average are the same picture.
SAME = 0.5  # grey levels


@dataclass(frozen=True, kw_only=True)
class MotionComparison:
    """How the changes of some clips compare with those of real ones.

    Attributes:
        figures: `motion_distance`, the Wasserstein-1 distance of the distribution of changes from
            that of the real clips, grey levels of 0 to 255: by how much a change has to be altered
            on average; `repeated`, the share of frames that show the picture of the frame before.
        per_clip: `motion` of each clip, the mean absolute change of a frame from the one before,
            grey levels.
        sentence: how much the clips move, and the real ones.
    """

    figures: dict[str, float]
    per_clip: dict[str, Float[np.ndarray, "n"]]
    sentence: str = ""


def changes_of(clips: UInt8[np.ndarray, "n t h w 3"], *, first: int) -> Float[np.ndarray, "n q"]:
    """Give the changes that lead to the frames from number `first` on, or from the second.

    Of clips that end before, there are none.
    """
    start = max(first, 1) - 1
    return np.array([changes(clip[start:]) for clip in clips]).reshape(len(clips), -1)


def compare_motion(
    real: Float[np.ndarray, "n q"], other: Float[np.ndarray, "m r"]
) -> MotionComparison:
    """Compare changes of real clips and of others, as `changes_of` gives them.

    Where there are none, there are no figures.
    """
    if not (real.size and other.size):
        return MotionComparison(figures={}, per_clip={})
    return MotionComparison(
        figures=change_figures(other.ravel(), real.ravel()),
        per_clip={"motion": other.mean(axis=1)},
        sentence=f"mean change {other.mean():.2f} grey levels, of the real clips {real.mean():.2f}",
    )


def change_figures(found: Float[np.ndarray, "q"], true: Float[np.ndarray, "r"]) -> dict[str, float]:
    """Give `motion_distance` and `repeated` of changes beside those of real frames."""
    return {
        "motion_distance": wasserstein(found, true),
        "repeated": float((found < SAME).mean()),
    }


def wasserstein(a: Float[np.ndarray, "q"], b: Float[np.ndarray, "r"]) -> float:
    """Give the Wasserstein-1 distance of two sets of numbers, each with equal weights.

    It is the area between their distribution functions, which are steps.

    >>> wasserstein(np.array([0.0, 1.0]), np.array([5.0, 6.0, 5.0, 6.0]))
    5.0
    """
    places = np.sort(np.concatenate([a, b]).astype(np.float64))
    shares = [np.searchsorted(np.sort(x), places[:-1], side="right") / len(x) for x in (a, b)]
    return float(np.vecdot(np.abs(shares[0] - shares[1]), np.diff(places)))
