"""Drift by horizon, on videos of which it is known."""

import numpy as np
import pytest

from cvg.frames.pixels import changes
from cvg.metrics.drift import measure_drift
from cvg.metrics.networks import Networks

SIZE = 16


def noise(frames, seed=0, low=0, high=256):
    draws = np.random.default_rng(seed)
    return draws.integers(low, high, (frames, SIZE, SIZE, 3)).astype(np.uint8)


def measure(videos, real, context=4):
    return measure_drift(np.stack(videos), real, context_frames=context, networks=Networks())


def test_changes_by_hand():
    video = np.zeros((3, 2, 2, 3), np.uint8)
    video[1] = 10
    video[2] = 4
    assert changes(video).tolist() == [10, 6]


def test_horizons_double_and_leave_the_context_out():
    rows = measure([noise(100)], [noise(100)])
    assert [(row.first, row.end) for row in rows] == [(4, 16), (16, 32), (32, 64), (64, 100)]
    rows = measure([noise(20)], [noise(20)], context=16)
    assert [(row.first, row.end) for row in rows] == [(16, 20)]


def test_a_video_that_freezes_is_seen_to():
    video = noise(64)
    video[20:] = video[20]
    rows = measure([video], [noise(64, seed=1)])
    assert [row.repeated for row in rows] == pytest.approx([0, 11 / 16, 1])
    assert rows[0].motion == pytest.approx(rows[0].real_motion, rel=0.02)
    assert rows[2].motion == 0


def test_a_video_that_explodes_is_seen_to():
    calm, wild = noise(16, low=100, high=110), noise(16, seed=2)
    rows = measure([np.concatenate([calm, wild])], [noise(32, low=100, high=110)])
    assert rows[0].motion == pytest.approx(rows[0].real_motion, rel=0.05)
    assert rows[1].motion > 10 * rows[1].real_motion


def test_the_distance_of_changes_is_that_of_wasserstein():
    def stepping(*steps):
        levels = np.cumsum([0, *steps])
        return np.broadcast_to(levels[:, None, None, None], (len(levels), SIZE, SIZE, 3)).astype(
            np.uint8
        )

    real = stepping(*[2, 4] * 8)
    assert measure([real], [real])[0].motion_distance == 0
    # All changes are 3: one grey level from each of the real ones, and right on average.
    (row,) = measure([stepping(*[3] * 15)], [real])
    assert row.motion == pytest.approx(row.real_motion)
    assert row.motion_distance == pytest.approx(1)


def test_what_is_paired_ends_with_the_real_video():
    video = noise(64)
    rows = measure([video, video], [video[:24], noise(70, seed=1)])
    alone = measure([video], [video[:24]])
    assert alone[0].paired["psnr"] == alone[1].paired["psnr"] == 100  # identical
    assert "psnr" not in alone[2].paired
    assert 50 < rows[0].paired["psnr"] < 60  # identical, and noise
    assert rows[2].paired["psnr"] < 10


def test_the_change_into_the_first_frame_after_the_context_counts():
    video = np.zeros((16, SIZE, SIZE, 3), np.uint8)
    video[4:] = 12
    (row,) = measure([video], [video])
    assert row.motion == pytest.approx(1.0)  # once 12, eleven times 0
    assert row.repeated == pytest.approx(11 / 12)
