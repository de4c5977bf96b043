"""The ways of shapes are what captions and actions say, and the same everywhere."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvg.shapes.draw import coverage, draw_frames, draw_map
from cvg.shapes.scene import DIRECTIONS, SHAPES, Borders, pace, radius
from cvg.shapes.world import STRAIGHT_STEPS, Path, WorldSettings, make_clip

settings = st.builds(
    WorldSettings,
    frames=st.integers(4, 30),
    size=st.integers(32, 80),
    seed=st.integers(0, 5),
    shapes=st.integers(1, 2),
    borders=st.sampled_from(Borders),
    texture=st.booleans(),
    turns=st.booleans(),
)
numbers = st.integers(0, 10_000)

GOLDEN = {
    (0, WorldSettings()): "442646625092cf91743f9d153108a48e80daede2a184b3b4ed3dca83cf6fcced",
    (
        7,
        WorldSettings(size=32, seed=3, shapes=2, turns=True),
    ): "471e74a0f5bcf65d5b8cc5f4a41cfca0d397b09daf3c53f30e833f9eb03c364e",
    (
        499,
        WorldSettings(frames=40, size=48, borders=Borders.BOUNCE, texture=False),
    ): "8951adb1c560d54a17535062562fa840e43917bfb2d490dc94c753f5307b6ee9",
}


@pytest.mark.parametrize(("number", "world"), GOLDEN, ids=str)
def test_the_bytes_of_a_clip_never_change(number, world):
    clip = make_clip(world, number)
    digest = hashlib.sha256()
    for array in (draw_frames(clip, world, number), draw_map(clip, world), clip.paths[0].steps):
        digest.update(array.tobytes())
    assert digest.hexdigest() == GOLDEN[number, world]


@given(settings, numbers)
def test_each_place_is_the_one_before_moved_by_its_step(world, number):
    across = 2 * world.size
    for path in make_clip(world, number).paths:
        moved = path.places[:-1] + path.steps[:-1]
        if world.borders == Borders.WRAP:
            moved %= across
        np.testing.assert_array_equal(path.places[1:], moved)
        edge = radius(world.size) if world.borders == Borders.BOUNCE else 0
        assert (path.places >= edge).all()
        assert (path.places <= across - edge).all()


@given(settings, numbers)
def test_what_a_caption_says_of_a_way_is_true(world, number):
    clip = make_clip(world, number)
    assert len(clip.scene) == world.shapes
    assert [mover.motion is None for mover in clip.scene] == [world.turns, False][: world.shapes]
    for mover, path in zip(clip.scene, clip.paths, strict=True):
        if mover.motion is None:
            continue
        told = np.array(DIRECTIONS[mover.motion.direction]) * pace(world.size, mover.motion.speed)
        lasts = STRAIGHT_STEPS if mover.motion.borders == Borders.BOUNCE else None
        assert (path.steps[:lasts] == told).all()
        assert (abs(path.steps) == abs(told)).all()


@given(settings, numbers)
def test_two_shapes_differ_and_begin_apart(world, number):
    clip = make_clip(world, number)
    if world.shapes == 2:
        first, second = clip.scene
        assert first.shape != second.shape
        assert first.colour != second.colour
        covers = [
            coverage(mover.shape, Path(places=path.places[:1], steps=path.steps[:1]), world.size)
            for mover, path in zip(clip.scene, clip.paths, strict=True)
        ]
        assert not (covers[0] * covers[1]).any()


def test_shapes_that_turn_turn_now_and_then():
    world = WorldSettings(frames=100, turns=True)
    steps = make_clip(world, 1).paths[0].steps
    turned = (steps[1:] != steps[:-1]).any(axis=1)
    assert 8 < turned.sum() < 30
    assert not turned[: STRAIGHT_STEPS - 1].any()


def test_clips_are_of_every_kind():
    clips = [make_clip(WorldSettings(frames=2), number).scene[0] for number in range(300)]
    assert len({clip.shape for clip in clips}) == len(SHAPES)
    assert len({clip.kind for clip in clips}) > 150


@given(settings, numbers)
def test_a_drawing_is_the_ground_outside_the_shapes_and_the_map_is_the_first_shape(world, number):
    clip = make_clip(world, number)
    frames, where = draw_frames(clip, world, number), draw_map(clip, world)
    assert frames.shape == (*where.shape, 3)
    covers = [
        coverage(mover.shape, path, world.size)
        for mover, path in zip(clip.scene, clip.paths, strict=True)
    ]
    outside = sum(covers) == 0
    assert frames[outside].max() < 32
    assert frames[covers[-1] == covers[-1].max()].max(axis=-1).min() >= 200
    np.testing.assert_array_equal(where == 255, covers[0] >= 32)
    assert set(np.unique(where)) == {0, 255}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_that_wraps_is_the_same_shape_rolled(shape):
    places = np.array([[64, 64], [1 + 64, 40], [2, 126], [1, 2]])
    path = Path(places=places, steps=np.zeros_like(places))
    covers = coverage(shape, path, 64)
    assert len(set(covers[[0, 2]].sum(axis=(1, 2)))) == 1
    np.testing.assert_array_equal(np.roll(covers[0], (31, -31), axis=(0, 1)), covers[2])
    np.testing.assert_array_equal(np.roll(covers[1], (-19, -32), axis=(0, 1)), covers[3])
