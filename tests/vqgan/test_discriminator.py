"""The patch discriminator, its losses and their weight."""

import math

import pytest
import torch

from cvg.vqgan.discriminator import (
    PatchDiscriminator,
    adaptive_factor,
    adversarial_loss,
    discriminator_loss,
)


def scores(*values):
    return torch.tensor(values).reshape(1, 1, 1, -1)


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


def test_each_output_sees_a_patch_of_22_pixels():
    size = 64
    frames = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    frames.requires_grad_()
    scores = PatchDiscriminator(4)(frames)
    scores[0, 0, 4, 3].backward()
    touched = frames.grad.abs().sum((0, 1)) > 0
    assert touched.any(1).sum() == 22
    assert touched.any(0).sum() == 22
    middle = [torch.nonzero(touched.any(axis)).float().mean().item() for axis in (1, 0)]
    assert middle == [4 * 8 + 3.5, 3 * 8 + 3.5]


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
