"""The one resize: area average down, bilinear up, in exact integers.

Unusual: the weights are integers and every sum stays below 2^24 in float32 and 2^53 in float64, so
that no order of summation changes a bit. The frames are the same on every machine.
"""

from functools import lru_cache
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Num, UInt8

Fit = Literal["crop", "pad", "squash"]

Whole = TypeVar("Whole", int, np.ndarray)

BLACK = 0


def fit_square(
    frame: UInt8[np.ndarray, "h w c"], *, size: int, fit: Fit
) -> UInt8[np.ndarray, "size size c"]:
    """Bring a frame to `size` x `size` pixels.

    Args:
        frame: any size, 0 to 255.
        size: height and width wanted, pixels.
        fit: crop keeps the centre square, pad keeps everything and adds black bars, squash changes
            the aspect ratio.
    """
    height, width = frame.shape[:2]
    match fit:
        case "crop":
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            frame = frame[top : top + side, left : left + side]
            return resize(frame, height=size, width=size)
        case "pad":
            longest = max(height, width)
            inner = resize(
                frame,
                height=max(1, _round_half_up(size * height, longest)),
                width=max(1, _round_half_up(size * width, longest)),
            )
            return _pad(inner, size=size)
        case "squash":
            return resize(frame, height=size, width=size)


def resize(
    frame: UInt8[np.ndarray, "h w c"], *, height: int, width: int
) -> UInt8[np.ndarray, "height width c"]:
    """Resize by exact area average where an axis shrinks, by linear interpolation where it grows.

    Area average: an output pixel is the mean of the source under its footprint, with fractions at
    the edges. Linear: pixel centres are aligned, as with `align_corners=False`; edges are repeated.
    Results are rounded half up.
    """
    if frame.shape[:2] == (height, width):
        return frame.copy()
    rows = _taps(frame.shape[0], height)
    columns = _taps(frame.shape[1], width)
    channels = frame.shape[2]
    # Rows first, as they lie in memory: sums are exact in float32 up to 65 793 rows.
    tall = _apply(rows, frame.reshape(frame.shape[0], -1).astype(np.float32))
    tall = tall.reshape(height, frame.shape[1], channels).transpose(1, 0, 2)
    wide = _apply(columns, tall.reshape(frame.shape[1], -1).astype(np.float64))
    sums = wide.reshape(width, height, channels).transpose(1, 0, 2).astype(np.int64)
    return _round_half_up(sums, rows.total * columns.total).astype(np.uint8)


class _Taps:
    """For each output pixel the first source pixel it reads, and the integer weight of each."""

    def __init__(self, first: list[int], weights: list[np.ndarray], total: int) -> None:
        self.first = first
        self.weights = weights
        self.total = total


@lru_cache(maxsize=64)
def _taps(size_in: int, size_out: int) -> _Taps:
    return _area_taps(size_in, size_out) if size_out <= size_in else _linear(size_in, size_out)


def _area_taps(size_in: int, size_out: int) -> _Taps:
    """In units of 1 / size_out source pixel every edge of every footprint is an integer."""
    first, weights = [], []
    for out in range(size_out):
        start, stop = out * size_in, (out + 1) * size_in
        pixels = np.arange(start // size_out, -(-stop // size_out))
        left = np.maximum(pixels * size_out, start)
        right = np.minimum((pixels + 1) * size_out, stop)
        first.append(int(pixels[0]))
        weights.append(right - left)
    return _Taps(first, weights, size_in)


def _linear(size_in: int, size_out: int) -> _Taps:
    """In units of 1 / (2 * size_out) source pixel every centre is an integer."""
    unit = 2 * size_out
    first, weights = [], []
    for out in range(size_out):
        below, rest = divmod((2 * out + 1) * size_in - size_out, unit)
        if below < 0:
            first.append(0)
            weights.append(np.array([unit]))
        elif below >= size_in - 1:
            first.append(size_in - 1)
            weights.append(np.array([unit]))
        else:
            first.append(below)
            weights.append(np.array([unit - rest, rest]))
    return _Taps(first, weights, unit)


def _apply(taps: _Taps, values: Num[np.ndarray, "n m"]) -> Num[np.ndarray, "out m"]:
    """Sum the weighted rows of `values` for each output row."""
    result = np.empty((len(taps.first), values.shape[1]), dtype=values.dtype)
    for out, (first, weights) in enumerate(zip(taps.first, taps.weights, strict=True)):
        np.dot(weights.astype(values.dtype), values[first : first + len(weights)], out=result[out])
    return result


def _pad(frame: UInt8[np.ndarray, "h w c"], *, size: int) -> UInt8[np.ndarray, "size size c"]:
    height, width, channels = frame.shape
    padded = np.full((size, size, channels), BLACK, dtype=np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    padded[top : top + height, left : left + width] = frame
    return padded


def _round_half_up(numerator: Whole, denominator: int) -> Whole:
    return (2 * numerator + denominator) // (2 * denominator)
