"""Copies, captions and the critic: each figure on clips of which the answer is known."""

import numpy as np
import pytest

from cvg.conditions.condition import Condition
from cvg.metrics.by_critic import critic_scores
from cvg.metrics.captions import read_captions, shows_what_is_told
from cvg.metrics.copying import nearest_distances
from cvg.shapes.draw import draw_frames
from cvg.shapes.grammar import caption
from cvg.shapes.world import WorldSettings, make_clip


@pytest.fixture
def training():
    return np.random.default_rng(0).integers(0, 256, (30, 5, 4, 4, 3), dtype=np.uint8)


def test_distances_to_the_nearest_window_by_hand(training):
    clips = np.random.default_rng(1).integers(0, 256, (4, 5, 4, 4, 3), dtype=np.uint8)
    found = nearest_distances(clips, [training[:20], training[20:]], first=2)
    for clip, distance in zip(clips, found, strict=True):
        squares = np.square(training[:, 2:].astype(float) - clip[2:]).mean(axis=(1, 2, 3, 4))
        assert distance == pytest.approx(np.sqrt(squares.min()))


def test_copies_are_seen_whatever_they_begin_with(training):
    copies = training[[3, 28]].copy()
    copies[:, :2] = 0
    real = np.random.default_rng(1).integers(0, 256, copies.shape, dtype=np.uint8)
    own, found = (nearest_distances(c, [training], first=2) for c in (real, copies))
    assert (found == 0).all()
    assert (found < own).all()


def test_new_clips_as_varied_as_real_ones_are_copied_by_half(training):
    real, new = np.random.default_rng(1).integers(0, 256, (2, 200, 5, 4, 4, 3), dtype=np.uint8)
    own, found = (nearest_distances(c, [training], first=1) for c in (real, new))
    assert (found < own).mean() == pytest.approx(0.5, abs=0.12)


def test_without_a_training_window_nothing_can_be_copied(training):
    with pytest.raises(ValueError, match="no training window"):
        nearest_distances(training, [], first=1)


@pytest.fixture(scope="module")
def shapes():
    """Clips of made shapes, and their captions."""
    world = WorldSettings()
    made = [make_clip(world, number) for number in range(6)]
    frames = [np.asarray(draw_frames(clip, world, n)) for n, clip in enumerate(made)]
    return np.stack(frames), [caption(clip.scene) for clip in made]


def test_made_shapes_are_caption_accuracy_and_their_neighbours_are_not(shapes):
    frames, captions = shapes
    scenes = read_captions(captions)
    assert shows_what_is_told(frames, scenes, first=2).mean() > 0.8
    different = [
        number
        for number in range(len(captions))
        if {(m.colour, m.shape) for m in scenes[number]}
        != {(m.colour, m.shape) for m in scenes[number - 1]}
    ]
    swapped = shows_what_is_told(np.roll(frames, -1, axis=0), scenes, first=2)
    assert not swapped[[n - 1 for n in different if n]].any()


def test_a_single_wrong_frame_counts_if_it_is_looked_at(shapes):
    frames, captions = shapes
    scenes = read_captions(captions)
    right = np.flatnonzero(shows_what_is_told(frames, scenes, first=0))
    spoilt = frames.copy()
    spoilt[:, 1] = 0
    assert not shows_what_is_told(spoilt, scenes, first=0).any()
    assert shows_what_is_told(spoilt, scenes, first=2)[right].all()


def test_captions_of_something_else_are_not_read():
    assert read_captions(["a red circle", "a young man in a car"]) is None
    assert read_captions(["a red circle", None]) is None


def test_the_critic_judges_each_clip_and_its_condition_alone(toys, critic, monkeypatch):
    vqgan = toys.toy_vqgan()
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (3, 6, toys.SIZE, toys.SIZE, 3), dtype=np.uint8)
    told = [Condition(caption="a red disc"), Condition(), Condition()]
    scores = critic_scores(critic, vqgan, clips, told)
    assert len(set(scores.tolist())) == 3
    monkeypatch.setattr("cvg.metrics.by_critic.CLIPS_AT_ONCE", 2)
    np.testing.assert_allclose(critic_scores(critic, vqgan, clips, told), scores, atol=1e-5)
    untold = critic_scores(critic, vqgan, clips, [Condition()] * 3)
    assert untold[0] != scores[0]
    np.testing.assert_allclose(untold[1:], scores[1:], atol=1e-5)
