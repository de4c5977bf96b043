"""Cuts between shots, from how much each frame differs from the one before.

The rule is the adaptive one of PySceneDetect (its `AdaptiveDetector`): a change counts as a cut
where it is large, and several times as large as the changes around it, so that neither a pan nor
a flicker of the whole film is one. Unlike there the change is that of RGB values, which extraction
measures anyway, so that finding cuts costs nothing. Fades and dissolves are not found.
"""

import numpy as np
from jaxtyping import Float32

NEIGHBOURS = 2  # on each side


def find_cuts(changes: Float32[np.ndarray, " n"], *, ratio: float, least: float) -> tuple[int, ...]:
    """Give the numbers of the frames that begin a new shot, 0 not among them.

    Args:
        changes: mean absolute change from the frame before, grey levels; the first is 0.
        ratio: how many times the mean of the neighbouring changes a cut is, at least.
        least: how large a cut is, at least.

    >>> find_cuts(np.float32([0, 1, 1, 40, 1, 2, 1]), ratio=3.0, least=15.0)
    (3,)
    """
    padded = np.pad(changes.astype(np.float64), NEIGHBOURS)
    present = np.pad(np.ones(len(changes)), NEIGHBOURS)
    present[: NEIGHBOURS + 1] = 0  # the first frame has no change
    offsets = [offset for offset in range(-NEIGHBOURS, NEIGHBOURS + 1) if offset]
    around = sum(_shifted(padded * present, offset) for offset in offsets)
    count = sum(_shifted(present, offset) for offset in offsets)
    is_cut = (changes >= least) & (changes * count >= ratio * around)
    is_cut[:1] = False
    return tuple(int(number) for number in np.flatnonzero(is_cut))


def _shifted(padded: np.ndarray, offset: int) -> np.ndarray:
    return padded[NEIGHBOURS + offset : len(padded) - NEIGHBOURS + offset]
