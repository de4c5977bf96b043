"""How well scores tell two kinds apart."""

import math

import numpy as np
from scipy.stats import rankdata

from cvg.tensors import Float


def area_under_curve(real: Float[np.ndarray, "n"], other: Float[np.ndarray, "m"]) -> float:
    """Give the chance that a real clip scores above another one; a tie counts one half.

    It is the area under the ROC curve: 1 tells all apart, 0.5 nothing, below it is wrong. By ranks,
    as in Mann & Whitney 1947.

    >>> area_under_curve(np.array([2.0, 1.0]), np.array([1.0, 0.0]))
    0.875
    """
    n, m = len(real), len(other)
    if not n or not m:
        return math.nan
    ranks = rankdata(np.concatenate([real, other]))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))
