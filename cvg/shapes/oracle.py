"""Reading clips of moving shapes from their pixels alone, to measure whether a clip is as told.

What cannot be told is None; no clip makes it fail.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from cvg.shapes.draw import FULL, stamp
from cvg.shapes.grammar import parse
from cvg.shapes.scene import (
    COLOURS,
    DIRECTIONS,
    SHAPES,
    SPEEDS,
    Borders,
    Mover,
    Scene,
    pace,
    radius,
)
from cvg.shapes.world import STRAIGHT_STEPS

ATTRIBUTES = ("shape", "colour", "direction", "speed")

# Shares of a pixel's colour; below, it is the ground with its texture and noise.
_MIN_COVER = 0.25
# Shares of the smallest shape's area that make a shape, and of a colour that lie in one place.
_MIN_AREA = 0.25
_MIN_TOGETHER = 0.6
# Agreement with the outline, 1 where it is equal; the other shapes reach 0.6 to 0.9.
_MIN_MATCH = 0.6
# Frames that match worse than this share of the best one are left out of the vote: shapes overlap.
_CLEAR = 0.9
# Half pixels around the middle of a patch of colour where its outline is searched.
_SEARCH = 3


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the pixels say of one shape.

    Attributes:
        shape: one of SHAPES, by the votes of the frames; None where nothing matches.
        colour: one of COLOURS; None where no colour stands together.
        direction: one of DIRECTIONS; None where it stands still or is seen too little.
        speed: one of SPEEDS; None where `direction` is.
        places: the centre in each frame, pixels right and down; NaN where it is not seen.
        shapes: as `shape`, of each frame alone.
        colours: as `colour`, of each frame alone.
        clear: the frames whose places are sure.
    """

    shape: str | None
    colour: str | None
    direction: str | None
    speed: str | None
    places: Float64[np.ndarray, "t 2"]
    shapes: tuple[str | None, ...]
    colours: tuple[str | None, ...]
    clear: Bool[np.ndarray, " t"]


def read_clip(
    frames: UInt8[np.ndarray, "t h w 3"], num_shapes: int, *, borders: Borders = Borders.WRAP
) -> list[Reading]:
    """Read `num_shapes` shapes from a clip, the largest patch of colour first.

    Args:
        frames: square, of the size at which the shapes were made.
        num_shapes: as many are looked for.
        borders: with BOUNCE, direction and speed are those of the first steps.

    Raises:
        ValueError: the frames are not square.
    """
    if frames.shape[1] != frames.shape[2]:
        raise ValueError(f"frames of {frames.shape[2]} x {frames.shape[1]}; expected squares")
    covers = _covers(frames)
    # More than a large shape is noise or ground, and weighs no more.
    areas = np.minimum(covers.sum(axis=(2, 3)), 2 * _smallest(frames.shape[1]))
    order = np.argsort(-areas.sum(axis=1), kind="stable")
    return [
        _read_shape(covers[number], list(COLOURS)[number], borders)
        for number in order[:num_shapes].tolist()
    ]


def score(frames: UInt8[np.ndarray, "t h w 3"], scene: Scene) -> dict[str, float]:
    """Give for each attribute the share of a scene's shapes that have it right in a clip.

    Attributes that the scene leaves open are left out. `all` is 1.0 where everything is right,
    else 0.0. Which shape is which is chosen in favour of the clip.
    """
    found = _match(frames, scene)
    rights: dict[str, list[bool]] = {}
    for mover, reading in zip(scene, found, strict=True):
        for name, right in _compare(mover, reading).items():
            rights.setdefault(name, []).append(right)
    shares = {name: sum(right) / len(right) for name, right in rights.items()}
    return shares | {"all": float(all(share == 1 for share in shares.values()))}


def fidelity(frames: UInt8[np.ndarray, "t h w 3"], caption: str) -> dict[str, float]:
    """Give the `score` of a clip that should show what a caption says.

    Raises:
        ValueError: the caption is none of shapes.
    """
    return score(frames, parse(caption))


def path_error(
    frames: UInt8[np.ndarray, "t h w 3"], scene: Scene, actions: Float32[np.ndarray, "t 2"]
) -> float | None:
    """Give the median distance in pixels of the first shape's steps from those it was told.

    Args:
        frames: the clip.
        scene: what it shows; the first shape is the one that `actions` move.
        actions: pixels right and down from each frame to the next.

    Returns:
        None where no step can be read.
    """
    reading = _match(frames, scene)[0]
    steps = _steps(reading.places, frames.shape[1])
    known = reading.clear[1:] & reading.clear[:-1]
    if not known.any():
        return None
    return float(np.median(np.hypot(*(steps - actions[:-1])[known].T)))


