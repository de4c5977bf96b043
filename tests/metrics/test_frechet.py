import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.image.fid import FrechetInceptionDistance

from cvg.metrics.frechet import frechet_distance


def draw(num, width, seed, *, spread=1.0):
    rng = np.random.default_rng(seed)
    spectrum = spread / np.arange(1, width + 1)
    rotation = np.linalg.qr(rng.standard_normal((width, width)))[0]
    return (rng.standard_normal((num, width)) * spectrum) @ rotation + rng.standard_normal(width)


def diagonal(variances):
    """A set whose covariance is exactly diagonal: plus and minus along each axis."""
    width = len(variances)
    steps = np.diag(np.sqrt(np.asarray(variances) * (2 * width - 1) / 2))
    return np.concatenate([steps, -steps])


def test_a_set_is_at_no_distance_from_itself_in_any_order():
    for num in (5, 40, 200):
        a = draw(num, 50, 0)
        assert abs(frechet_distance(a, a)) < 1e-9
        assert abs(frechet_distance(a, a[::-1])) < 1e-9


def test_symmetric_and_not_negative_with_fewer_clips_than_features():
    a, b = draw(6, 80, 1), draw(9, 80, 2)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    assert frechet_distance(a, b) > 0


def test_covariances_by_n_are_smaller_by_their_share():
    a = draw(30, 12, 3)
    b = 3 * (a - a.mean(axis=0)) + a.mean(axis=0)  # the same mean: spread alone differs
    by_n = frechet_distance(a, b, divide_by_n=True)
    assert by_n == pytest.approx(frechet_distance(a, b) * 29 / 30)


def test_a_shift_costs_its_square():
    a, shift = draw(30, 12, 3), np.linspace(-1, 2, 12)
    assert frechet_distance(a, a + shift) == pytest.approx(np.square(shift).sum())


def test_scaling_one_set_and_scaling_both():
    a, b = draw(60, 10, 4), draw(70, 10, 5)
    power = np.square(a.mean(axis=0)).sum() + np.trace(np.cov(a.T))
    assert frechet_distance(a, 3 * a) == pytest.approx(4 * power)
    assert frechet_distance(3 * a, 3 * b) == pytest.approx(9 * frechet_distance(a, b))


def test_a_common_rotation_and_translation_change_nothing():
    a, b = draw(40, 15, 6), draw(40, 15, 7)
    rotation = np.linalg.qr(np.random.default_rng(8).standard_normal((15, 15)))[0]
    moved = frechet_distance(a @ rotation + 5, b @ rotation + 5)
    assert moved == pytest.approx(frechet_distance(a, b))


def test_diagonal_covariances_have_a_closed_form():
    p, q = np.array([1.0, 4.0, 9.0]), np.array([16.0, 0.25, 1.0])
    expected = np.square(np.sqrt(p) - np.sqrt(q)).sum()
    assert frechet_distance(diagonal(p), diagonal(q)) == pytest.approx(expected)


def test_covariances_that_do_not_commute_have_a_closed_form_in_the_plane():
    a = diagonal([4.0, 1.0])
    angle = 0.7
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    b = diagonal([9.0, 0.5]) @ rotation.T
    p, q = np.cov(a.T), np.cov(b.T)
    root = np.sqrt(np.trace(p @ q) + 2 * np.sqrt(np.linalg.det(p @ q)))
    expected = np.trace(p) + np.trace(q) - 2 * root
    assert frechet_distance(a, b) == pytest.approx(expected)


def test_equals_the_square_root_of_the_matrix_product():
    a, b = draw(200, 20, 9), draw(150, 20, 10, spread=2.0)
    p, q = np.cov(a.T), np.cov(b.T)
    root = np.real(scipy.linalg.sqrtm(p @ q))
    means = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    expected = means + np.trace(p) + np.trace(q) - 2 * np.trace(root)
    assert frechet_distance(a, b) == pytest.approx(expected)


class Flat(torch.nn.Module):
    """A seeded random feature map of small pictures."""

    num_features = 16

    def __init__(self):
        super().__init__()
        matrix = np.random.default_rng(0).standard_normal((48, 16))
        self.register_buffer("matrix", torch.from_numpy(matrix))

    def forward(self, pictures):
        return torch.tanh(pictures.double().flatten(1) @ self.matrix / 8)


def test_equals_torchmetrics_with_a_network_of_ones_own():
    network = Flat()
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(64, 3, 4, 4, generator=generator)
    b = torch.rand(50, 3, 4, 4, generator=generator) ** 2
    other = FrechetInceptionDistance(feature=network, normalize=True, input_img_size=(3, 4, 4))
    other.set_dtype(torch.float64)
    other.update(a, real=True)
    other.update(b, real=False)
    ours = frechet_distance(network(a).numpy(), network(b).numpy())
    assert ours == pytest.approx(other.compute().item(), rel=1e-6)


def test_float32_features_lose_nothing_to_float32_arithmetic():
    a, b = draw(128, 60, 11).astype(np.float32), draw(128, 60, 12).astype(np.float32)
    assert frechet_distance(a, b) == frechet_distance(a.astype(np.float64), b.astype(np.float64))


def test_the_bias_falls_as_the_number_of_clips_grows():
    rng = np.random.default_rng(13)
    means = []
    for num in (32, 128, 512):
        pairs = [rng.standard_normal((2, num, 24)) for _ in range(6)]
        means.append(np.mean([frechet_distance(a, b) for a, b in pairs]))
    assert 2.5 < means[0] / means[1] < 6
    assert 2.5 < means[1] / means[2] < 6


def test_too_few_clips_two_networks_and_values_that_are_not_finite_are_refused():
    a = draw(5, 4, 14)
    with pytest.raises(ValueError, match="first set has 1 clips"):
        frechet_distance(a[:1], a)
    with pytest.raises(ValueError, match="4 and 3 wide"):
        frechet_distance(a, a[:, :3])
    broken = a.copy()
    broken[2, 1] = np.nan
    with pytest.raises(ValueError, match="second set of features holds values that are not finite"):
        frechet_distance(a, broken)
