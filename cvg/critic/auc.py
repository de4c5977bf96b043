"""How well scores tell two kinds apart."""

import math

import numpy as np

from cvg.tensors import Float


def area_under_curve(real: Float[np.ndarray, "n"], other: Float[np.ndarray, "m"]) -> float:
    """Give the chance that a real clip scores above another one; a tie counts one half.

    It is the area under the ROC curve: 1 tells all apart, 0.5 nothing, below it is wrong. Counted
    as in Mann & Whitney 1947. It is NaN where one kind is missing or a score is NaN.

    >>> area_under_curve(np.array([2.0, 1.0]), np.array([1.0, 0.0]))
    0.875
    """
    n, m = len(real), len(other)
    if not n or not m or np.isnan(real).any() or np.isnan(other).any():
        return math.nan
    ordered = np.sort(other)
    # Those that are below each real clip, and once more with those that are equal.
    counts = [np.searchsorted(ordered, real, side=side).sum() for side in ("left", "right")]
    return float(sum(counts) / (2 * n * m))