def _match(frames: UInt8[np.ndarray, "t h w 3"], scene: Scene) -> Sequence[Reading]:
    """Give a reading for each shape of a scene, so that most is right."""
    bounces = any(
        mover.motion is not None and mover.motion.borders == Borders.BOUNCE for mover in scene
    )
    borders = Borders.BOUNCE if bounces else Borders.WRAP
    readings = read_clip(frames, len(scene), borders=borders)
    return max(
        permutations(readings),
        key=lambda order: sum(
            sum(_compare(mover, reading).values())
            for mover, reading in zip(scene, order, strict=True)
        ),
    )


def _compare(mover: Mover, reading: Reading) -> dict[str, bool]:
    right = {"shape": mover.shape == reading.shape, "colour": mover.colour == reading.colour}
    if mover.motion is not None:
        right["direction"] = mover.motion.direction == reading.direction
        right["speed"] = mover.motion.speed == reading.speed
    return right


def _covers(frames: UInt8[np.ndarray, "t h w 3"]) -> Float32[np.ndarray, "c t h w"]:
    """Say for each colour how much of each pixel it covers, 0 to 1; one colour has a pixel."""
    ground = np.median(frames[:, ::2, ::2].reshape(-1, 3), axis=0).astype(np.float32)
    palette = np.array(list(COLOURS.values()), dtype=np.float32) - ground
    lengths = np.maximum(np.linalg.norm(palette, axis=1), 1)
    # Most pixels are ground; no channel of theirs is far enough off to be covered.
    off = _MIN_COVER * lengths.min() / np.sqrt(3)
    red, green, blue = (np.abs(frames[..., part] - ground[part]) >= off for part in range(3))
    place = np.nonzero(red | green | blue)
    along = (frames[place] - ground) @ (palette / lengths[:, None]).T
    best = along.argmax(axis=1)
    cover = np.minimum(along[np.arange(len(best)), best] / lengths[best], 1)
    cover[cover < _MIN_COVER] = 0
    covers = np.zeros((len(COLOURS), *frames.shape[:3]), dtype=np.float32)
    covers[best, *place] = cover
    return covers


def _read_shape(cover: Float32[np.ndarray, "t h w"], colour: str, borders: Borders) -> Reading:
    size = cover.shape[1]
    outlines = _outlines(size)
    area = cover.sum(axis=(1, 2))
    middles = _middles(cover)
    patches = _patches(cover, middles, outlines.margin)
    seen = (area >= _MIN_AREA * _smallest(size)) & (
        patches.sum(axis=(1, 2)) >= _MIN_TOGETHER * area
    )
    matches = outlines.compare(patches) * seen[:, None, None]
    by_shape = matches.max(axis=2)
    best = by_shape.max(axis=1)
    alike = seen & (best >= _MIN_MATCH)
    clear = alike & (best >= _CLEAR * best.max(initial=0))
    shape, places = None, middles.astype(np.float64)
    if clear.any():
        shape = int(by_shape[clear].sum(axis=0).argmax())
        chosen = matches[:, shape].argmax(axis=1)
        places = (places + outlines.offsets[shape, chosen] / 2) % size
    places[~seen] = np.nan
    sure = seen if shape is None else clear
    direction, speed = _heading(places, sure, size, borders)
    each = np.where(alike, by_shape.argmax(axis=1), -1).tolist()
    return Reading(
        shape=None if shape is None else SHAPES[shape],
        colour=colour if 2 * seen.sum() >= len(seen) else None,
        direction=direction,
        speed=speed,
        places=places,
        shapes=tuple(SHAPES[number] if number >= 0 else None for number in each),
        colours=tuple(colour if ok else None for ok in seen),
        clear=sure,
    )


def _middles(cover: Float32[np.ndarray, "t h w"]) -> Int64[np.ndarray, "t 2"]:
    """Give the pixel, right and down, at the middle of the covered ones, on a picture that wraps.

    The first wave of the sums over rows and columns points there.
    """
    size = cover.shape[1]
    turns = (np.arange(size) + 0.5) / size
    wave = np.exp(2j * np.pi * turns)
    sums = np.stack([cover.sum(axis=1), cover.sum(axis=2)], axis=1)
    places = np.angle(sums @ wave) / (2 * np.pi) * size
    return np.floor(places).astype(np.int64) % size


