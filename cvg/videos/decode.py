"""The one module that reads videos with PyAV: once, forwards, at native size.

Unusual: a file that ends early is an error even where the decoder is content with it, because
FFmpeg reads a cut Matroska file to its early end without a word.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import UInt8

from cvg.videos.location import UnusableError
from cvg.videos.skips import SkipCode

# A file counts as cut when this much of what it declares is missing, whichever is more.
MISSING_FRAMES = 2
MISSING_SHARE = 0.02

MICROSECONDS = 1_000_000
GIF_TRAILER = b"\x3b"


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says of itself; frames, seconds and rate are None where it says nothing.

    Attributes:
        width: pixels, before any rotation.
        height: pixels, before any rotation.
        fps: mean frames a second.
        duration_s: length of the video stream, seconds.
        num_frames: declared number of frames.
    """

    width: int
    height: int
    fps: float | None
    duration_s: float | None
    num_frames: int | None


@dataclass(frozen=True)
class TimedFrame:
    """One frame, upright RGB, and its time in seconds after the first frame of its video."""

    time_s: float
    pixels: UInt8[np.ndarray, "h w c"]


def read_header(path: Path) -> Header:
    """Read what a video says of itself, without decoding a frame.

    Raises:
        UnusableError: it is no video that can be decoded here.
    """
    with _opened(path) as (container, stream):
        return _header(container, stream)


def decode(path: Path) -> Iterator[TimedFrame]:
    """Decode all frames of the first video stream, in the order of time.

    Raises:
        UnusableError: the file is broken, or ends before what it declares. The frames before that
            have been given already.
    """
    with _opened(path) as (container, stream):
        header = _header(container, stream)
        count, first_s, stop_s = 0, 0.0, 0.0
        try:
            for frame in _frames(container, stream):
                time_s = _time(frame, stream, count=count, fps=header.fps)
                first_s = time_s if count == 0 else first_s
                stop_s = time_s + float(frame.duration or 0) * float(stream.time_base or 0)
                yield TimedFrame(time_s - first_s, _upright(frame))
                count += 1
        except av.error.FFmpegError as error:
            raise _broken(error, count, header) from error
        except _CutPacketError as error:
            raise UnusableError(SkipCode.TRUNCATED, _counts(count, header)) from error
        if container.format.name == "gif" and not _has_trailer(path):
            reason = f"{count} frames decoded, then the GIF file ends without its trailer"
            raise UnusableError(SkipCode.TRUNCATED, reason)
        if count == 0:
            raise UnusableError(SkipCode.CORRUPT, "no frame can be decoded; expected at least one")
        span_s = stop_s - first_s
        # What Matroska calls a duration is the time of the end, also where the video starts late.
        if _ends_early(count, span_s, max(span_s, stop_s), header):
            reason = f"{_counts(count, header)}, and {_seconds(span_s, header)}"
            raise UnusableError(SkipCode.TRUNCATED, reason)


class _CutPacketError(Exception):
    """The file ends within a packet."""


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        container = av.open(str(path), mode="r")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise _not_media(path, error) from error
    with container:
        if not container.streams.video:
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            reason = f"found {kinds}; expected a video stream"
            raise UnusableError(SkipCode.NO_VIDEO_STREAM, reason)
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise UnusableError(SkipCode.NO_DECODER, "FFmpeg has no decoder for the video stream")
        # One thread: how many frames come before an error must not depend on the machine.
        stream.thread_type = "NONE"
        yield container, stream


def _frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise _CutPacketError
        yield from packet.decode()


def _header(container: InputContainer, stream: VideoStream) -> Header:
    rate = stream.average_rate
    return Header(
        width=stream.codec_context.width,
        height=stream.codec_context.height,
        fps=float(rate) if rate else None,
        duration_s=_duration(container, stream),
        num_frames=stream.frames or None,
    )


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Give the declared length of the video stream itself, in seconds."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration) * float(stream.time_base)
    tag = next((text for key, text in stream.metadata.items() if key.startswith("DURATION")), "")
    if re.fullmatch(r"\d+:\d+:\d+(\.\d+)?", tag):
        hours, minutes, seconds = tag.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    # The length of the file is that of its longest stream; it says nothing beside an audio track.
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / MICROSECONDS
    return None


def _time(frame: VideoFrame, stream: VideoStream, *, count: int, fps: float | None) -> float:
    if frame.pts is None or stream.time_base is None:
        return count / (fps or 25.0)
    return float(frame.pts) * float(stream.time_base)


def _upright(frame: VideoFrame) -> UInt8[np.ndarray, "h w c"]:
    pixels = frame.to_ndarray(format="rgb24")
    # Players turn the picture counter-clockwise by this angle, and so does rot90.
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _ends_early(count: int, span_s: float, reached_s: float, header: Header) -> bool:
    """Tell whether all that the file declares, frames and seconds, is out of reach."""
    missing = []
    if header.num_frames is not None:
        tolerance = max(MISSING_FRAMES, MISSING_SHARE * header.num_frames)
        missing.append(header.num_frames - count > tolerance)
    if header.duration_s is not None:
        tolerance = max(MISSING_FRAMES * span_s / count, MISSING_SHARE * header.duration_s)
        missing.append(header.duration_s - reached_s > tolerance)
    # Either may be wrong alone: edit lists hide frames, tags are copied from other files.
    return bool(missing) and all(missing)


def _has_trailer(path: Path) -> bool:
    """Tell whether a GIF file is whole; it declares neither frames nor length."""
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, 64), os.SEEK_END)
        return file.read().rstrip(b"\0").endswith(GIF_TRAILER)


def _broken(error: Exception, count: int, header: Header) -> UnusableError:
    reason = f"decoding fails ({_ffmpeg_reason(error)}): {_counts(count, header)}"
    return UnusableError(SkipCode.CORRUPT, reason)


def _counts(count: int, header: Header) -> str:
    declared = "an unknown number" if header.num_frames is None else str(header.num_frames)
    return f"{count} frames decoded of {declared} declared"


def _seconds(span_s: float, header: Header) -> str:
    declared = "?" if header.duration_s is None else f"{header.duration_s:.2f}"
    return f"{span_s:.2f} s of {declared} s"


def _ffmpeg_reason(error: Exception) -> str:
    """Name the reason without the path, which would differ from machine to machine."""
    return getattr(error, "strerror", None) or type(error).__name__


def _not_media(path: Path, error: Exception) -> UnusableError:
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        start = b""
    reason = f"not a video that FFmpeg can open ({_ffmpeg_reason(error)}); it starts with {start!r}"
    # The index of an MP4 file may stand at its end, and is the first thing that a cut takes away.
    if start[4:8] == b"ftyp":
        return UnusableError(
            SkipCode.TRUNCATED, f"an MP4 file without its index, cut off? {reason}"
        )
    return UnusableError(SkipCode.NOT_MEDIA, reason)
