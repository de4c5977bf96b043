"""The loss on codes that flicker: still cells alone count, and only how far they move."""

import pytest
import torch

from cvg.vqgan.stillness import still_cells, stillness_loss


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def frames():
    """Two pairs of frames; in the first pair one corner of the second frame moves."""
    pictures = torch.rand(2, 3, 8, 8, generator=rng()).repeat_interleave(2, 0)
    pictures[1, :, 6:, :2] += 0.5
    return pictures


def test_cells_are_still_where_no_pixel_moves(frames):
    still = still_cells(frames, grid=4)
    expected = torch.ones(2, 4, 4, dtype=torch.bool)
    expected[0, 3, 0] = False
    assert torch.equal(still, expected)


def test_two_grey_levels_are_still_and_three_are_not():
    frames = torch.zeros(4, 1, 2, 2)
    frames[1, 0, 0, 0], frames[3, 0, 0, 0] = 2 / 127.5, 3 / 127.5
    assert still_cells(frames, grid=1).flatten().tolist() == [True, False]


def test_what_rests_costs_nothing(frames):
    encoded = torch.randn(2, 5, 4, 4, generator=rng()).repeat_interleave(2, 0)
    assert stillness_loss(encoded, frames) == 0


def test_moves_of_cells_in_motion_cost_nothing(frames):
    encoded = torch.randn(2, 5, 4, 4, generator=rng()).repeat_interleave(2, 0)
    encoded[1, :, 3, 0] += 9
    assert stillness_loss(encoded, frames) == 0
    encoded[1, :, 0, 0] += 1
    assert stillness_loss(encoded, frames) > 0


def test_it_is_a_share_of_how_much_latents_differ(frames):
    encoded = torch.randn(4, 5, 4, 4, generator=rng())
    loss = stillness_loss(encoded, frames)
    torch.testing.assert_close(stillness_loss(1000 * encoded, frames), loss)
    # Latents that have nothing to do with each other differ by twice the variance.
    assert loss.item() == pytest.approx(2, abs=0.5)


def test_its_gradient_draws_the_latents_of_a_still_cell_together(frames):
    encoded = torch.randn(4, 5, 4, 4, generator=rng()).requires_grad_()
    stillness_loss(encoded, frames).backward()
    move = encoded.detach()[0] - encoded.detach()[1]
    inwards = (encoded.grad[0] * move).sum(0)
    assert (inwards.flatten()[:12] > 0).all()
    assert (encoded.grad[:2, :, 3, 0] == 0).all()
    assert torch.allclose(encoded.grad[0], -encoded.grad[1])


def test_where_nothing_is_still_there_is_no_loss():
    frames = torch.rand(4, 3, 8, 8, generator=rng())
    encoded = torch.randn(4, 5, 4, 4, generator=rng())
    assert stillness_loss(encoded, frames) == 0
