"""Pictures of moving shapes in whole numbers, so that every machine draws the same bytes."""

import functools
import hashlib

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from cvg.shapes.scene import COLOURS, radius
from cvg.shapes.world import Clip, Path, WorldSettings

GROUND = (18, 18, 22)
_TEXTURE = 8  # grey levels, up and down
_TEXTURE_CELLS = 8  # across the picture
_SUB = 8  # samples a pixel along each axis
FULL = _SUB * _SUB


@functools.cache
def stamp(shape: str, reach: int, phase: tuple[int, int]) -> Int64[np.ndarray, "k k"]:
    """Give how much of each pixel a shape covers, 0 to FULL, in the square around it.

    Args:
        shape: one of SHAPES.
        reach: half its width, half pixels.
        phase: half pixels, 0 or 1, that its centre lies right of and below the corner at which the
            middle pixel starts.
    """
    margin = reach // 2 + 1
    # In halves of the samples' spacing, so that the centres of samples are whole numbers.
    samples = 2 * np.arange(-margin * _SUB, (margin + 1) * _SUB, dtype=np.int64) + 1
    x, y = samples[None, :] - phase[0] * _SUB, samples[:, None] - phase[1] * _SUB
    inside = _inside(shape, x, y, reach * _SUB)
    pixels = 2 * margin + 1
    covered = inside.reshape(pixels, _SUB, pixels, _SUB).sum(axis=(1, 3), dtype=np.int64)
    covered.flags.writeable = False
    return covered


def _inside(
    shape: str, x: Int64[np.ndarray, "1 n"], y: Int64[np.ndarray, "n 1"], reach: int
) -> Bool[np.ndarray, "n n"]:
    match shape:
        case "circle":
            return x * x + y * y <= reach * reach
        case "square":
            return np.maximum(np.abs(x), np.abs(y)) <= reach * 7 // 8
        case "triangle":
            return (2 * np.abs(x) <= y + reach) & (y <= reach)
        case "cross":
            thin, long = np.minimum(np.abs(x), np.abs(y)), np.maximum(np.abs(x), np.abs(y))
            return (3 * thin <= reach) & (long <= reach)
        case "diamond":
            return np.abs(x) + np.abs(y) <= reach
    raise ValueError(f"no shape is called {shape!r}")


def draw_frames(clip: Clip, settings: WorldSettings, number: int) -> UInt8[np.ndarray, "t h w 3"]:
    """Draw the frames of clip `number`; a later shape lies over an earlier one."""
    ground = _ground(settings, number)
    frames = np.repeat(ground[None], settings.frames, axis=0)
    for mover, path in zip(clip.scene, clip.paths, strict=True):
        covered = coverage(mover.shape, path, settings.size)
        inside = covered > 0
        share = covered[inside][:, None]
        colour = np.array(COLOURS[mover.colour], dtype=np.int64)
        frames[inside] = (frames[inside] * (FULL - share) + colour * share + FULL // 2) // FULL
    return frames.astype(np.uint8)


def draw_map(clip: Clip, settings: WorldSettings) -> UInt8[np.ndarray, "t h w"]:
    """Draw the whole silhouette of the first shape in each frame: 255 where it is, else 0.

    A pixel belongs to it that is covered to at least a half, also where another shape lies over it.
    """
    covered = coverage(clip.scene[0].shape, clip.paths[0], settings.size)
    return np.where(2 * covered >= FULL, 255, 0).astype(np.uint8)


def coverage(shape: str, path: Path, size: int) -> Int64[np.ndarray, "t h w"]:
    """Give how much of each pixel a shape covers in each frame, 0 to FULL; it wraps around."""
    covered = np.zeros((len(path.places), size, size), dtype=np.int64)
    for frame, (x, y) in enumerate(path.places.tolist()):
        mark = stamp(shape, radius(size), (x % 2, y % 2))
        around = np.arange(len(mark)) - len(mark) // 2
        covered[frame, (y // 2 + around)[:, None] % size, (x // 2 + around)[None, :] % size] = mark
    return covered


def _ground(settings: WorldSettings, number: int) -> Int64[np.ndarray, "h w 3"]:
    size = settings.size
    plain = np.broadcast_to(np.array(GROUND, dtype=np.int64), (size, size, 3))
    if not settings.texture:
        return plain
    # Random levels on a coarse grid that wraps, and straight lines between them.
    cells = _TEXTURE_CELLS
    key = f"{settings.seed}/{number}/texture".encode()
    data = np.frombuffer(hashlib.shake_256(key).digest(cells * cells), dtype=np.uint8)
    levels = data.astype(np.int64).reshape(cells, cells) % (2 * _TEXTURE + 1) - _TEXTURE
    cell, rest = np.divmod(np.arange(size, dtype=np.int64) * cells, size)
    after = (cell + 1) % cells
    rows = levels[cell] * (size - rest)[:, None] + levels[after] * rest[:, None]
    both = rows[:, cell] * (size - rest) + rows[:, after] * rest
    return plain + ((both + size * size // 2) // (size * size))[..., None]
