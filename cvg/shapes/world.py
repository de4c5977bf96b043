"""Where the shapes of a clip are in each frame: whole numbers of half pixels, drawn from hashes.

Nothing here depends on the machine, on a library's random numbers or on how many clips are made.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from cvg.shapes.scene import (
    COLOURS,
    DIRECTIONS,
    SHAPES,
    SPEEDS,
    Borders,
    Motion,
    Mover,
    Scene,
    pace,
    radius,
)

# A bouncing shape goes straight for this many steps first, so that its start can be seen.
STRAIGHT_STEPS = 3
_FRAMES_BETWEEN_TURNS = 6


@dataclass(frozen=True, kw_only=True)
class WorldSettings:
    """What all clips of a set share.

    Attributes:
        frames: frames of a clip.
        size: height and width, pixels.
        seed: clip k depends on it, on k and on the other fields alone.
        shapes: shapes in a clip, 1 or 2.
        borders: what happens at the edge.
        texture: whether the ground has a faint pattern, another one in each clip.
        turns: whether the first shape changes its direction at random times.
    """

    frames: int = 16
    size: int = 64
    seed: int = 0
    shapes: int = 1
    borders: Borders = Borders.WRAP
    texture: bool = True
    turns: bool = False


@dataclass(frozen=True, kw_only=True)
class Path:
    """The way of one shape, in half pixels, right and down.

    Attributes:
        places: the centre in each frame.
        steps: the way from each frame to the next one; of the last frame, as if it went on.
    """

    places: Int64[np.ndarray, "t 2"]
    steps: Int64[np.ndarray, "t 2"]


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip before it is drawn: what it shows, and the way of each shape."""

    scene: Scene
    paths: tuple[Path, ...]


def draw(below: int, *purpose: str | int) -> int:
    """Give a number from 0 to `below` - 1 for a purpose, the same on every machine.

    >>> draw(1000, 0, "example") == draw(1000, 0, "example")
    True
    """
    text = "/".join(str(part) for part in purpose)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % below


def make_clip(settings: WorldSettings, number: int) -> Clip:
    """Draw what clip `number` shows, and the ways of its shapes.

    Two shapes differ in shape and colour, and lie apart in the first frame.
    """
    scene: list[Mover] = []
    paths: list[Path] = []
    for place in range(settings.shapes):
        key = (settings.seed, number, place)
        turns = settings.turns and place == 0
        taken = {name for mover in scene for name in (mover.shape, mover.colour)}
        shape = _choose([name for name in SHAPES if name not in taken], *key, "shape")
        colour = _choose([name for name in COLOURS if name not in taken], *key, "colour")
        motion = Motion(
            direction=_choose([*DIRECTIONS], *key, "direction"),
            speed=_choose([*SPEEDS], *key, "speed"),
            borders=settings.borders,
        )
        scene.append(Mover(shape=shape, colour=colour, motion=None if turns else motion))
        first = paths[0].places[0] if paths else None
        paths.append(_make_path(settings, motion, first, key, turns=turns))
    return Clip(scene=tuple(scene), paths=tuple(paths))


def _choose(names: list[str], *purpose: str | int) -> str:
    return names[draw(len(names), *purpose)]


def _make_path(
    settings: WorldSettings,
    motion: Motion,
    other: Int64[np.ndarray, "2"] | None,
    key: tuple[int, ...],
    *,
    turns: bool,
) -> Path:
    speed = pace(settings.size, motion.speed)
    step = np.array(DIRECTIONS[motion.direction], dtype=np.int64) * speed
    place = _start(settings, step, other, key)
    places, steps = [], []
    for frame in range(settings.frames):
        if turns and frame >= STRAIGHT_STEPS:
            step = _turn(step, speed, *key, frame)
        if settings.borders == Borders.BOUNCE:
            step = np.where(_is_inside(settings, place + step), step, -step)
        places.append(place)
        steps.append(step)
        place = place + step
        if settings.borders == Borders.WRAP:
            place = place % (2 * settings.size)
    return Path(places=np.stack(places), steps=np.stack(steps))


def _turn(step: Int64[np.ndarray, "2"], speed: int, *key: int) -> Int64[np.ndarray, "2"]:
    if draw(_FRAMES_BETWEEN_TURNS, *key, "turn"):
        return step
    others = [way for way in DIRECTIONS.values() if (np.array(way) * speed != step).any()]
    return np.array(others[draw(len(others), *key, "way")], dtype=np.int64) * speed


def _is_inside(settings: WorldSettings, place: Int64[np.ndarray, "2"]) -> Bool[np.ndarray, "2"]:
    """Say for each axis whether a shape there lies within the picture."""
    edge = radius(settings.size)
    return (place >= edge) & (place <= 2 * settings.size - edge)


def _start(
    settings: WorldSettings,
    step: Int64[np.ndarray, "2"],
    other: Int64[np.ndarray, "2"] | None,
    key: tuple[int, ...],
) -> Int64[np.ndarray, "2"]:
    """Draw a first place, until it is apart from the other shape's."""
    across = 2 * settings.size
    low, high = np.zeros(2, np.int64), np.full(2, across - 1)
    if settings.borders == Borders.BOUNCE:
        low = radius(settings.size) - np.minimum(0, STRAIGHT_STEPS * step)
        high = across - radius(settings.size) - np.maximum(0, STRAIGHT_STEPS * step)
    attempt = 0
    while True:
        spans = zip(low.tolist(), high.tolist(), "xy", strict=True)
        place = np.array(
            [lo + draw(hi - lo + 1, *key, "start", axis, attempt) for lo, hi, axis in spans]
        )
        if other is None:
            return place
        # The shorter way round, which is also right where nothing wraps but too careful.
        gaps = np.abs((place - other + settings.size) % across - settings.size)
        if gaps.max() > 2 * radius(settings.size):
            return place
        attempt += 1
