import builtins
import importlib
import warnings

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from cvg.metrics.pixels import psnr, ssim


def clips(seed, shape=(2, 3, 32, 40, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth(seed):
    """Pictures with some structure, on half of the range."""
    rows = np.linspace(0, 3, 32)[:, None, None] + np.linspace(0, 4, 40)[None, :, None]
    phases = np.random.default_rng(seed).uniform(0, 6, (2, 3, 1, 1, 3))
    return (60 + 50 * np.sin(rows + phases)).astype(np.uint8)


def noisy(pictures, seed=0):
    noise = np.random.default_rng(seed).normal(0, 8, pictures.shape)
    return np.clip(pictures + noise, 0, 255).astype(np.uint8)


def test_psnr_of_every_frame_equals_scikit_image():
    a, b = clips(0), clips(1)
    values = psnr(a, b)
    for n in range(2):
        for t in range(3):
            expected = peak_signal_noise_ratio(a[n, t], b[n, t], data_range=255)
            assert values[n, t] == pytest.approx(expected)


def test_ssim_of_every_frame_equals_scikit_image_with_the_same_window():
    a = smooth(0)
    b = noisy(a)
    values = ssim(a, b)
    for n in range(2):
        for t in range(3):
            # scikit-image leaves out the border that we fill by mirroring.
            mirrored = [
                np.pad(clip[n, t], ((5, 5), (5, 5), (0, 0)), mode="reflect") for clip in (a, b)
            ]
            expected = structural_similarity(
                *mirrored,
                data_range=255,
                channel_axis=-1,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            assert values[n, t] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("size", [11, 32])
def test_ssim_equals_torchmetrics_bit_by_bit(size):
    real, other = (x[:, :, :size, :size] for x in (smooth(0), noisy(smooth(0))))
    theirs = structural_similarity_index_measure(
        *(torch.from_numpy(x).flatten(0, 1).permute(0, 3, 1, 2) / 255 for x in (real, other)),
        sigma=1.5,
        data_range=1.0,
        reduction="none",
    )
    assert ssim(real, other).ravel().tolist() == theirs.tolist()


def test_psnr_and_ssim_of_grey_frames_equal_scikit_video(monkeypatch):
    for name in ("int", "float"):  # which it still takes from NumPy
        monkeypatch.setattr(np, name, getattr(builtins, name), raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        other = importlib.import_module("skvideo.measure")
    a = smooth(4)
    b = noisy(a)
    a, b = a[..., :1], b[..., :1]  # it knows luminance alone
    grey_a, grey_b = np.repeat(a, 3, axis=-1), np.repeat(b, 3, axis=-1)
    np.testing.assert_allclose(psnr(grey_a, grey_b)[0], other.psnr(a[0], b[0]))
    mirrored = [np.pad(x[0], ((0, 0), (5, 5), (5, 5), (0, 0)), mode="reflect") for x in (a, b)]
    expected = other.ssim(*mirrored)
    np.testing.assert_allclose(ssim(grey_a, grey_b)[0], expected, atol=1e-5)


def test_black_against_white():
    black, white = np.zeros((1, 2, 32, 32, 3), np.uint8), np.full((1, 2, 32, 32, 3), 255, np.uint8)
    np.testing.assert_allclose(psnr(black, white), 0, atol=1e-12)
    np.testing.assert_allclose(ssim(black, white), 9.999e-05, rtol=1e-3)


def test_identical_frames_have_the_cap_and_nothing_has_more():
    a = clips(2)
    b = a.copy()
    b[1, 2, 0, 0, 0] ^= 1
    values = psnr(a, b)
    assert values[0].tolist() == [100, 100, 100]
    assert 70 < values[1, 2] < 100
    np.testing.assert_allclose(ssim(a, a), 1, atol=1e-6)


def test_a_frame_is_scored_alone_whatever_its_neighbours_and_their_number():
    a, b = np.tile(smooth(3), (8, 2, 1, 1, 1)), np.tile(noisy(smooth(3)), (8, 2, 1, 1, 1))
    for metric in (psnr, ssim):
        together = metric(a, b)
        assert together.shape == (16, 6)
        np.testing.assert_allclose(metric(a[5:6, 4:5], b[5:6, 4:5]), together[5:6, 4:5], atol=1e-5)


def test_frames_smaller_than_the_window_are_refused():
    small = np.zeros((1, 1, 10, 16, 3), np.uint8)
    with pytest.raises(ValueError, match="at least 11 pixels, got 10x16"):
        ssim(small, small)
    enough = np.zeros((1, 1, 11, 16, 3), np.uint8)
    np.testing.assert_allclose(ssim(enough, enough), 1, atol=1e-6)
