"""Pictures of codes: what the decoder shows, or codebook vectors; and gradients to them."""

import pytest
import torch

from cvg.critic.sight import Sight


@pytest.fixture
def codes(toys):
    return {
        grid.level: torch.randint(
            grid.codebook_size, (2, 3, grid.rows, grid.columns), generator=toys.rng()
        )
        for grid in toys.GRIDS
    }


def test_pixels_are_those_of_the_decoder(toys, codes):
    vqgan = toys.toy_vqgan()
    sight = Sight(vqgan=vqgan, input="pixels")
    pictures = sight.see(sight.look_up(codes))
    assert pictures.shape == (2, 3, sight.channels, sight.size, sight.size)
    frame = vqgan.decode({level: grids[1, 2][None] for level, grids in codes.items()})
    assert torch.allclose(pictures[1, 2], frame[0], atol=1e-5)


def test_codes_are_all_levels_side_by_side(toys, codes):
    vqgan = toys.toy_vqgan()
    sight = Sight(vqgan=vqgan, input="codes")
    pictures = sight.see(sight.look_up(codes))
    assert pictures.shape == (2, 3, 2 * toys.CODE_DIM, 4, 4)
    assert pictures.shape[2:] == (sight.channels, sight.size, sight.size)
    books = vqgan.codebooks()
    top, bottom = (books[level] / books[level].std() for level in ("top", "bottom"))
    for row, column in ((0, 0), (1, 2), (3, 3)):
        seen = pictures[1, 2, :, row, column]
        assert torch.allclose(seen[: toys.CODE_DIM], top[codes["top"][1, 2, row // 2, column // 2]])
        assert torch.allclose(seen[toys.CODE_DIM :], bottom[codes["bottom"][1, 2, row, column]])


def test_gradients_reach_the_codes_of_a_frame_through_that_frame_alone(sight, codes):
    latents = {k: v.clone().requires_grad_() for k, v in sight.look_up(codes).items()}
    seen = sight.see(latents)[:, 1].square().sum()
    for gradient in torch.autograd.grad(seen, list(latents.values())):
        assert gradient[:, 1].abs().max() > 0
        assert gradient[:, [0, 2]].abs().max() == 0


def test_the_vqgan_takes_no_gradient(sight, codes):
    latents = {k: v.clone().requires_grad_() for k, v in sight.look_up(codes).items()}
    sight.see(latents).sum().backward()
    assert all(parameter.grad is None for parameter in sight.vqgan.parameters())
