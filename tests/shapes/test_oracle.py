"""The oracle reads what was drawn, from pixels alone, and says when it cannot."""

import numpy as np
import pytest
from PIL import Image

from cvg.shapes.draw import draw_frames
from cvg.shapes.grammar import caption
from cvg.shapes.oracle import fidelity, path_error, read_clip, score
from cvg.shapes.scene import Borders, Mover
from cvg.shapes.world import WorldSettings, make_clip


def share_right(world, numbers, change=lambda frames: frames):
    clips = [make_clip(world, number) for number in numbers]
    return np.mean(
        [
            score(change(draw_frames(clip, world, number)), clip.scene)["all"]
            for clip, number in zip(clips, numbers, strict=True)
        ]
    )


def noisy(frames):
    noise = np.random.default_rng(0).integers(-8, 9, frames.shape)
    return (frames + noise).clip(0, 255).astype(np.uint8)


def blurred(frames):
    size = frames.shape[1]
    small = [Image.fromarray(frame).resize((size // 2, size // 2), 2) for frame in frames]
    return np.stack([np.asarray(frame.resize((size, size), 2)) for frame in small])


def test_clean_clips_are_read_right():
    assert share_right(WorldSettings(size=32, frames=8), range(200)) >= 0.995


@pytest.mark.parametrize("change", [noisy, blurred])
@pytest.mark.parametrize("shapes", [1, 2])
def test_noise_and_blur_are_read_through(shapes, change):
    assert share_right(WorldSettings(shapes=shapes), range(1000, 1020), change) >= 0.95


@pytest.mark.parametrize("borders", Borders)
@pytest.mark.parametrize("turns", [False, True])
def test_two_shapes_that_overlap_bounce_or_turn_are_read_right(borders, turns):
    world = WorldSettings(size=48, shapes=2, borders=borders, turns=turns)
    assert share_right(world, range(30)) >= 0.97


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize(("shapes", "count"), [(1, 2000), (2, 500)])
def test_many_clean_clips_are_read_right(shapes, count):
    assert share_right(WorldSettings(shapes=shapes), range(count)) >= 0.995


def test_places_are_exact_on_clean_clips():
    for number in range(20):
        world = WorldSettings(turns=True)
        clip = make_clip(world, number)
        (reading,) = read_clip(draw_frames(clip, world, number), 1)
        assert reading.clear.all()
        np.testing.assert_array_equal(reading.places, clip.paths[0].places / 2)


def test_places_that_are_called_clear_are_exact_where_shapes_overlap_too():
    world = WorldSettings(shapes=2, size=48)
    clear = 0
    for number in range(40):
        clip = make_clip(world, number)
        readings = read_clip(draw_frames(clip, world, number), 2)
        for mover, path in zip(clip.scene, clip.paths, strict=True):
            (reading,) = (found for found in readings if found.colour == mover.colour)
            sure = reading.clear
            np.testing.assert_array_equal(reading.places[sure], path.places[sure] / 2)
            clear += sure.mean() / 80
    assert 0.9 < clear < 1


def test_every_wrong_word_is_found():
    world = WorldSettings(size=32)
    clip = make_clip(world, 0)
    frames = draw_frames(clip, world, 0)
    right = clip.scene[0]
    assert caption(clip.scene) == "a white cross moves right slowly"
    told = {
        "shape": "a white diamond moves right slowly",
        "colour": "a cyan cross moves right slowly",
        "direction": "a white cross moves up right slowly",
        "speed": "a white cross moves right fast",
    }
    assert set(fidelity(frames, caption((right,))).values()) == {1.0}
    for wrong, text in told.items():
        shares = fidelity(frames, text)
        assert shares.pop("all") == 0
        assert shares == {name: float(name != wrong) for name in told}


def test_half_of_two_shapes_can_be_right_whatever_their_order():
    world = WorldSettings(shapes=2)
    clip = make_clip(world, 3)
    frames = draw_frames(clip, world, 3)
    assert set(score(frames, clip.scene[::-1]).values()) == {1.0}
    first, second = clip.scene
    other = next(name for name in ("circle", "square", "cross") if name != second.shape)
    swapped = (first, Mover(shape=other, colour=second.colour, motion=second.motion))
    expected = {"shape": 0.5, "colour": 1.0, "direction": 1.0, "speed": 1.0, "all": 0.0}
    assert score(frames, swapped) == expected


def test_a_clip_whose_shape_changes_midway_shows_it_frame_by_frame():
    world = WorldSettings()
    clips = [make_clip(world, number) for number in (0, 2)]
    parts = [draw_frames(clip, world, n)[:8] for clip, n in zip(clips, (0, 2), strict=True)]
    readings = {reading.colour: reading for reading in read_clip(np.concatenate(parts), 2)}
    for clip, frames in zip(clips, (slice(8), slice(8, 16)), strict=True):
        mover = clip.scene[0]
        reading = readings[mover.colour]
        assert set(reading.shapes[frames]) == {mover.shape}
        assert reading.colours.count(mover.colour) == 8
        assert np.isnan(reading.places).any(axis=1).sum() == 8


@pytest.mark.parametrize("count", [1, 2, 16])
@pytest.mark.parametrize("kind", ["black", "white", "noise", "single pixels"])
def test_what_shows_no_shape_is_not_told(kind, count):
    shape = (count, 64, 64, 3)
    frames = np.zeros(shape, dtype=np.uint8)
    if kind == "white":
        frames += 255
    elif kind == "noise":
        frames = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    elif kind == "single pixels":
        frames[:, ::7, ::5] = 255
    for reading in read_clip(frames, 2):
        assert reading.shape is reading.colour is reading.direction is reading.speed is None
    assert score(frames, make_clip(WorldSettings(), 0).scene)["all"] == 0


def test_a_shape_that_stands_still_has_no_direction():
    world = WorldSettings()
    clip = make_clip(world, 0)
    frames = np.repeat(draw_frames(clip, world, 0)[:1], 8, axis=0)
    (reading,) = read_clip(frames, 1)
    assert (reading.shape, reading.colour) == ("cross", "white")
    assert reading.direction is reading.speed is None


@pytest.mark.parametrize("borders", Borders)
def test_the_way_is_compared_with_the_actions(borders):
    world = WorldSettings(turns=True, shapes=2, borders=borders)
    clip = make_clip(world, 5)
    frames = draw_frames(clip, world, 5)
    actions = (clip.paths[0].steps / 2).astype(np.float32)
    assert path_error(frames, clip.scene, actions) == 0
    assert path_error(frames, clip.scene, actions + np.float32(3)) == pytest.approx(18**0.5)
    assert path_error(np.zeros_like(frames), clip.scene, actions) is None


def test_frames_that_are_not_square_are_refused():
    with pytest.raises(ValueError, match="expected squares"):
        read_clip(np.zeros((4, 32, 48, 3), dtype=np.uint8), 1)
