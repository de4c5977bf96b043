"""Videos for people to look at: mp4, GIF and grids. Never measured: all of these lose something."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from PIL import Image, ImageDraw

from cvg.files import replacing_file

CAPTION_HEIGHT = 14  # pixels
GAP = 4  # pixels between pictures
BACKGROUND = 255
PALETTE_PIXELS = 2**19  # that colours are chosen from
# Without mbtree: with AVX-512 it reads memory that nobody wrote, and gives other bytes each time.
X264 = {"crf": "15", "x264-params": "mbtree=0"}


class Mp4:
    """An H.264 file that is written as frames come; sides are cropped to even numbers."""

    def __init__(self, container: OutputContainer, *, fps: float) -> None:
        """Write into an open container, `fps` frames a second."""
        self._container, self._fps = container, fps
        self._stream: VideoStream | None = None

    @classmethod
    @contextmanager
    def create(cls, path: Path, *, fps: float) -> "Iterator[Mp4]":
        """Open a file; it is there, whole, once the context ends without an error."""
        with replacing_file(path) as temporary, av.open(str(temporary), "w") as container:
            mp4 = cls(container, fps=fps)
            yield mp4
            if mp4._stream is not None:
                container.mux(mp4._stream.encode(None))

    def append(self, frames: np.ndarray) -> None:
        """Add uint8 frames `[t, h, w, 3]`, all of the size of the first."""
        height, width = (size - size % 2 for size in frames.shape[1:3])
        if self._stream is None:
            rate = Fraction(self._fps).limit_denominator(1000)
            self._stream = self._container.add_stream("libx264", rate=rate, options=X264)
            self._stream.thread_count = 1  # or the file would depend on the number of cores
            self._stream.width, self._stream.height = width, height
            self._stream.pix_fmt = "yuv420p"
        for picture in frames:
            pixels = np.ascontiguousarray(picture[:height, :width])
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            self._container.mux(self._stream.encode(picture))


def write_mp4(path: Path, frames: np.ndarray, *, fps: float) -> None:
    """Write uint8 frames `[t, h, w, 3]` as H.264."""
    with Mp4.create(path, fps=fps) as mp4:
        mp4.append(frames)


def write_gif(path: Path, frames: np.ndarray, *, fps: float) -> None:
    """Write uint8 frames `[t, h, w, 3]` as an endless GIF with one palette for all frames."""
    pictures = [Image.fromarray(frame) for frame in frames]
    # Of large pictures some pixels: finding colours takes longer than all else.
    step = math.ceil((frames.size / 3 / PALETTE_PIXELS) ** 0.5)
    tall = Image.fromarray(np.concatenate(list(frames[:, ::step, ::step])))
    palette = tall.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=4)
    indexed = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    with replacing_file(path) as temporary:
        indexed[0].save(
            temporary,
            save_all=True,
            append_images=indexed[1:],
            duration=round(1000 / fps),
            loop=0,
            optimize=False,
        )


def side_by_side(videos: Sequence[np.ndarray], *, names: Sequence[str], scale: int) -> np.ndarray:
    """Put uint8 videos `[t, h, w, 3]` beside each other, enlarged, each under its name."""
    enlarged = [video.repeat(scale, axis=1).repeat(scale, axis=2) for video in videos]
    columns: list[np.ndarray] = []
    for video, name in zip(enlarged, names, strict=True):
        t, _, w, _ = video.shape
        label = np.broadcast_to(_label(name, width=w), (t, CAPTION_HEIGHT, w, 3))
        columns.append(np.concatenate([label, video], axis=1))
        columns.append(np.full((t, columns[-1].shape[1], GAP, 3), BACKGROUND, np.uint8))
    return np.concatenate(columns[:-1], axis=2)


def stack(videos: Sequence[np.ndarray]) -> np.ndarray:
    """Put uint8 videos of equal length and width under each other."""
    rows: list[np.ndarray] = []
    for video in videos:
        t, _, w, _ = video.shape
        rows += [video, np.full((t, GAP, w, 3), BACKGROUND, np.uint8)]
    return np.concatenate(rows[:-1], axis=1)


def mark_context(video: np.ndarray, *, context_frames: int, goal: bool = False) -> np.ndarray:
    """Draw a green line above the frames that were given, a red one above those predicted.

    Args:
        video: uint8 `[t, h, w, 3]`.
        context_frames: given at the start.
        goal: whether the last one was given too.
    """
    marked = video.copy()
    marked[:, :2] = (200, 60, 60)
    for given in (slice(context_frames), slice(len(video) - goal, None)):
        marked[given, :2] = (60, 160, 60)
    return marked


def _label(text: str, *, width: int) -> np.ndarray:
    picture = Image.new("RGB", (width, CAPTION_HEIGHT), (BACKGROUND,) * 3)
    ImageDraw.Draw(picture).text((1, 1), text, fill=(0, 0, 0))
    return np.asarray(picture)
