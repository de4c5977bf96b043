"""Videos for people to look at: mp4, GIF and grids. Never measured: all of these lose something."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

from cvg.files import replacing_file

CAPTION_HEIGHT = 14  # pixels
GAP = 4  # pixels between pictures
BACKGROUND = 255


def write_mp4(path: Path, frames: np.ndarray, *, fps: float) -> None:
    """Write uint8 frames `[t, h, w, 3]` as H.264, rows and columns cropped to even numbers."""
    height, width = (size - size % 2 for size in frames.shape[1:3])
    with replacing_file(path) as temporary, av.open(str(temporary), "w") as container:
        rate = Fraction(fps).limit_denominator(1000)
        stream = container.add_stream("libx264", rate=rate, options={"crf": "15"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in frames:
            pixels = np.ascontiguousarray(picture[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def write_gif(path: Path, frames: np.ndarray, *, fps: float) -> None:
    """Write uint8 frames `[t, h, w, 3]` as an endless GIF with one palette for all frames."""
    pictures = [Image.fromarray(frame) for frame in frames]
    tall = Image.fromarray(np.concatenate(list(frames)))
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


def mark_context(video: np.ndarray, *, context_frames: int) -> np.ndarray:
    """Draw a green line above the frames that were given, a red one above those predicted."""
    marked = video.copy()
    marked[:context_frames, :2] = (60, 160, 60)
    marked[context_frames:, :2] = (200, 60, 60)
    return marked


def _label(text: str, *, width: int) -> np.ndarray:
    picture = Image.new("RGB", (width, CAPTION_HEIGHT), (BACKGROUND,) * 3)
    ImageDraw.Draw(picture).text((1, 1), text, fill=(0, 0, 0))
    return np.asarray(picture)
