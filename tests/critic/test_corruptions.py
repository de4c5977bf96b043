"""What corruptions do to the order of frames, and what is said of each pair."""

import pytest
import torch

from cvg.critic.corruptions import CORRUPTIONS, TIME_CORRUPTIONS, arrange, draw_kinds, span

CLIPS, FRAMES = 200, 5


def made(kind, *, seed=0, videos=None):
    videos = torch.arange(CLIPS) % 7 if videos is None else videos
    rng = torch.Generator().manual_seed(seed)
    return arrange([kind] * CLIPS, frames=FRAMES, videos=videos, rng=rng)


def steps(found):
    return found.frames.diff(dim=1)


@pytest.mark.parametrize("kind", [None, *CORRUPTIONS])
def test_frames_are_in_reach_and_all_of_them_occur(kind):
    found = made(kind)
    assert found.frames.min() == 0
    last = span(FRAMES) - (2 if kind == "frozen" else 1)  # which never comes to its last frame
    assert found.frames.max() == last
    assert found.real.all() == (kind is None)
    assert found.noisy.all() == (kind == "noisy")


def test_a_real_clip_is_successive_frames_of_its_own_video():
    found = made(None)
    assert (steps(found) == 1).all()
    assert found.pairs.all()
    assert (found.clips == torch.arange(CLIPS)[:, None]).all()
    assert len(found.frames[:, 0].unique()) == FRAMES  # it begins anywhere


def test_a_shuffled_clip_has_the_same_frames_in_another_order_than_either_way():
    found = made("shuffled")
    ordered = found.frames.sort(1).values
    assert (ordered.diff(dim=1) == 1).all()
    assert not (steps(found) == 1).all(1).any()
    assert not (steps(found) == -1).all(1).any()
    assert torch.equal(found.pairs, steps(found) == 1)


def test_a_doubled_clip_leaves_out_every_second_frame():
    found = made("doubled")
    assert (steps(found) == 2).all()
    assert not found.pairs.any()


def test_a_frozen_clip_stands_still_from_some_frame_on_and_pairs_say_from_which():
    found = made("frozen")
    moves = steps(found)
    assert torch.equal(found.pairs, moves == 1)
    assert torch.equal(found.pairs, ~(moves == 0))
    assert (moves.diff(dim=1) <= 0).all()  # what stands still moves no more
    assert set(found.pairs.sum(1).tolist()) == set(range(FRAMES - 1))


def test_a_spliced_clip_goes_on_with_another_video_from_some_frame_on():
    found = made("spliced")
    numbers = torch.arange(CLIPS) % 7
    changes = found.clips.diff(dim=1) != 0
    assert (changes.sum(1) == 1).all()
    assert torch.equal(found.pairs, ~changes)
    assert (numbers[found.clips[:, 0]] != numbers[found.clips[:, -1]]).all()
    assert set(changes.float().argmax(1).tolist()) == set(range(FRAMES - 1))


def test_of_one_video_alone_a_clip_is_spliced_with_later_frames_of_its_own():
    found = made("spliced", videos=torch.zeros(CLIPS, dtype=torch.int64))
    assert (found.clips == torch.arange(CLIPS)[:, None]).all()
    assert torch.equal(found.pairs, steps(found) == 1)
    assert ((steps(found) == FRAMES) == ~found.pairs).all()
    assert found.frames.max() == span(FRAMES) - 1


@pytest.mark.parametrize("kind", [None, *CORRUPTIONS])
def test_a_batch_may_be_of_one_clip(kind):
    rng = torch.Generator().manual_seed(0)
    found = arrange([kind], frames=3, videos=torch.tensor([0]), rng=rng)
    assert found.frames.shape == (1, 3)


def test_noise_is_no_fault_of_time():
    found = made("noisy")
    assert (steps(found) == 1).all()
    assert set(TIME_CORRUPTIONS) == set(CORRUPTIONS) - {"noisy"}


def test_half_of_the_clips_are_real_and_the_others_of_all_kinds():
    kinds = draw_kinds(1000, rng=torch.Generator().manual_seed(0))
    assert kinds.count(None) == 500
    for kind in CORRUPTIONS:
        assert 60 < kinds.count(kind) < 140
