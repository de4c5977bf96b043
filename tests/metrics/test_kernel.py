"""The kernel distance: against another implementation, by hand, and without bias."""

import numpy as np
import pytest
import torch
from torchmetrics.image.kid import poly_mmd

from cvg.metrics.kernel import kernel_distance, spread_over_halves


def draw(num, seed, *, shift=0.0):
    return np.random.default_rng(seed).standard_normal((num, 12)) + shift


def test_equals_torchmetrics():
    a, b = draw(20, 0), draw(20, 1, shift=0.5)
    other = poly_mmd(torch.from_numpy(a), torch.from_numpy(b), degree=3, gamma=None, coef=1.0)
    assert kernel_distance(a, b) == pytest.approx(other.item(), rel=1e-9)


def test_by_hand():
    a, b = np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]])

    def kernel(x, y):
        return (x * y + 1) ** 3

    between = np.mean([kernel(x, y) for x in (0, 1) for y in (2, 3)])
    expected = kernel(0, 1) + kernel(2, 3) - 2 * between
    assert kernel_distance(a, b) == pytest.approx(expected)


def test_of_equal_sets_it_is_zero_on_average_at_any_number_of_clips():
    for num in (8, 64):
        values = [kernel_distance(draw(num, 2 * n), draw(num, 2 * n + 1)) for n in range(200)]
        deviation = np.std(values) / np.sqrt(len(values))
        assert abs(np.mean(values)) < 3.5 * deviation
        assert min(values) < 0


def test_a_shift_is_seen_beyond_the_spread():
    a, b = draw(60, 0), draw(60, 1, shift=0.7)
    spread = spread_over_halves(a, b, seed=0)
    assert kernel_distance(a, b) > 5 * spread.deviation
    assert spread == spread_over_halves(a, b, seed=0)
    assert spread != spread_over_halves(a, b, seed=1)
    assert spread.of == "random halves"


def test_the_spread_of_halves_is_above_that_of_the_whole():
    wholes = [kernel_distance(draw(40, 2 * n), draw(40, 2 * n + 1)) for n in range(100)]
    halves = [
        spread_over_halves(draw(40, 2 * n), draw(40, 2 * n + 1), seed=n).deviation
        for n in range(10)
    ]
    assert np.std(wholes) < np.mean(halves) < 4 * np.std(wholes)


def test_too_few_clips_and_two_networks_are_refused():
    a = draw(6, 0)
    assert spread_over_halves(a[:3], a, seed=0) is None
    with pytest.raises(ValueError, match="1 and 6 rows"):
        kernel_distance(a[:1], a)
    with pytest.raises(ValueError, match="12 and 5 wide"):
        kernel_distance(a, a[:, :5])
