"""Pictures that say which film they are of, which frame they are, and which way is up.

Everything stands in the centre square, so that it survives a centre crop to any size:

    red     blue      the upper left quarter is red: the picture is upright and not mirrored
    eight blocks      the number of the film, bit by bit, dark or light
    eight blocks      the number of the frame, as a Gray code: one block changes from frame to frame
"""

import numpy as np
from jaxtyping import UInt8

BITS = 8
DARK, LIGHT = 40, 200  # within the range that every codec keeps
RED, BLUE = (200, 40, 40), (40, 40, 200)
BORDER = 100  # of what lies outside the centre square


def picture(film: int, frame: int, *, width: int, height: int) -> UInt8[np.ndarray, "h w 3"]:
    """Draw one frame.

    Args:
        film: 0 to 255.
        frame: 0 to 255.
        width: pixels, at least 16.
        height: pixels, at least 16.
    """
    side = min(width, height)
    square = np.empty((side, side, 3), dtype=np.uint8)
    half, third = side // 2, 3 * side // 4
    square[:half, :half] = RED
    square[:half, half:] = BLUE
    square[half:third] = _blocks(film, side)[None, :, None]
    square[third:] = _blocks(frame ^ frame >> 1, side)[None, :, None]
    whole = np.full((height, width, 3), BORDER, dtype=np.uint8)
    top, left = (height - side) // 2, (width - side) // 2
    whole[top : top + side, left : left + side] = square
    return whole


def film_of(square: UInt8[np.ndarray, "s s 3"]) -> int:
    """Read the number of the film from a frame that was cropped to its centre."""
    return _read(square, height=0.625)


def frame_of(square: UInt8[np.ndarray, "s s 3"]) -> int:
    """Read the number of the frame from a frame that was cropped to its centre."""
    gray = number = _read(square, height=0.875)
    while gray := gray >> 1:
        number ^= gray
    return number


def is_upright(square: UInt8[np.ndarray, "s s 3"]) -> bool:
    """Tell whether red is at the upper left and blue at the upper right."""
    side = len(square)
    upper = square[side // 8 : 3 * side // 8].astype(int)
    left, right = (
        upper[:, start : start + side // 4].mean(axis=(0, 1))
        for start in (side // 8, 5 * side // 8)
    )
    return bool(left[0] > left[2] + 50 and right[2] > right[0] + 50)


def _blocks(number: int, side: int) -> UInt8[np.ndarray, " side"]:
    which = np.arange(side) * BITS // side
    return np.where(number >> which & 1, LIGHT, DARK).astype(np.uint8)


def _read(square: UInt8[np.ndarray, "s s 3"], *, height: float) -> int:
    side = len(square)
    middle = int(height * side)
    row = square[middle - 1 : middle + 1].astype(int).mean(axis=(0, 2))
    centres = [int((bit + 0.5) * side / BITS) for bit in range(BITS)]
    return sum(int(row[centre] > (DARK + LIGHT) / 2) << bit for bit, centre in enumerate(centres))
