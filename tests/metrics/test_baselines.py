import numpy as np
import pytest

from cvg.metrics.baselines import cross_fade, nearest_clips, repeat_last, shuffle_frames


def clips(seed, num=5, frames=6):
    return np.random.default_rng(seed).integers(0, 256, (num, frames, 4, 4, 3), dtype=np.uint8)


def test_the_last_context_frame_is_repeated_and_the_clips_stay_as_they_were():
    real = clips(0)
    before = real.copy()
    repeated = repeat_last(real, context_frames=2)
    np.testing.assert_array_equal(repeated[:, :2], real[:, :2])
    for frame in range(2, 6):
        np.testing.assert_array_equal(repeated[:, frame], real[:, 1])
    np.testing.assert_array_equal(real, before)


def test_a_cross_fade_goes_evenly_from_the_last_given_frame_to_the_goal():
    real = clips(0)
    real[:, 1], real[:, -1] = 40, 200
    faded = cross_fade(real, context_frames=2)
    np.testing.assert_array_equal(faded[:, [0, 1, -1]], real[:, [0, 1, -1]])
    assert faded[0, 1:, 0, 0, 0].tolist() == [40, 80, 120, 160, 200]
    with pytest.raises(ValueError, match="context_frames is 0"):
        cross_fade(real, context_frames=0)


def test_the_nearest_window_is_that_of_a_search_by_hand_however_it_is_streamed():
    real, windows = clips(1), clips(2, num=11)
    difference = real[:, None, :3].astype(float) - windows[None, :, :3]
    squared = np.square(difference).sum(axis=(2, 3, 4, 5))
    for size in (1, 4, 11):
        batches = (windows[start : start + size] for start in range(0, 11, size))
        found = nearest_clips(real, batches, context_frames=3)
        assert found.windows.tolist() == squared.argmin(axis=1).tolist()
        np.testing.assert_array_equal(found.clips[:, :3], real[:, :3])
        np.testing.assert_array_equal(found.clips[:, 3:], windows[found.windows][:, 3:])
        expected = np.sqrt(squared.min(axis=1) / (3 * 4 * 4 * 3))
        np.testing.assert_allclose(found.distances, expected)


def test_only_the_context_decides_and_of_equals_the_first():
    real = clips(3)
    windows = np.concatenate([clips(4), real, real])
    windows[5:, 3:] = clips(5, num=10)[:, 3:]
    found = nearest_clips(real, [windows[:7], windows[7:]], context_frames=3)
    assert found.windows.tolist() == [5, 6, 7, 8, 9]
    assert found.distances.tolist() == [0] * 5


def test_shuffling_keeps_the_frames_of_each_clip_and_moves_them_by_the_seed():
    real = clips(6, frames=12)
    shuffled = shuffle_frames(real, seed=0)
    assert sorted(frame.tobytes() for frame in shuffled[0]) == sorted(
        frame.tobytes() for frame in real[0]
    )
    assert not (shuffled == real).all()
    np.testing.assert_array_equal(shuffled, shuffle_frames(real, seed=0))
    assert not (shuffled == shuffle_frames(real, seed=1)).all()
    # A clip's order does not depend on how many clips there are.
    np.testing.assert_array_equal(shuffle_frames(real[:2], seed=0), shuffled[:2])
    same = np.tile(real[:1], (2, 1, 1, 1, 1))
    first, second = shuffle_frames(same, seed=0)
    assert not (first == second).all()


@pytest.mark.parametrize("context_frames", [0, 6])
def test_a_context_of_nothing_or_of_everything_is_refused(context_frames):
    with pytest.raises(ValueError, match="expected 1 to 5"):
        repeat_last(clips(0), context_frames=context_frames)
    with pytest.raises(ValueError, match="expected 1 to 5"):
        nearest_clips(clips(0), [clips(1)], context_frames=context_frames)


def test_no_training_window_is_an_error():
    with pytest.raises(ValueError, match="no training window"):
        nearest_clips(clips(0), [], context_frames=2)
