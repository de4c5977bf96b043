"""Sets of clips on which figures would mislead, and what is said of each."""

import numpy as np
import pytest

from cvg.errors import UserError
from cvg.metrics.inspect import inspect_clips, suspicions
from cvg.metrics.measure import joined


@pytest.fixture
def clips():
    return np.random.default_rng(0).integers(0, 256, (9, 5, 8, 8, 3), dtype=np.uint8)


def said(name, clips):
    """What is said of clips that were looked at in two parts."""
    return suspicions(name, joined([inspect_clips(some) for some in (clips[:4], clips[4:])]))


def test_of_usual_clips_nothing_is_said(clips):
    assert said("clips", clips) == []


def test_repeated_clips_are_named(clips):
    clips[8] = clips[3]
    (sentence,) = said("fake", clips)
    assert sentence.startswith("fake: 1 of 9 clips are there more than once (clip 9 is clip 4)")


def test_black_clips_are_counted(clips):
    clips[2] = 1
    clips[5] = 0
    (sentence,) = said("fake", clips)
    assert sentence == "fake: 2 of 9 clips are all black"


def test_colours_of_0_to_1_written_as_bytes_are_suspect(clips):
    sentences = said("fake", clips // 128)
    assert any("no value is above 1; expected 0 to 255" in sentence for sentence in sentences)


def test_sets_in_which_nothing_moves_are_suspect(clips):
    still = np.repeat(clips[:, :1], 5, axis=1)
    (sentence,) = said("fake", still)
    assert "nothing moves in 9 of 9 clips" in sentence
    half = np.concatenate([still[:4], clips[4:]])
    assert said("fake", half) == []


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        (lambda clips: clips.astype(np.float32) / 255, r"float32 of \[9, 5, 8, 8, 3\]"),
        (lambda clips: clips[..., :1], r"uint8 of \[9, 5, 8, 8, 1\]"),
        (lambda clips: np.moveaxis(clips, -1, 2), r"uint8 of \[9, 5, 3, 8, 8\]"),
    ],
)
def test_another_range_or_shape_is_refused(clips, changed, found):
    with pytest.raises(UserError, match=f"clips: found {found}; expected uint8 of clips"):
        inspect_clips(changed(clips))
