"""Figures of a validation pass, by hand and against scikit-image."""

import math

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from cvg.codes.use import code_use
from cvg.vqgan.comparator import Comparator
from cvg.vqgan.health import frame_psnr, measure_health


def test_perplexity_is_the_codebook_size_for_even_use_and_one_for_a_single_code():
    even, single = code_use(torch.tensor([3, 3, 3, 3])), code_use(torch.tensor([0, 7, 0, 0]))
    assert (even.usage, single.usage) == (1.0, 0.25)
    assert even.perplexity == pytest.approx(4)
    assert single.perplexity == pytest.approx(1)


def test_perplexity_by_hand():
    use = code_use(torch.tensor([1, 0, 3]))
    assert use.perplexity == pytest.approx(
        math.exp(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))
    )
    assert use.usage == pytest.approx(2 / 3)


def test_psnr_is_that_of_scikit_image(toys):
    frames = toys.toy_frames(4)
    other = (frames + 0.2 * torch.randn(frames.shape, generator=toys.rng())).clamp(-1, 1)
    expected = [
        peak_signal_noise_ratio(one.numpy(), two.numpy(), data_range=2.0)
        for one, two in zip(frames, other, strict=True)
    ]
    assert frame_psnr(frames, other).tolist() == pytest.approx(expected, rel=1e-5)


def test_overshoot_is_clipped_before_it_is_measured(toys):
    frames = torch.ones(1, 3, 4, 4)
    assert torch.equal(frame_psnr(frames, 5 * frames), frame_psnr(frames, frames))


def test_identical_frames_have_a_finite_psnr(toys):
    frames = toys.toy_frames(2)
    assert torch.isfinite(frame_psnr(frames, frames)).all()


def test_figures_are_means_over_frames_and_not_over_batches(vqgan, toys):
    frames = toys.toy_frames(10)
    whole = measure_health(vqgan, [frames])
    parts = measure_health(vqgan, iter(frames.split([1, 7, 2])))
    assert parts == pytest.approx(whole, rel=1e-5)


def test_figures_by_hand(vqgan, frames, toys):
    figures = measure_health(vqgan, [frames])
    with torch.no_grad():
        result = vqgan(frames)
        top = vqgan.decode({"top": result.codes["top"]})
    assert figures["psnr"] == pytest.approx(frame_psnr(frames, result.frames).mean().item())
    assert figures["psnr_top"] == pytest.approx(frame_psnr(frames, top).mean().item())
    assert figures["l2"] == pytest.approx((result.frames - frames).square().mean().item())
    for level in ("top", "bottom"):
        used = len(result.codes[level].unique())
        assert figures[f"usage_{level}"] == pytest.approx(used / toys.CODEBOOK)


def test_measuring_changes_nothing(vqgan, frames):
    before = {name: tensor.clone() for name, tensor in vqgan.state_dict().items()}
    measure_health(vqgan, [frames])
    assert all(torch.equal(tensor, before[name]) for name, tensor in vqgan.state_dict().items())


@pytest.mark.parametrize("levels", [("bottom",), ("top", "bottom"), ("top", "middle", "bottom")])
def test_every_shorter_prefix_has_a_figure_of_its_own(toys, frames, levels):
    vqgan = toys.toy_vqgan(levels=levels)
    figures = measure_health(vqgan, [frames])
    prefixes = {name.removeprefix("psnr_") for name in figures if name.startswith("psnr_")}
    assert prefixes == set(levels[:-1])
    assert {name for name in figures if "usage" in name} == {f"usage_{level}" for level in levels}


def test_a_comparator_adds_its_mean_over_frames(vqgan, frames):
    class Mean(Comparator):
        figure = "lpips_vgg"

        def __init__(self):
            torch.nn.Module.__init__(self)

        def forward(self, reconstructed, real):
            assert not torch.equal(reconstructed, real)
            return real[:, 0, 0, 0].mean()

    figures = measure_health(vqgan, frames.split([1, 5]), comparator=Mean())
    assert figures["lpips_vgg"] == pytest.approx(frames[:, 0, 0, 0].mean().item(), rel=1e-5)
    assert "lpips" not in figures
    assert "lpips_vgg" not in measure_health(vqgan, [frames])
