"""Frames in an .npy file, read through a memory map; nothing of it is unpickled."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy.lib import format as npy

from cvg.videos.graph import Shaper, SourceFrame, as_frame
from cvg.videos.location import UnusableError, system_reason
from cvg.videos.look import Header, Look, ReadLimits
from cvg.videos.skips import SkipCode

SUFFIX = ".npy"

EXPECTED = "expected uint8 of [t, h, w], [t, h, w, 1] or [t, h, w, 3] with t, h and w above 0"


def read_header(path: Path, *, fps: float, limits: ReadLimits) -> Header:
    """Read the size of an array of frames, and nothing of its content.

    Raises:
        UnusableError: it is no array of frames, or passes a limit.
    """
    array = _open(path, limits)
    num_frames, height, width = array.shape[:3]
    return Header(
        width=width, height=height, fps=fps, duration_s=num_frames / fps, num_frames=num_frames
    )


def read_frames(path: Path, *, look: Look, limits: ReadLimits, fps: float) -> Iterator[SourceFrame]:
    """Give the frames of an array, `fps` of them a second.

    Raises:
        UnusableError: it is no array of frames, passes a limit, or ends early. The whole frames
            before that have been given already.
    """
    array, shaper = _open(path, limits), Shaper(look)
    frames = _mapped(path, array)
    for index, pixels in enumerate(frames):
        yield SourceFrame(index, index / fps, as_frame(pixels), shaper)
    if len(frames) < array.shape[0]:
        reason = f"found {len(frames)} whole frames; expected {array.shape[0]} as its header says"
        raise UnusableError(SkipCode.TRUNCATED, reason)


@dataclass(frozen=True, kw_only=True)
class _Array:
    """What the header of an .npy file says; `start` is the byte at which the content begins."""

    shape: tuple[int, ...]
    columns_first: bool
    start: int


def _open(path: Path, limits: ReadLimits) -> _Array:
    shape, columns_first, dtype, start = _npy_header(path)
    if dtype != np.uint8 or not _is_film(shape):
        raise UnusableError(SkipCode.NOT_MEDIA, f"found {dtype} of {list(shape)}; {EXPECTED}")
    num_frames, height, width = shape[:3]
    if height * width > limits.pixels:
        reason = (
            f"found frames of {width} x {height} = {width * height} pixels; "
            f"expected at most {limits.pixels}"
        )
        raise UnusableError(SkipCode.TOO_LARGE, reason)
    if num_frames > limits.frames:
        reason = f"found {num_frames} frames; expected at most {limits.frames}"
        raise UnusableError(SkipCode.TOO_LONG, reason)
    return _Array(shape=shape, columns_first=columns_first, start=start)


def _is_film(shape: tuple[int, ...]) -> bool:
    with_channels = len(shape) == 4 and shape[3] in (1, 3)
    return (len(shape) == 3 or with_channels) and min(shape) > 0


def _npy_header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, columns_first, dtype = read(file)
            return shape, columns_first, dtype, file.tell()
    except OSError as error:
        reason = f"cannot be opened ({system_reason(error)}); expected a readable file"
        raise UnusableError(SkipCode.UNREADABLE, reason) from error
    # NumPy reads the header as Python, and a damaged one raises all that tokens and literals can.
    except Exception as error:
        found = type(error).__name__
    # Not from the error: what nests too deeply is a MemoryError to the parser, but memory is there.
    reason = f"found no header of an .npy file ({found}); {EXPECTED}"
    raise UnusableError(SkipCode.NOT_MEDIA, reason)


def _mapped(path: Path, array: _Array) -> UInt8[np.ndarray, "t h w c"]:
    """Map the whole frames that the file holds."""
    found = path.stat().st_size - array.start
    num_frames, height, width = array.shape[:3]
    whole = min(num_frames, found // math.prod(array.shape[1:]))
    if whole == 0 or (array.columns_first and whole < num_frames):
        # In columns first, the first frame ends with the file.
        return np.empty((0, height, width, 1), dtype=np.uint8)
    frames = np.memmap(
        path,
        dtype=np.uint8,
        mode="r",
        offset=array.start,
        shape=(whole, *array.shape[1:]),
        order="F" if array.columns_first else "C",
    )
    return frames.reshape(whole, height, width, -1) if frames.ndim == 3 else frames
