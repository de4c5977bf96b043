import numpy as np
import pytest

from cvg.metrics.intervals import interval_of_mean


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        interval = interval_of_mean(rng.normal(3, 2, 40), seed=trial)
        covered += interval.low <= 3 <= interval.high
    assert 0.88 <= covered / 200 <= 0.99


def test_clips_of_one_video_are_no_independent_witnesses():
    rng = np.random.default_rng(1)
    per_video = rng.normal(0, 1, 10)
    values = np.repeat(per_video, 30)
    videos = [f"video {index // 30}" for index in range(300)]
    by_video = interval_of_mean(values, videos=videos, seed=0)
    by_clip = interval_of_mean(values, seed=0)
    assert (by_video.unit, by_video.units) == ("video", 10)
    assert (by_clip.unit, by_clip.units) == ("clip", 300)
    assert by_video.high - by_video.low > 3 * (by_clip.high - by_clip.low)
    assert by_video.low < values.mean() < by_video.high


def test_videos_of_unequal_length_weigh_as_their_clips_do():
    values = np.concatenate([np.zeros(90), np.ones(10)])
    videos = ["a", "b", "c", "d", "e", "f"] * 15 + ["g"] * 10
    interval = interval_of_mean(values, videos=videos, seed=0)
    assert interval.low <= values.mean() <= interval.high


def test_the_seed_decides_and_nothing_else():
    values = np.random.default_rng(2).normal(0, 1, 20)
    assert interval_of_mean(values, seed=3) == interval_of_mean(values, seed=3)
    assert interval_of_mean(values, seed=3) != interval_of_mean(values, seed=4)


def test_with_few_videos_clips_are_resampled_and_with_few_clips_nothing_is_said():
    values = np.arange(8.0)
    interval = interval_of_mean(values, videos=["a"] * 4 + ["b"] * 4, seed=0)
    assert (interval.unit, interval.units) == ("clip", 8)
    assert interval_of_mean(values[:4], seed=0) is None


def test_constant_values_have_an_interval_of_no_width():
    interval = interval_of_mean(np.full(6, 2.5), seed=0)
    assert interval.low == interval.high == 2.5


def test_a_wrong_number_of_video_names_is_refused():
    with pytest.raises(ValueError, match="3 values but 2 video names"):
        interval_of_mean(np.zeros(3), videos=["a", "b"], seed=0)
