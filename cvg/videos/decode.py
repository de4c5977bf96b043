"""Reads containers with PyAV: once, forwards, on one thread, frames as the decoder gives them.

Unusual: a file that ends early is an error even where the decoder is content with it, because
FFmpeg reads a cut Matroska file to its early end without a word.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal, Never, cast

import av
import av.error
import av.logging
from av.codec.context import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from cvg.remote.stream import Stream
from cvg.videos.content import Source, at_start, size_of
from cvg.videos.graph import SQUARE, Shaper, SourceFrame, has_alpha
from cvg.videos.location import UnusableError
from cvg.videos.look import Header, Look, ReadLimits
from cvg.videos.skips import SkipCode

# A file counts as cut when this much of what it declares is missing, whichever is more.
MISSING_FRAMES = 2
MISSING_SHARE = 0.02

MICROSECONDS = 1_000_000
USUAL_FPS = 25.0

# FFmpeg guesses the length of these from a bit rate.
GUESSED_DURATION = {"mpeg", "mpegvideo"}

# These open other files, devices or the network, run scripts, or draw text as pictures.
REFUSED_FORMATS = frozenset(
    [
        *("hls", "applehttp", "concat", "concatf", "dash", "webm_dash_manifest", "imf", "vobsub"),
        *("image2", "alias_pix", "brender_pix", "avisynth", "vapoursynth", "lavfi", "ffmetadata"),
        *("rtp", "rtsp", "sap", "sdp", "fbdev", "kmsgrab", "x11grab", "xcbgrab"),
        *("video4linux2,v4l2", "video4linux2", "v4l2", "alsa", "jack", "oss", "pulse", "sndio"),
        *("tty", "bin", "xbin", "adf", "idf"),
    ]
)
PLAYLISTS = {
    b"#EXTM3U": "an HLS playlist",
    b"ffconcat": "a concat script",
    b"<MPD": "a DASH manifest",
}

# Pixels wider than this many times their height, or higher, come from damage.
MOST_PIXEL_ASPECT = 8

# Pictures beside a film: cover art, thumbnails.
NOT_A_FILM = Disposition.attached_pic | Disposition.timed_thumbnails

# FFmpeg's own decoders of these do not read the transparency, those of libvpx do.
DECODERS_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}

# Transfer characteristics of H.273.
HDR_TRANSFERS: dict[int, Literal["PQ", "HLG"]] = {16: "PQ", 18: "HLG"}

GIF_TRAILER = b"\x3b"
TS_SYNC = 0x47
TS_PACKETS_LOOKED_AT = 5


def read_header(source: Source, *, limits: ReadLimits) -> Header:
    """Read what a container says of itself, without decoding a frame.

    Raises:
        UnusableError: it is no video that can be decoded here, or its frames are too large.
    """
    with _opened(source, limits) as film:
        return film.header


def read_frames(source: Source, *, look: Look, limits: ReadLimits) -> Iterator[SourceFrame]:
    """Decode all frames of the first video stream, in the order of time.

    Raises:
        UnusableError: the file is broken, ends before what it declares, or passes a limit. The
            whole frames before that have been given already.
    """
    with _opened(source, limits) as film:
        shaper = Shaper(look, pixel_aspect=_pixel_aspect(film))
        clock = _Clock(film)
        count = 0
        try:
            for frame in _frames(film):
                if count == limits.frames:
                    reason = f"found more than {count} frames; expected at most that many"
                    raise UnusableError(SkipCode.TOO_LONG, reason)
                _check_size(frame, limits)
                yield SourceFrame(count, clock.time_s(frame), frame, shaper)
                count += 1
        except _BreakError as error:
            reason = f"{error.found}: {_counts(count, film.header)}"
            raise UnusableError(error.code, reason) from error
        if count == 0:
            raise UnusableError(SkipCode.CORRUPT, "no frame can be decoded; expected at least one")
        _check_end(source, film, clock, count)


@dataclass(frozen=True, kw_only=True)
class _Film:
    """An open container and the stream that is read."""

    container: InputContainer
    stream: VideoStream
    decoder: VideoCodecContext
    header: Header


class _BreakError(Exception):
    """No frame can be decoded from here on; `at_packet`: the decoder has not met the break."""

    def __init__(self, code: SkipCode, found: str, *, at_packet: bool = False) -> None:
        super().__init__(found)
        self.code = code
        self.found = found
        self.at_packet = at_packet


class _Clock:
    """Gives each frame its time; a time that goes back is taken for the start of a new recording.

    Such a frame comes one usual step after the one before it, and so does a frame without a time.
    """

    def __init__(self, film: _Film) -> None:
        self._unit_s = float(film.stream.time_base or 0)
        self._step_s = 1 / (film.header.fps or USUAL_FPS)
        self._first_s: float | None = None
        self._shift_s = 0.0
        self._last_s = 0.0
        self._last: VideoFrame | None = None

    def time_s(self, frame: VideoFrame) -> float:
        """Give seconds after the first frame, never less than for the frame before."""
        pts = frame.pts
        if self._first_s is None:
            time_s = self._first_s = 0.0 if pts is None else pts * self._unit_s
        elif pts is None:
            time_s = self._last_s + self._step_s
        else:
            time_s = pts * self._unit_s + self._shift_s
            if time_s < self._last_s:
                self._shift_s += self._last_s + self._step_s - time_s
                time_s = self._last_s + self._step_s
        self._last_s, self._last = time_s, frame
        return time_s - self._first_s

    def stop_s(self) -> float:
        """Give the time at which the last frame ends, on the clock of the file."""
        duration = self._last.duration if self._last is not None else 0
        return self._last_s + float(duration or 0) * self._unit_s

    def span_s(self) -> float:
        """Give the seconds from the first frame to the end of the last."""
        return self.stop_s() - (self._first_s or 0.0)


@contextmanager
def _opened(source: Source, limits: ReadLimits) -> Iterator[_Film]:
    try:
        container = _container(source)
    except MemoryError as error:
        reason = "opening it takes more memory than there is; expected a video to decode"
        raise UnusableError(SkipCode.OUT_OF_MEMORY, reason) from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise _not_media(source, error) from error
    with container:
        stream = _film_stream(container)
        if stream.codec_context is None:
            reason = f"found the codec {_codec_name(container)}; expected one FFmpeg can decode"
            raise UnusableError(SkipCode.NO_DECODER, reason)
        for other in container.streams:
            other.discard = Discard.none if other is stream else Discard.all
        alpha = _alpha_decoder(stream)
        decoder = alpha or stream.codec_context
        # One thread: how many frames come before an error must not depend on the machine.
        decoder.thread_type = "NONE"
        decoder.thread_count = 1
        decoder.options = {"max_pixels": str(_with_borders(limits.pixels))}
        header = _header(
            container, stream, alpha=alpha is not None or _marked_alpha(source, stream)
        )
        _check_size(header, limits)
        yield _Film(container=container, stream=stream, decoder=decoder, header=header)


def _container(source: Source) -> InputContainer:
    """Open a file, which may open no other."""
    if isinstance(source, Stream):
        source.seek(0)
        file, protocols = source, "none"
    else:
        # Without `file:`, a name such as `concat:a|b` would be taken for a protocol.
        file, protocols = f"file:{source.absolute()}", "file"
    return av.open(
        file,
        mode="r",
        container_options={"protocol_whitelist": protocols, "format_whitelist": _formats()},
        # Titles in other encodings than UTF-8 are nothing to stop for.
        metadata_errors="replace",
    )


def _with_borders(pixels: int) -> int:
    """Leave room for the borders that a decoder adds to frames, which count for FFmpeg's limit."""
    return 2 * pixels + (1 << 20)


