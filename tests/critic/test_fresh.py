"""The judge that was not in the loop: chance where there is no difference, sure where there is."""

import pytest
import torch

from cvg.critic.fresh import fresh_area
from cvg.critic.model import CriticShape

SHAPE = CriticShape(
    frames=3,
    channels=2,
    size=4,
    cells=4,
    width=16,
    layers=1,
    heads=2,
    dropout=0.0,
    picture_dropout=0.0,
)


def clips(count, seed, *, frames=6):
    """Things that move to the right, cell by cell."""
    starts = torch.randint(4, (count,), generator=torch.Generator().manual_seed(seed))
    places = (starts[:, None] + torch.arange(frames)) % 4
    pictures = torch.zeros(count, frames, 2, 4, 4)
    pictures[:, :, 0] = torch.nn.functional.one_hot(places, 4).float()[:, :, None]
    return pictures


def area(real, other, seed=0):
    return fresh_area(real, other, shape=SHAPE, steps=60, seed=seed)


def test_what_is_alike_cannot_be_told_apart():
    assert area(clips(60, 0), clips(60, 1)) == pytest.approx(0.5, abs=0.15)


def test_another_order_and_standing_still_are_told_from_the_right_order():
    assert area(clips(40, 0), clips(40, 1).flip(1)) > 0.95
    frozen = clips(40, 1)
    frozen[:, 3:] = frozen[:, 2:3]
    assert area(clips(40, 0), frozen) > 0.95


def test_the_same_seed_gives_the_same_area():
    noise = torch.randn(20, 6, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    first, again, other = (area(clips(20, 0), clips(20, 1) + noise, seed) for seed in (0, 0, 1))
    assert first == again
    assert isinstance(other, float)


def test_it_is_scored_on_clips_that_it_has_not_seen():
    """Marks that tell the kinds of the first half apart are of no use for the second."""
    real, other = clips(40, 0), clips(40, 1)
    other[:20, :, 1] = 1.0
    assert area(real, other) == pytest.approx(0.5, abs=0.2)
