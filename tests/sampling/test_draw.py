"""Drawing follows the probabilities, and each video its own random numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cvg.sampling.draw import Dice, draw

CPU = torch.device("cpu")


def uniforms_of_videos(seed, names, *, count, level):
    return Dice(seed, names, level=level, device=CPU).roll(count)


def test_drawing_by_hand():
    probabilities = torch.tensor([[0.25, 0.5, 0.25]]).expand(6, 3)
    uniforms = torch.tensor([0.0, 0.24, 0.25, 0.74, 0.75, 0.999])
    assert draw(probabilities, uniforms).tolist() == [0, 0, 1, 1, 2, 2]


def test_frequencies_are_the_probabilities():
    count = 20_000
    probabilities = torch.tensor([0.5, 0.3, 0.0, 0.15, 0.05])
    uniforms = torch.rand(count, generator=torch.Generator().manual_seed(0))
    codes = draw(probabilities.expand(count, 5), uniforms)
    found = torch.bincount(codes, minlength=5) / count
    deviation = (probabilities * (1 - probabilities) / count).sqrt()
    assert ((found - probabilities).abs() <= 4 * deviation).all()


JUST_BELOW_ONE = [1 - 2.0**-24, 1 - 2.0**-53]


@pytest.mark.parametrize("uniform", [0.0, *JUST_BELOW_ONE])
@pytest.mark.parametrize("only", [0, 3, 6])
def test_what_is_impossible_is_never_drawn(uniform, only):
    probabilities = torch.zeros(1, 7)
    probabilities[0, only] = 1
    assert draw(probabilities, torch.tensor([uniform], dtype=torch.float64)).tolist() == [only]


@settings(deadline=None)
@given(
    weights=arrays(np.float32, 50, elements=st.sampled_from([0.0, 1e-30, 1e-6, 0.1, 1.0, 3.0])),
    uniform=st.sampled_from([0.0, *JUST_BELOW_ONE]) | st.floats(0, 1, exclude_max=True),
)
def test_what_is_impossible_is_never_drawn_from_rounded_sums_either(weights, uniform):
    if weights.sum() == 0:
        return
    probabilities = torch.from_numpy(weights / weights.sum())[None]
    (code,) = draw(probabilities, torch.tensor([uniform], dtype=torch.float64)).tolist()
    assert probabilities[0, code] > 0


def test_rounding_in_the_sum_never_leads_past_the_last_code():
    probabilities = torch.full((1, 10), 0.0999999)
    assert draw(probabilities, torch.tensor([1 - 2.0**-24])).tolist() == [9]


def test_rows_are_drawn_each_with_its_own_number():
    probabilities = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.9, 0.1]])
    assert draw(probabilities, torch.tensor([0.1, 0.9, 0.8])).tolist() == [0, 1, 0]


def test_the_numbers_of_a_video_do_not_depend_on_the_others_or_the_order():
    together = uniforms_of_videos(0, ["a", "b", "c"], count=9, level="top")
    reverse = uniforms_of_videos(0, ["c", "b", "a"], count=9, level="top")
    alone = uniforms_of_videos(0, ["b"], count=9, level="top")
    assert torch.equal(together, reverse.flip(0))
    assert torch.equal(together[1:2], alone)


def test_videos_levels_and_seeds_have_different_numbers():
    rows = torch.cat(
        [
            uniforms_of_videos(seed, ["a", "b"], count=9, level=level)
            for seed in (0, 1)
            for level in ("top", "bottom")
        ]
    )
    assert len(rows.unique(dim=0)) == 8
    assert (rows >= 0).all()
    assert (rows < 1).all()


def test_a_longer_video_begins_with_the_numbers_of_a_shorter_one():
    short = uniforms_of_videos(0, ["a"], count=7, level="top")
    long = uniforms_of_videos(0, ["a"], count=700, level="top")
    assert torch.equal(long[:, :7], short)


def test_numbers_that_are_rolled_in_parts_are_those_rolled_at_once():
    dice = Dice(0, ["a", "b"], level="top", device=CPU)
    parts = torch.cat([dice.roll(count) for count in (1, 4, 2)], dim=1)
    assert torch.equal(parts, uniforms_of_videos(0, ["a", "b"], count=7, level="top"))


def test_whole_frames_are_drawn_like_single_codes():
    probabilities = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0))
    probabilities /= probabilities.sum(-1, keepdim=True)
    uniforms = torch.rand(2, 5, generator=torch.Generator().manual_seed(1))
    one_by_one = [draw(probabilities[:, i], uniforms[:, i]) for i in range(5)]
    assert torch.equal(draw(probabilities, uniforms), torch.stack(one_by_one, dim=1))