def _check_size(found: Header | VideoFrame, limits: ReadLimits) -> None:
    if (pixels := found.width * found.height) > limits.pixels:
        size = f"{found.width} x {found.height} = {pixels}"
        reason = f"found frames of {size} pixels; expected at most {limits.pixels}"
        raise UnusableError(SkipCode.TOO_LARGE, reason)


@lru_cache(maxsize=1)
def _formats() -> str:
    return ",".join(sorted(av.formats_available - REFUSED_FORMATS))


def _film_stream(container: InputContainer) -> VideoStream:
    films = [stream for stream in container.streams.video if not stream.disposition & NOT_A_FILM]
    if films:
        return films[0]
    kinds = {stream.type for stream in container.streams} - {"video"}
    if container.streams.video:
        kinds.add("cover art")
    reason = f"found {', '.join(sorted(kinds)) or 'nothing'}; expected a video stream"
    raise UnusableError(SkipCode.NO_VIDEO_STREAM, reason)


def _codec_name(container: InputContainer) -> str:
    """Name the codec of a stream without a decoder, which only FFmpeg's summary tells."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        summary = container.dumps_format()  # pyright: ignore[reportAttributeAccessIssue] - no stub
    finally:
        av.logging.set_level(level)
    found = re.search(r"Video: ([^,\n]+)", summary)
    return found[1] if found else "without a name"


def _alpha_decoder(stream: VideoStream) -> VideoCodecContext | None:
    tags = {key.lower(): text for key, text in stream.metadata.items()}
    name = DECODERS_WITH_ALPHA.get(stream.codec_context.codec.name)
    if tags.get("alpha_mode") != "1" or name not in av.codecs_available:
        return None
    return cast(VideoCodecContext, CodecContext.create(name, "r"))


def _marked_alpha(source: Source, stream: VideoStream) -> bool:
    if stream.codec_context.codec.name == "gif":
        # Its decoder always gives pixels with alpha.
        return _gif_starts_transparent(source)
    form = stream.codec_context.format
    return form is not None and has_alpha(form)


def _frames(film: _Film) -> Iterator[VideoFrame]:
    """Give the frames up to the break, those included that the decoder still holds.

    Raises:
        _BreakError: at the break.
    """
    packet = None
    try:
        packets = film.container.demux(film.stream)
        for packet in packets:
            if packet.is_corrupt:
                _refuse(packets)
            for frame in film.decoder.decode(packet):
                _check_frame(frame)
                yield frame
    except MemoryError:
        # FFmpeg's own as well; where a machine lacks memory is no break of the file.
        raise
    except av.error.FFmpegError as error:
        yield from _held_back(film.decoder, packet)
        found = f"decoding fails ({_ffmpeg_reason(error)})"
        raise _BreakError(SkipCode.CORRUPT, found) from error
    except _BreakError as error:
        if error.at_packet:
            yield from _held_back(film.decoder, packet)
        raise


def _refuse(following: Iterator[Packet]) -> Never:
    """Tell a damaged packet in the middle from one that the end of the file cuts off."""
    rest = next(following, None)
    if rest is not None and rest.size:
        raise _BreakError(SkipCode.CORRUPT, "a packet is damaged", at_packet=True)
    raise _BreakError(SkipCode.TRUNCATED, "the file ends within a packet", at_packet=True)


def _check_frame(frame: VideoFrame) -> None:
    if frame.is_corrupt:
        raise _BreakError(SkipCode.CORRUPT, "decoding gives a damaged frame")


def _held_back(decoder: VideoCodecContext, broken: Packet | None) -> Iterator[VideoFrame]:
    """Give the frames that wait in the decoder and are shown before that of the broken packet."""
    stop = broken.pts if broken is not None else None
    try:
        for frame in decoder.decode(None):
            late = stop is not None and frame.pts is not None and frame.pts >= stop
            if late or frame.is_corrupt:
                return
            yield frame
    except MemoryError:
        raise
    except av.error.FFmpegError:
        return


def _header(container: InputContainer, stream: VideoStream, *, alpha: bool) -> Header:
    rate = stream.average_rate
    return Header(
        width=stream.codec_context.width,
        height=stream.codec_context.height,
        fps=float(rate) if rate else None,
        duration_s=_duration(container, stream),
        num_frames=stream.frames or None,
        hdr=HDR_TRANSFERS.get(stream.codec_context.color_trc),
        alpha=alpha,
    )


def _pixel_aspect(film: _Film) -> Fraction:
    """Give the shape of a pixel; square where none is declared, or one that nobody means."""
    ratio = film.stream.sample_aspect_ratio
    # Programs that show GIF files know of square pixels alone.
    if not ratio or film.container.format.name == "gif":
        return SQUARE
    return ratio if max(ratio, 1 / ratio) <= MOST_PIXEL_ASPECT else SQUARE


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Give the declared length of the video stream itself, in seconds."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration) * float(stream.time_base)
    tag = next((text for key, text in stream.metadata.items() if key.startswith("DURATION")), "")
    # More digits than any length has are more than a float holds.
    if re.fullmatch(r"\d{1,9}:\d{1,9}:\d{1,9}(\.\d+)?", tag):
        hours, minutes, seconds = tag.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    # The length of the file is that of its longest stream; it says nothing beside an audio track.
    if container.duration is None or container.format.name in GUESSED_DURATION:
        return None
    return container.duration / MICROSECONDS if len(container.streams) == 1 else None


def _check_end(source: Source, film: _Film, clock: _Clock, count: int) -> None:
    """Tell whether what was read to its end was whole.

    Raises:
        UnusableError: it was not.
    """
    form = film.container.format.name
    if form == "gif" and not _has_trailer(source):
        reason = f"{count} frames decoded, then the GIF file ends without its trailer"
        raise UnusableError(SkipCode.TRUNCATED, reason)
    if form == "mpegts" and (rest := _cut_ts_packet(source)):
        reason = f"{count} frames decoded, then the MPEG-TS file ends {rest} bytes into a packet"
        raise UnusableError(SkipCode.TRUNCATED, reason)
    span_s = clock.span_s()
    # What Matroska calls a duration is the time of the end, also where the video starts late.
    if _ends_early(count, span_s, max(span_s, clock.stop_s()), film.header):
        reason = f"{_counts(count, film.header)}, and {_seconds(span_s, film.header)}"
        raise UnusableError(SkipCode.TRUNCATED, reason)


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


def _has_trailer(source: Source) -> bool:
    """Tell whether a GIF file is whole; it declares neither frames nor length."""
    with at_start(source) as file:
        file.seek(-min(size_of(source), 64), os.SEEK_END)
        return file.read(64).rstrip(b"\0").endswith(GIF_TRAILER)


def _gif_starts_transparent(source: Source) -> bool:
    """Tell whether the first picture has a transparent colour; in later ones it means no change."""
    with at_start(source) as file:
        data = file.read(1 << 16)
    # Slices, because any block may begin with the last bytes that were read.
    flags = int.from_bytes(data[10:11])
    place = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while data[place : place + 1] == b"!":
        if data[place + 1 : place + 2] == b"\xf9":
            return bool(int.from_bytes(data[place + 3 : place + 4]) & 1)
        place += 2
        while place < len(data) and data[place]:
            place += 1 + data[place]
        place += 1
    return False


def _cut_ts_packet(source: Source) -> int:
    """Give the bytes of a last packet of MPEG-TS that is not whole, 0 where all are."""
    size = size_of(source)
    with at_start(source) as file:
        start = file.read(1 << 16)
    # As broadcast, with a time before each packet as on discs, with error correction behind each.
    for length, before in ((188, 0), (192, 4), (204, 0)):
        for place in range(length):
            marks = start[place : place + TS_PACKETS_LOOKED_AT * length : length]
            if len(marks) == TS_PACKETS_LOOKED_AT and set(marks) == {TS_SYNC}:
                return (size - place + before) % length
    return 0


def _counts(count: int, header: Header) -> str:
    declared = "an unknown number" if header.num_frames is None else str(header.num_frames)
    return f"{count} frames decoded of {declared} declared"


def _seconds(span_s: float, header: Header) -> str:
    declared = "?" if header.duration_s is None else f"{header.duration_s:.2f}"
    return f"{span_s:.2f} s of {declared} s"


def _ffmpeg_reason(error: Exception) -> str:
    """Name the reason without the path, which would differ from machine to machine."""
    return getattr(error, "strerror", None) or type(error).__name__


def _not_media(source: Source, error: Exception) -> UnusableError:
    try:
        with at_start(source) as file:
            start = file.read(512)
    except OSError:
        start = b""
    for mark, name in PLAYLISTS.items():
        if mark in start:
            reason = f"found {name}; expected a file that holds the video itself"
            return UnusableError(SkipCode.NOT_MEDIA, reason)
    reason = (
        f"not a video that FFmpeg can open ({_ffmpeg_reason(error)}); it starts with {start[:16]!r}"
    )
    if start[4:8] == b"ftyp":
        if _has_mp4_index(source):
            return UnusableError(SkipCode.CORRUPT, f"an MP4 file whose index is damaged: {reason}")
        # It may stand at the end of the file, and is the first thing that a cut takes away.
        text = f"an MP4 file without its index, cut off? {reason}"
        return UnusableError(SkipCode.TRUNCATED, text)
    return UnusableError(SkipCode.NOT_MEDIA, reason)


def _has_mp4_index(source: Source) -> bool:
    """Tell whether the box `moov` of an MP4 file is there, whole."""
    size = size_of(source)
    with at_start(source) as file:
        place = 0
        while place + 8 <= size:
            file.seek(place)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:  # the length follows, in eight bytes
                length = int.from_bytes(head[8:16], "big")
            if head[4:8] == b"moov":
                return 8 <= length <= size - place
            if length < 8:
                return False
            place += length
    return False
