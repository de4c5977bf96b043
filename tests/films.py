"""Tiny videos whose frames carry their own number, written with PyAV."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

SIDE = 64
BITS = 8
RED, BLUE = (200, 30, 30), (30, 30, 200)

FilmWriter = Callable[..., Path]


def picture(number: int, *, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    """Top: the number as eight black or white blocks; below: red on the left, blue on the right."""
    frame = np.zeros((height, width, 3), dtype=np.uint8)
    for bit in range(BITS):
        block = slice(bit * width // BITS, (bit + 1) * width // BITS)
        frame[: height // 2, block] = 255 * (number >> bit & 1)
    frame[height // 2 :, : width // 2] = RED
    frame[height // 2 :, width // 2 :] = BLUE
    return frame


def number_of(frame: np.ndarray) -> int:
    """Read the number back, at any size."""
    height, width = frame.shape[:2]
    row = frame[height // 4, :, :].astype(int).mean(axis=-1)
    centres = [int((bit + 0.5) * width / BITS) for bit in range(BITS)]
    return sum(int(row[centre] > 127) << bit for bit, centre in enumerate(centres))


def write_film(
    path: Path,
    *,
    frames: int = 40,
    fps: int = 25,
    first: int = 0,
    height: int = SIDE,
    width: int = SIDE,
    times_ms: Sequence[int] | None = None,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> Path:
    """Write frames numbered from `first` on; `times_ms` sets their times instead of `fps`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = width, height
        stream.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        stream.codec_context.thread_count = 1
        if codec == "libx264":
            stream.options = {"crf": "8", "preset": "ultrafast"}
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(
                picture(first + index, height=height, width=width), format="rgb24"
            )
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_frames(path: Path, frames: np.ndarray, *, fps: int = 25) -> Path:
    """Write uint8 frames `[t, h, w, 3]` as H.264, nearly without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "4"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv444p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def remux(source: Path, target: Path) -> Path:
    """Put the packets of a video into another container: other bytes, the same frames."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(reader.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)
    return target


def write_pictures(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    codec: str,
    pix_fmt: str,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
    colours: dict[str, int] | None = None,
) -> Path:
    """Write grey, RGB or RGBA pictures; `colours` sets color_range and the like."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=container or {}) as file:
        stream = file.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        stream.metadata.update(tags or {})
        for name, value in (colours or {}).items():
            setattr(stream.codec_context, name, value)
        for number, pixels in enumerate(pictures):
            form = {2: "gray", 3: "rgb24", 4: "rgba"}[pixels.shape[2] if pixels.ndim == 3 else 2]
            frame = av.VideoFrame.from_ndarray(pixels, format=form).reformat(
                format=pix_fmt, dst_color_range=(colours or {}).get("color_range")
            )
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """Write half a second of silence and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        for index in range(4):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = 8000, index * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turn(path: Path, *, side: int = SIDE) -> Path:
    """Patch the display matrix of an mp4: players show it turned clockwise by 90 degrees."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    matrix = [0, one, 0, -one, 0, 0, side * one, 0, 1 << 30]
    data[start : start + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(bytes(data))
    return path


def cut(path: Path, *, share: float) -> Path:
    """Keep the first `share` of the bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


class Films:
    """The writers above as one fixture."""

    picture = staticmethod(picture)
    number_of = staticmethod(number_of)
    write = staticmethod(write_film)
    write_frames = staticmethod(write_frames)
    remux = staticmethod(remux)
    write_pictures = staticmethod(write_pictures)
    write_sound = staticmethod(write_sound)
    turn = staticmethod(turn)
    cut = staticmethod(cut)


@pytest.fixture(scope="session")
def films() -> type[Films]:
    """Writers of tiny videos."""
    return Films
