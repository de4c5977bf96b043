"""Norms: what reaches a place from elsewhere."""

import pytest
import torch

from cvg.vqgan.layers import LocalNorm, make_norm, residual_blocks


def test_each_place_has_a_mean_square_of_one():
    features = 7 * torch.randn(2, 16, 3, 3, generator=torch.Generator().manual_seed(0))
    found = LocalNorm(16)(features).square().mean(1)
    torch.testing.assert_close(found, torch.ones(2, 3, 3), rtol=0, atol=1e-4)


def test_it_is_the_norm_of_torch_at_each_place():
    features = torch.randn(2, 16, 3, 3, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.rms_norm(features.permute(0, 2, 3, 1), (16,), eps=1e-6)
    found = LocalNorm(16)(features).permute(0, 2, 3, 1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("norm", "far"), [("local", False), ("group", True)])
def test_only_a_group_norm_carries_what_is_far_away(norm, far):
    """Two convolutions of 3x3 reach two places; what changes farther off must not be felt."""
    blocks = residual_blocks(16, 1, norm)
    torch.nn.init.normal_(blocks[0].second.weight, std=0.1)
    features = torch.randn(1, 16, 9, 9, generator=torch.Generator().manual_seed(0))
    changed = features.clone()
    changed[..., 0, 0] += 5
    moved = (blocks(changed) - blocks(features)).abs().amax(1)[0] > 1e-6
    assert moved[:3, :3].all()
    assert moved[4:, 4:].any() == far


def test_their_parameters_have_the_same_names():
    names = [sorted(dict(make_norm(norm, 8).named_parameters())) for norm in ("local", "group")]
    assert names[0] == names[1] == ["bias", "weight"]
