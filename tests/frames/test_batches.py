"""Batches of frames: which frames, in which order."""

from itertools import pairwise

import pytest
import torch

from cvg.errors import UserError
from cvg.frames.batches import FrameBatches


@pytest.fixture(scope="module")
def store(toys, tmp_path_factory):
    return toys.write_frames(tmp_path_factory.mktemp("batches") / "frames")


@pytest.fixture(scope="module")
def training_frames(store):
    """All training frames in [-1, 1], and for each the one that follows it, where there is one."""
    frames, followers = [], []
    for segment in store.segments("train"):
        window = store.window(segment, 0, segment.num_frames)
        units = torch.from_numpy(window).permute(0, 3, 1, 2) / 127.5 - 1
        frames += list(units)
        followers += [*units[1:], None]
    return frames, followers


def which(frame, frames):
    """The number of a frame in a list."""
    return next(n for n, other in enumerate(frames) if torch.equal(frame, other))


def test_in_order_gives_every_frame_once(store, training_frames):
    frames, _ = training_frames
    found = torch.cat(list(FrameBatches(store, "train").in_order(5, most=1000)))
    assert torch.equal(found, torch.stack(frames))


def test_a_larger_set_is_thinned_out_evenly(store, training_frames):
    frames, _ = training_frames
    batches = list(FrameBatches(store, "train").in_order(3, most=4))
    assert [len(batch) for batch in batches] == [3, 1]
    numbers = [which(frame, frames) for frame in torch.cat(batches)]
    gaps = [b - a for a, b in pairwise(numbers)]
    assert max(gaps) - min(gaps) <= 1


def test_random_frames_are_training_frames_by_the_generator(store, training_frames):
    frames, _ = training_frames
    batches = FrameBatches(store, "train")
    first, again = (batches.random(8, rng=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert len({which(frame, frames) for frame in first}) > 2


def test_successive_frames_lie_beside_each_other(store, training_frames):
    frames, followers = training_frames
    drawn = FrameBatches(store, "train", successive=2).random(
        40, rng=torch.Generator().manual_seed(0)
    )
    assert len(drawn) == 40
    for earlier, later in drawn.unflatten(0, (-1, 2)):
        follower = followers[which(earlier, frames)]
        assert follower is not None
        assert torch.equal(later, follower)


def test_segments_without_enough_frames_in_a_row_are_an_error(store):
    with pytest.raises(UserError, match="no train frames with 100 in a row, which"):
        FrameBatches(store, "train", successive=100)
