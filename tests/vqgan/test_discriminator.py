"""The patch discriminator, its losses and their weight."""

import math

import pytest
import torch
from torch import nn

from cvg.seeding import seed_everything
from cvg.training.adversarial import r1_penalty
from cvg.vqgan.discriminator import (
    PatchDiscriminator,
    adaptive_factor,
    adversarial_loss,
    discriminator_loss,
    right_share,
)

NORMS = ("spectral", "group")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def scores(*values):
    return torch.tensor(values).reshape(1, 1, 1, -1)


def make_discriminator(norm, width=8, frames=1):
    seed_everything(0, "test")
    return PatchDiscriminator(width, norm=norm, frames=frames)


def without_norms(discriminator):
    layers = [
        nn.Identity() if isinstance(layer, nn.GroupNorm) else layer
        for layer in discriminator.layers
    ]
    return nn.Sequential(*layers)


def test_hinge_losses_by_hand():
    # real: 1 - 2 is cut to 0, 1 - 0.5; reconstructed: 1 - 3 is cut to 0, 1 + 0.25
    loss = discriminator_loss(scores(2.0, 0.5), scores(-3.0, 0.25))
    assert loss.item() == pytest.approx(0.5 * (0.25 + 0.625))
    assert adversarial_loss(scores(2.0, -0.5)).item() == pytest.approx(-0.75)


def test_the_decoder_gains_where_the_discriminator_loses():
    shown = scores(-0.5, 0.5).requires_grad_()
    (of_discriminator,) = torch.autograd.grad(discriminator_loss(scores(0.0, 0.0), shown), shown)
    (of_decoder,) = torch.autograd.grad(adversarial_loss(shown), shown)
    assert (of_discriminator > 0).all()
    assert (of_decoder < 0).all()


def test_the_right_share_counts_both_kinds_equally():
    assert right_share(scores(1.0, 0.1, -1.0, -2.0), scores(-1.0, -2.0, -3.0, -4.0)).item() == 0.75
    assert right_share(scores(-1.0, 0.0), scores(1.0, 0.0)).item() == 0


@pytest.mark.parametrize("norm", NORMS)
def test_each_output_sees_a_patch_of_22_pixels(norm):
    frames = torch.randn(1, 3, 64, 64, generator=rng()).requires_grad_()
    # The statistics of a group norm are of the whole picture; the layers themselves are not.
    result = without_norms(make_discriminator(norm))(frames)
    result[0, 0, 4, 3].backward()
    touched = frames.grad.abs().sum((0, 1)) > 0
    assert touched.any(1).sum() == 22
    assert touched.any(0).sum() == 22
    middle = [torch.nonzero(touched.any(axis)).float().mean().item() for axis in (1, 0)]
    assert middle == [4 * 8 + 3.5, 3 * 8 + 3.5]


def test_a_spectral_norm_takes_the_size_of_every_kernel_away():
    discriminator = make_discriminator("spectral").eval()
    frames = torch.randn(2, 3, 32, 32, generator=rng())
    before = discriminator(frames)
    kernels = [p for p in discriminator.parameters() if p.ndim == 4]
    assert len(kernels) == 4
    for kernel in kernels:
        with torch.no_grad():
            kernel.mul_(10)
    assert torch.allclose(discriminator(frames), before, rtol=1e-4, atol=1e-6)


def test_group_norms_stand_after_the_second_and_the_third_layer_only():
    names = [type(layer).__name__ for layer in make_discriminator("group").layers]
    assert names == ["Conv2d", "LeakyReLU", *["Conv2d", "GroupNorm", "LeakyReLU"] * 2, "Conv2d"]
    spectral = make_discriminator("spectral")
    assert not any(isinstance(layer, nn.GroupNorm) for layer in spectral.layers)


@pytest.mark.parametrize("norm", NORMS)
def test_samples_of_a_batch_are_judged_each_for_itself(norm):
    frames = torch.randn(3, 3, 32, 32, generator=rng())
    discriminator = make_discriminator(norm).eval()
    alone = torch.cat([discriminator(frame) for frame in frames.split(1)])
    assert torch.allclose(discriminator(frames), alone, atol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_a_judge_of_pairs_sees_both_frames_and_their_order(norm):
    pair = torch.randn(1, 6, 32, 32, generator=rng()).requires_grad_()
    discriminator = make_discriminator(norm, frames=2).eval()
    result = discriminator(pair)
    (gradient,) = torch.autograd.grad(result.sum(), pair)
    assert gradient[:, :3].abs().max() > 0
    assert gradient[:, 3:].abs().max() > 0
    swapped = discriminator(torch.cat([pair[:, 3:], pair[:, :3]], dim=1))
    assert not torch.allclose(swapped, result, atol=1e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_the_penalty_trains_the_discriminator(norm):
    discriminator = make_discriminator(norm)
    frames = torch.randn(2, 3, 32, 32, generator=rng()).requires_grad_()
    r1_penalty(discriminator(frames), frames).backward()
    kernels = [p for p in discriminator.parameters() if p.ndim == 4]
    assert all(kernel.grad.norm() > 0 for kernel in kernels)


def test_the_adaptive_factor_makes_both_gradients_equally_long():
    last_layer = torch.tensor([1.0, 2.0], requires_grad=True)
    picture = (last_layer * torch.tensor([3.0, 4.0])).sum()  # gradient of length 5
    adversarial = (last_layer * torch.tensor([0.0, 10.0])).sum()
    factor = adaptive_factor(picture, adversarial, last_layer=last_layer, cap=100.0)
    assert factor.item() == pytest.approx(0.5)
    assert not factor.requires_grad


def test_the_adaptive_factor_is_capped_even_without_any_gradient():
    last_layer = torch.tensor([1.0], requires_grad=True)
    factor = adaptive_factor(
        3 * last_layer.sum(), 0 * last_layer.sum(), last_layer=last_layer, cap=2.5
    )
    assert factor.item() == 2.5
    assert math.isfinite(factor.item())
