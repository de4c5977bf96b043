"""Films as bytes, by PyAV: every codec and container that the corpus needs."""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import av
import numpy as np
from av.container import OutputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from jaxtyping import UInt8

from cvg.hostile.pictures import picture

CODEC_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "libx264": {"preset": "ultrafast", "crf": "10"},
    "libx265": {"preset": "ultrafast", "crf": "10", "x265-params": "log-level=none:pools=none"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b:v": "0"},
    "libsvtav1": {"preset": "10", "crf": "20", "svtav1-params": "lp=1"},
    "gif": {"gifflags": "0"},
    "mpeg4": {"qscale": "2"},
    "mpeg2video": {"qscale": "2"},
}
# FFmpeg's numbers of colours: BT.2020, limited range, and the two curves of high dynamic range.
BT2020_TAGS = {"color_primaries": 9, "colorspace": 9, "color_range": 1}
PQ_TAGS = {**BT2020_TAGS, "color_trc": 16}
HLG_TAGS = {**BT2020_TAGS, "color_trc": 18}
FULL_RANGE = {"color_range": 2}
MILLISECOND = Fraction(1, 1000)
RATE = 25


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one film is encoded.

    Attributes:
        container: FFmpeg's name of the format.
        codec: FFmpeg's name of the encoder.
        pixels: FFmpeg's name of the layout of pixels.
        frames: number of them.
        width: pixels, as shown.
        height: pixels, as shown.
        times_ms: time of each frame, milliseconds; None for 25 frames a second.
        mux: options of the container.
        tags: attributes of the encoder, such as its colours.
        turns: quarter turns clockwise that a player has to make to show the film upright.
        clear: whether the top of each frame is transparent; white stands behind.
        flat: draw nothing but this grey level.
        still: draw the first frame every time.
    """

    container: str = "mp4"
    codec: str = "libx264"
    pixels: str = "yuv420p"
    frames: int = 32
    width: int = 64
    height: int = 48
    times_ms: Sequence[int] | None = None
    mux: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, int] = field(default_factory=dict)
    turns: int = 0
    clear: bool = False
    flat: int | None = None
    still: bool = False


def encode(recipe: Recipe, *, film: int) -> bytes:
    """Encode the numbered pictures of one film."""
    os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder writes its settings to the terminal
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=recipe.container, options=dict(recipe.mux)) as container:
        stream = _stream(container, recipe)
        for number in range(recipe.frames):
            frame = _frame(recipe, film, number)
            if recipe.times_ms is not None:
                frame.pts, frame.time_base = recipe.times_ms[number], MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def encode_sound(*, cover: bool = False) -> bytes:
    """Encode half a second of silence as MP4; `cover` adds the picture of an album."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=8000)
        if cover:
            recipe = Recipe(codec="png", pixels="rgb24")
            stream = _stream(container, recipe)
            stream.disposition = Disposition.attached_pic
            container.mux(stream.encode(_frame(recipe, 0, 0)))
            container.mux(stream.encode())
        for index in range(4):
            silence = np.zeros((1, 1024), dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 8000, index * 1024
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return buffer.getvalue()


def encode_picture(film: int, number: int, *, recipe: Recipe) -> bytes:
    """Encode one frame as a PNG file."""
    png = replace(recipe, codec="png", pixels="rgba" if recipe.clear else "rgb24")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="image2pipe") as container:
        stream = _stream(container, png)
        container.mux(stream.encode(_frame(png, film, number)))
        container.mux(stream.encode())
    return buffer.getvalue()


def remux(data: bytes, *, container: str) -> bytes:
    """Put the packets of a film into another container, as they are."""
    buffer = io.BytesIO()
    with (
        av.open(io.BytesIO(data), "r") as source,
        av.open(buffer, "w", format=container) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return buffer.getvalue()


def pixels_of(recipe: Recipe, *, film: int, number: int) -> UInt8[np.ndarray, "h w c"]:
    """Draw one frame as it is stored: red, green, blue, and alpha where the film is clear."""
    width, height = recipe.width, recipe.height
    if recipe.flat is not None:
        return np.full((height, width, 3), recipe.flat, dtype=np.uint8)
    pixels = picture(film, 0 if recipe.still else number, width=width, height=height)
    if recipe.clear:
        pixels = np.dstack([pixels, np.full((height, width), 255, dtype=np.uint8)])
        pixels[: height // 8] = (255, 255, 255, 0)
    return np.ascontiguousarray(np.rot90(pixels, recipe.turns))


def _stream(container: OutputContainer, recipe: Recipe) -> VideoStream:
    options = dict(CODEC_OPTIONS.get(recipe.codec, {}))
    stream = container.add_stream(recipe.codec, rate=RATE, options=options)
    if not isinstance(stream, VideoStream):
        raise TypeError(f"{recipe.codec} is no encoder of video")
    sides = (recipe.width, recipe.height)
    stream.width, stream.height = sides[::-1] if recipe.turns % 2 else sides
    stream.pix_fmt = recipe.pixels
    # One thread: the bytes must not depend on the machine.
    stream.codec_context.thread_count = 1
    if recipe.times_ms is not None:
        stream.codec_context.time_base = MILLISECOND
    for name, value in recipe.tags.items():
        setattr(stream.codec_context, name, value)
    return stream


def _frame(recipe: Recipe, film: int, number: int) -> av.VideoFrame:
    if recipe.flat is not None and recipe.pixels in FLAT_LAYOUTS:
        return _flat_frame(recipe)
    pixels = pixels_of(recipe, film=film, number=number)
    return av.VideoFrame.from_ndarray(pixels, format="rgba" if recipe.clear else "rgb24")


FLAT_LAYOUTS = {"yuvj420p": 128, "monob": 0}  # and the byte of the planes behind the first


def _flat_frame(recipe: Recipe) -> av.VideoFrame:
    """Fill planes directly: the largest frames would take gigabytes as red, green and blue."""
    frame = av.VideoFrame(recipe.width, recipe.height, recipe.pixels)
    for index, plane in enumerate(frame.planes):
        value = FLAT_LAYOUTS[recipe.pixels] if index else recipe.flat or 0
        plane.update(bytes([value]) * plane.buffer_size)
    return frame
