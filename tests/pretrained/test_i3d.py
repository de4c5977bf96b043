import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cvg.metrics.frechet import frechet_distance
from cvg.pretrained.i3d import i3d_features, pad_same

pytestmark = pytest.mark.weights


def black_and_white(frames):
    return torch.stack(
        [torch.full((frames, 64, 64, 3), value, dtype=torch.uint8) for value in (0, 255)]
    )


def noise_clips(num, frames=9, size=64):
    values = np.random.RandomState(0).randint(0, 256, (num, frames, size, size, 3))
    return torch.from_numpy(values.astype(np.uint8))


# Measured against the published values: TensorFlow gives 151.39244 at 30 frames.
@pytest.mark.parametrize(("frames", "expected"), [(9, 492.628), (30, 151.3925)])
def test_black_against_white_is_as_far_as_published(i3d, frames, expected):
    black, white = i3d_features(i3d, black_and_white(frames)).double()
    assert (black - white).square().sum().item() == pytest.approx(expected, rel=5e-6)


def test_the_logits_of_black_are_those_of_the_published_network(i3d):
    black, white = i3d_features(i3d, black_and_white(16))
    assert (black - white).double().square().sum().item() == pytest.approx(152.902, abs=1e-3)
    expected = [1.09353, 2.83724, 0.40168, 1.01701, -0.41053]
    np.testing.assert_allclose(black[:5].numpy(), expected, atol=2e-5)
    assert black.norm().item() == pytest.approx(23.6612, abs=1e-4)
    assert white.norm().item() == pytest.approx(25.0147, abs=1e-4)
    assert black.argmax() == 244


def test_the_logits_of_noise_are_those_of_the_published_network(i3d):
    logits = i3d_features(i3d, noise_clips(1, frames=16))[0]
    expected = [1.17842, 4.62580, 3.08212, 2.44076, -0.81171]
    np.testing.assert_allclose(logits[:5].numpy(), expected, atol=5e-5)
    assert logits.norm().item() == pytest.approx(55.0659, abs=1e-4)
    assert logits.argmax() == 394


def test_eight_frames_are_too_few(i3d):
    with pytest.raises(ValueError, match="at least 9 frames, got 8"):
        i3d_features(i3d, black_and_white(8))


def test_features_depend_neither_on_batch_size_nor_on_training_mode(i3d):
    clips = noise_clips(2)
    parent = torch.nn.ModuleList([i3d]).train()
    one = i3d_features(i3d, clips, batch_size=1)
    all_at_once = i3d_features(i3d, clips, batch_size=2)
    parent.eval()
    torch.testing.assert_close(one, all_at_once, rtol=0, atol=1e-4)


def test_autocast_around_it_changes_nothing(i3d):
    clips = noise_clips(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = i3d_features(i3d, clips)
    torch.testing.assert_close(inside, i3d_features(i3d, clips), rtol=0, atol=1e-5)


def test_large_frames_are_smoothed_before_they_shrink(i3d):
    # Every third line is white. Without antialias the resize would see white alone.
    lines = torch.zeros(1, 9, 672, 672, 3, dtype=torch.uint8)
    lines[:, :, 1::3] = 255
    plain = [torch.full((1, 9, 64, 64, 3), level, dtype=torch.uint8) for level in (85, 255)]
    seen = i3d_features(i3d, lines)
    grey, white = i3d_features(i3d, torch.cat(plain))
    assert (seen - grey).norm() < (seen - white).norm() / 2


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(224, 7, 2), (9, 7, 2), (5, 3, 2), (4, 2, 2)]
)
def test_same_padding_puts_the_odd_pixel_behind(size, kernel, stride):
    # TensorFlow's rule: ceil(size / stride) outputs, the smaller half of the padding in front.
    values = torch.ones(1, 1, size, size, size)
    padded = pad_same(values, (kernel,) * 3, (stride,) * 3)
    outputs = F.max_pool3d(padded, kernel, stride).shape[-1]
    assert outputs == -(-size // stride)
    front = int((padded[0, 0, kernel // 2, kernel // 2] == 0).int().argmin())
    behind = padded.shape[-1] - size - front
    assert behind - front in (0, 1)


@pytest.mark.slow
def test_two_sets_of_noise_are_as_far_as_published(i3d):
    # The published test feeds colours of 0 to 1 as they are; TensorFlow gives 10.138085.
    sets = []
    for seed in (1, 2):
        noise = np.random.RandomState(seed).rand(128, 16, 224, 224, 3).astype(np.float32)
        with torch.inference_mode():
            parts = [
                i3d(torch.from_numpy(clips).permute(0, 4, 1, 2, 3)) for clips in np.split(noise, 32)
            ]
        sets.append(torch.cat(parts).numpy())
    assert frechet_distance(*sets) == pytest.approx(10.13808, abs=1e-4)
