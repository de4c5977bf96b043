"""The kernel distance of two sets of features: no bias at any number of clips."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cvg.seeding import derive_seed
from cvg.tensors import Float

DEGREE = 3
SPLITS = 100  # random halves behind the spread


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How much a figure varies where it is computed again.

    Attributes:
        deviation: standard deviation.
        repeats: number of values that it is of.
        of: what was varied: sets of one sample a condition, or random halves of both sets.
    """

    deviation: float
    repeats: int
    of: Literal["sample sets", "random halves"]


def kernel_distance(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m _"]) -> float:
    """Squared maximum mean discrepancy under the kernel (x y / d + 1)^3, without bias.

    Source: Gretton et al. 2012 (JMLR 13), lemma 6, with the kernel of Binkowski et al. 2018
    (arXiv:1801.01401, sec. 4); on features of videos it is called KVD (Unterthiner et al. 2018,
    arXiv:1812.01717). Its mean over independent draws of equal sets is 0, so it may be negative,
    and figures at different numbers of clips are comparable. Sets that are made of the same clips
    are not independent: they come out below 0.

    Args:
        a: features of one set, at least 2 rows.
        b: features of the other, at least 2 rows, as wide.

    Raises:
        ValueError: too few rows, or different widths.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"features are {a.shape[1]} and {b.shape[1]} wide: of two networks?")
    if min(len(a), len(b)) < 2:
        raise ValueError(f"{len(a)} and {len(b)} rows; expected at least 2 a side")
    return _within(a) + _within(b) - 2 * float(_kernel(a, b).mean())


def spread_over_halves(
    a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m _"], *, seed: int
) -> Spread | None:
    """Give how much the distance varies over random halves of both sets; None below 4 rows a side.

    A half holds less than the whole, so this overstates the deviation of the whole. Halves are
    drawn without replacement: a row that is there twice would be at no distance from itself.
    """
    halves = len(a) // 2, len(b) // 2
    if min(halves) < 2:
        return None
    rng = np.random.default_rng(derive_seed(seed, "kernel distance"))
    values = [
        kernel_distance(*(rng.permutation(s)[:n] for s, n in zip((a, b), halves, strict=True)))
        for _ in range(SPLITS)
    ]
    return Spread(deviation=float(np.std(values)), repeats=SPLITS, of="random halves")


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1) ** DEGREE


def _within(rows: np.ndarray) -> float:
    """Give the mean over pairs of two different rows."""
    kernel = _kernel(rows, rows)
    count = len(rows)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))