def _patches(
    cover: Float32[np.ndarray, "t h w"], middles: Int64[np.ndarray, "t 2"], margin: int
) -> Float32[np.ndarray, "t k k"]:
    """Cut a square of `margin` pixels on each side of the middle out of each frame."""
    size = cover.shape[1]
    places = (middles[:, :, None] + np.arange(-margin, margin + 1)) % size
    frame = np.arange(len(cover))[:, None, None]
    return cover[frame, places[:, 1, :, None], places[:, 0, None, :]]


@dataclass(frozen=True, kw_only=True)
class _Outlines:
    """Every shape, at every place near the middle of a patch.

    Attributes:
        margin: pixels on each side of the middle one.
        pictures: how much of each pixel they cover, 0 to 1.
        offsets: where their centres lie, half pixels right of and below the corner at which the
            middle pixel starts.
    """

    margin: int
    pictures: Float32[np.ndarray, "shapes o n"]
    offsets: Int64[np.ndarray, "shapes o 2"]

    def compare(self, patches: Float32[np.ndarray, "t k k"]) -> Float32[np.ndarray, "t shapes o"]:
        """Give the intersection over the union, 1 where patch and outline are equal."""
        flat = patches.reshape(len(patches), -1)
        outlines = self.pictures.reshape(-1, flat.shape[1])
        both = flat @ outlines.T
        union = (flat**2).sum(1)[:, None] + (outlines**2).sum(1) - both
        return (both / union).reshape(len(patches), *self.pictures.shape[:2])


@functools.cache
def _outlines(size: int) -> _Outlines:
    reach = radius(size)
    margin = 2 * reach // 3 + 3
    near = range(-_SEARCH, _SEARCH + 2)
    pictures, offsets = [], []
    for shape in SHAPES:
        # The centre of a triangle's box lies above its middle.
        lift = round(reach / 3) if shape == "triangle" else 0
        places = [(x, y - lift) for y in near for x in near]
        pictures.append([_picture(shape, reach, place, margin) for place in places])
        offsets.append(places)
    flat = np.array(pictures, dtype=np.float32).reshape(len(SHAPES), len(near) ** 2, -1)
    return _Outlines(margin=margin, pictures=flat / FULL, offsets=np.array(offsets))


def _picture(
    shape: str, reach: int, place: tuple[int, int], margin: int
) -> Int64[np.ndarray, "k k"]:
    mark = stamp(shape, reach, (place[0] % 2, place[1] % 2))
    picture = np.zeros((2 * margin + 1, 2 * margin + 1), dtype=np.int64)
    left, top = (margin + way // 2 - len(mark) // 2 for way in place)
    picture[top : top + len(mark), left : left + len(mark)] = mark
    return picture


def _heading(
    places: Float64[np.ndarray, "t 2"],
    sure: Bool[np.ndarray, " t"],
    size: int,
    borders: Borders,
) -> tuple[str | None, str | None]:
    """Give direction and speed by the steps between successive sure frames."""
    last = STRAIGHT_STEPS if borders == Borders.BOUNCE else None
    known = (sure[1:] & sure[:-1])[:last]
    if not known.any():
        return None, None
    x, y = _middle_mean(_steps(places, size)[:last][known])
    slow, fast = (pace(size, speed) / 2 for speed in SPEEDS)
    length = max(abs(x), abs(y))
    if length < slow / 2:
        return None, None
    angles = [np.arctan2(way[1], way[0]) for way in DIRECTIONS.values()]
    off = np.abs((np.arctan2(y, x) - np.array(angles) + np.pi) % (2 * np.pi) - np.pi)
    return list(DIRECTIONS)[int(off.argmin())], SPEEDS[int(2 * length > slow + fast)]


def _steps(places: Float64[np.ndarray, "t 2"], size: int) -> Float64[np.ndarray, "s 2"]:
    """Give the way from each frame to the next in pixels, the shorter way round."""
    return (np.diff(places, axis=0) + size / 2) % size - size / 2


def _middle_mean(steps: Float64[np.ndarray, "s 2"]) -> Float64[np.ndarray, "2"]:
    """Give the mean of the middle half along each axis: finer than a median, and as steady."""
    cut = len(steps) // 4
    return np.sort(steps, axis=0)[cut : len(steps) - cut].mean(axis=0)


def _smallest(size: int) -> float:
    """Give the area of the smallest shapes, the diamond and the triangle, in pixels."""
    return radius(size) ** 2 / 2
