"""Videos that a user asks for, written to disk as they come."""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.lib.format import open_memmap

from cvg.config import ExtractParams
from cvg.errors import UserError
from cvg.files import write_json
from cvg.media import Mp4, stack, write_gif
from cvg.progress import Steps
from cvg.sampling.generator import Generator, Request
from cvg.videos.aligned import read_actions
from cvg.videos.allowed import read_limits
from cvg.videos.location import UnusableError
from cvg.videos.look import red_green_blue
from cvg.videos.source import Look, read_frames

SCALE = 4  # of the pictures in previews; 32 to 64 pixels are small on a screen
MOST_SHOWN = 6  # videos in one GIF
GIF_FRAMES = 64  # of a GIF; the mp4 has all


def write_requested(
    folder: Path,
    generator: Generator,
    requests: Sequence[Request],
    *,
    seed: int,
    fps: float,
    preview: Path,
) -> list[Path]:
    """Write videos that are asked for; memory does not grow with their length.

    Writes into `folder` an mp4 a video, `videos.npy` with the exact pixels, `grid.gif` with the
    first frames of the first videos, and `request.json`.

    Args:
        folder: existing.
        generator: with the models.
        requests: of each video, all alike in length and in the frames given.
        seed: root seed.
        fps: frames a second of the mp4 files.
        preview: a GIF that is written as soon as there is something to see, and again as the videos
            grow; it is removed in the end.

    Returns:
        the mp4 files and the GIF.

    Raises:
        UserError: something is asked that the models do not know, or does not fit together.
    """
    generator.check(requests)
    count, frames, size = len(requests), requests[0].frames, generator.frame_size
    paths = [folder / f"video_{number:02d}.mp4" for number in range(count)]
    array = open_memmap(
        folder / "videos.npy", mode="w+", dtype=np.uint8, shape=(count, frames, size, size, 3)
    )
    done = 0
    try:
        with Steps("sample", total=frames) as steps:
            for chunk in generator.stream(requests, seed=seed):
                array[:, done : done + chunk.shape[1]] = chunk
                done += chunk.shape[1]
                steps.advance(chunk.shape[1])
                if done < frames and done <= GIF_FRAMES:
                    _write_gif(preview, array[:, :done], fps=fps)
    finally:
        preview.unlink(missing_ok=True)
    for path, video in zip(paths, array, strict=True):
        with Mp4.create(path, fps=fps) as mp4:
            for first in range(0, frames, GIF_FRAMES):
                mp4.append(video[first : first + GIF_FRAMES])
    paths.append(folder / "grid.gif")
    _write_gif(paths[-1], array[:, :GIF_FRAMES], fps=fps)
    array.flush()
    write_json(folder / "request.json", {"seed": seed, "videos": [_told(one) for one in requests]})
    return paths


def read_first_frames(
    path: Path, *, count: int, size: int, extract: ExtractParams
) -> UInt8[np.ndarray, "t h w 3"]:
    """Read the first frames of a video, a picture, a folder of pictures or an array.

    Args:
        path: of the source.
        count: frames wanted.
        size: height and width to which they are fitted, as extraction fits them.
        extract: how; frames are taken as they come, whatever their rate.

    Raises:
        UserError: it cannot be read, or has fewer frames.
    """
    background = red_green_blue(extract.background)
    look = Look(size=size, fit=extract.fit, background=background)
    try:
        found = read_frames(path, look=look, limits=read_limits(extract))
        frames = [frame.pixels() for frame in islice(found, count)]
    except UnusableError as error:
        raise UserError(f"{path}: {error.reason}") from error
    if len(frames) < count:
        raise UserError(f"{path}: has {len(frames)} frames; expected {count} at least")
    return np.stack(frames)


def read_maps(path: Path, *, size: int, extract: ExtractParams) -> UInt8[np.ndarray, "t h w"]:
    """Read maps, one picture a frame, as extraction reads them.

    Raises:
        UserError: they cannot be read.
    """
    look = Look(size=size, fit=extract.fit, channels=1)
    try:
        found = read_frames(path, look=look, limits=read_limits(extract))
        return np.stack([frame.pixels() for frame in found]).reshape(-1, size, size)
    except UnusableError as error:
        raise UserError(f"{path}: {error.reason}") from error


def read_action_rows(path: Path) -> Float32[np.ndarray, "t a"]:
    """Read actions, a row a frame.

    Raises:
        UserError: they cannot be read.
    """
    try:
        return read_actions(path)
    except UnusableError as error:
        raise UserError(f"{path}: {error.reason}") from error


def _write_gif(path: Path, videos: UInt8[np.ndarray, "b t h w 3"], *, fps: float) -> None:
    some = videos[:MOST_SHOWN]
    shown = [np.asarray(video).repeat(SCALE, axis=1).repeat(SCALE, axis=2) for video in some]
    write_gif(path, stack(shown), fps=fps)


def _told(request: Request) -> Mapping[str, object]:
    """Give a request in words and numbers; of arrays their shape."""
    conditions = {0: request.condition, **(request.changes or {})}
    told = {
        str(frame): {
            name: list(value.shape) if isinstance(value, np.ndarray) else value
            for name, value in vars(condition).items()
            if value is not None
        }
        for frame, condition in conditions.items()
    }
    first = 0 if request.first is None else len(request.first)
    return {
        "frames": request.frames,
        "first": first,
        "last": request.last is not None,
        "conditions": told,
    }
