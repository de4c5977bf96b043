"""The Frechet distance of two sets of features, in a form that is safe at few samples."""

import numpy as np

from cvg.tensors import Float


def frechet_distance(
    a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m _"], *, divide_by_n: bool = False
) -> float:
    """Squared 2-Wasserstein distance of the Gaussians fitted to two sets of features.

    Source: Dowson and Landau 1982; as FVD in Unterthiner et al. 2018, arXiv:1812.01717, with
    covariances divided by N - 1. With A, B the centred features over sqrt(N - 1), the trace of the
    root of the product of the covariances is the nuclear norm of A B^T. So no matrix is squared and
    no root of a nearly singular product is taken, the result is real, and N may be below d.

    It is biased upwards by roughly c / N: compare only at equal N, and give it no bootstrap
    interval (resampling with replacement adds bias of the same kind).

    Args:
        a: features of one set, at least 2 rows.
        b: features of the other, at least 2 rows, as wide.
        divide_by_n: divide covariances by N, as some published protocols do; it makes the distance
            smaller by up to the share 1 / N.

    Raises:
        ValueError: too few rows, different widths, or a value that is not finite.
    """
    _check(a, b)
    mean_a, spread_a = _moments(a, divide_by_n=divide_by_n)
    mean_b, spread_b = _moments(b, divide_by_n=divide_by_n)
    shared = np.linalg.svd(_root(spread_a) @ _root(spread_b).T, compute_uv=False).sum()
    means = np.square(mean_a - mean_b).sum()
    return float(means + np.square(spread_a).sum() + np.square(spread_b).sum() - 2 * shared)


def _moments(features: np.ndarray, *, divide_by_n: bool) -> tuple[np.ndarray, np.ndarray]:
    values = features.astype(np.float64)
    mean = values.mean(axis=0)
    return mean, (values - mean) / np.sqrt(len(values) - (not divide_by_n))


def _root(spread: np.ndarray) -> np.ndarray:
    """Give a small R with R^T R = spread^T spread."""
    return np.asarray(np.linalg.qr(spread, mode="r"))


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"features are {a.shape[1]} and {b.shape[1]} wide: of two networks?")
    for side, features in (("first", a), ("second", b)):
        if len(features) < 2:
            raise ValueError(
                f"the {side} set has {len(features)} clips; a covariance needs at least 2"
            )
        if not np.isfinite(features).all():
            raise ValueError(f"the {side} set of features holds values that are not finite")
