"""Augmented frames show what the frames showed."""

import pytest
import torch

from cvg.vqgan.augment import augment

B, SIZE = 64, 8


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def frames():
    """Every pixel of a picture has a value of its own; rows and columns can be read off."""
    pixels = torch.arange(SIZE * SIZE, dtype=torch.float32).reshape(1, 1, SIZE, SIZE)
    return pixels.expand(B, 3, SIZE, SIZE) + torch.tensor([0.0, 100.0, 200.0])[:, None, None]


def moved(frames, down, right):
    """Move pictures down and to the right; edges are repeated."""
    rows = (torch.arange(SIZE) - down).clamp(0, SIZE - 1)
    columns = (torch.arange(SIZE) - right).clamp(0, SIZE - 1)
    return frames[..., rows, :][..., columns]


def test_nothing_is_changed_where_nothing_is_asked(frames):
    assert torch.equal(augment(frames, flip=False, shift=0, rng=rng()), frames)


def test_about_half_of_the_frames_are_mirrored(frames):
    result = augment(frames, flip=True, shift=0, rng=rng())
    mirrored = [torch.equal(new, old.flip(-1)) for new, old in zip(result, frames, strict=True)]
    kept = [torch.equal(new, old) for new, old in zip(result, frames, strict=True)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 20 <= sum(mirrored) <= 44


def test_every_shift_up_to_the_limit_occurs_in_both_directions_and_no_other(frames):
    result = augment(frames, flip=False, shift=1, rng=rng())
    seen = set()
    for new, old in zip(result, frames, strict=True):
        fits = [
            (down, right)
            for down in range(-3, 4)
            for right in range(-3, 4)
            if torch.equal(new, moved(old, down, right))
        ]
        assert len(fits) == 1
        seen |= set(fits)
    assert seen == {(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)}


def test_the_draws_are_the_same_in_number_whatever_the_settings(frames):
    states = []
    for flip, shift in ((False, 0), (True, 0), (False, 3), (True, 3)):
        draws = rng()
        augment(frames, flip=flip, shift=shift, rng=draws)
        states.append(draws.get_state())
    assert all(torch.equal(state, states[0]) for state in states)


def test_the_same_frames_are_mirrored_with_and_without_shifts(frames):
    plain = augment(frames, flip=True, shift=0, rng=rng(4))
    shifted = augment(frames, flip=True, shift=2, rng=rng(4))
    for one, other in zip(plain, shifted, strict=True):
        assert torch.sign(one[0, 4, 5] - one[0, 4, 2]) == torch.sign(
            other[0, 4, 5] - other[0, 4, 2]
        )


def test_the_same_seed_gives_the_same_frames(frames):
    first, second, other = (augment(frames, flip=True, shift=3, rng=rng(s)) for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_successive_frames_are_changed_alike(frames):
    result = augment(frames, flip=True, shift=3, successive=2, rng=rng())
    pairs = result.unflatten(0, (-1, 2))
    assert torch.equal(pairs[:, 0], pairs[:, 1])
    assert not torch.equal(pairs[0], pairs[1])
