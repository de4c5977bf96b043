"""Clips of anyone's model: a folder of videos, of folders of pictures, of arrays; or one array."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from cvg.errors import UserError
from cvg.metrics.clips import Clips
from cvg.metrics.inspect import require_clips
from cvg.seeding import derive_seed
from cvg.tensors import UInt8
from cvg.videos.arrays import SUFFIX
from cvg.videos.images import natural_key
from cvg.videos.location import IMAGE_SUFFIXES, VIDEO_SUFFIXES, UnusableError
from cvg.videos.source import Fit, Look, ReadLimits, read_frames, read_header

LIMITS = ReadLimits(pixels=8192 * 8192, frames=1_000_000)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Which part of each video is its clip, and how it is made to look.

    Attributes:
        frames: of a clip.
        stride: every n-th frame of the video.
        starts: at its first frame, or at random, from the seed and the name of the video.
        size: height and width, pixels; None for those of the videos, which must be square then.
        fit: how frames of another shape come to be square.
        seed: of random starts.
    """

    frames: int
    stride: int = 1
    starts: Literal["first", "random"] = "first"
    size: int | None = None
    fit: Fit = "squash"
    seed: int = 0

    @property
    def span(self) -> int:
        """Frames of a video from the first to the last of its clip."""
        return (self.frames - 1) * self.stride + 1


@dataclass(frozen=True)
class NamedClips:
    """Clips and the name of each, by which pairs are found."""

    names: tuple[str, ...]
    clips: Clips


class ClipFolder:
    """The clips of the videos of a folder; they are read when they are asked for."""

    def __init__(self, sources: Sequence[Path], cut: Cut) -> None:
        """Look at the first video alone.

        Raises:
            UserError: it cannot be read, or is not square and no size is given.
        """
        self._sources, self._cut = sources, cut
        self._size = cut.size or _size_of(sources[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Clips, frames, height, width, colours."""
        return len(self._sources), self._cut.frames, self._size, self._size, 3

    def __len__(self) -> int:
        """Give the number of clips."""
        return len(self._sources)

    def __getitem__(self, rows: slice, /) -> UInt8[np.ndarray, "n t h w 3"]:
        """Read some clips.

        Raises:
            UserError: a video cannot be read, or is too short.
        """
        return np.stack([self._read(path) for path in self._sources[rows]])

    def _read(self, path: Path) -> UInt8[np.ndarray, "t h w 3"]:
        cut = self._cut
        first = _random_start(path, cut) if cut.starts == "random" else 0
        if cut.size is None and _size_of(path) != self._size:
            raise UserError(
                f"{path}: its frames are {_size_of(path)} pixels wide and high, those of "
                f"{self._sources[0].name} {self._size}; say to which they are brought (--size)"
            )
        look = Look(size=self._size, fit=cut.fit)
        try:
            frames = read_frames(path, look=look, limits=LIMITS)
            chosen = islice(frames, first, first + cut.span, cut.stride)
            pixels = [frame.pixels() for frame in chosen]
        except UnusableError as error:
            raise UserError(f"{path}: cannot be read: {error.reason}") from error
        if len(pixels) < cut.frames:
            raise UserError(
                f"{path}: has {len(pixels)} of the {cut.frames} frames that are asked for"
                f"{f', every {cut.stride}th' if cut.stride > 1 else ''}; ask for fewer (--length), "
                "or take the video out"
            )
        return np.stack(pixels)


def open_clips(path: Path, cut: Cut) -> NamedClips:
    """Find clips: one of each video of a folder, or those of an array.

    A folder holds videos, .npy files of one clip each (uint8 `[t, h, w, 3]`) or folders of
    pictures; what is hidden is left out. A single .npy file holds clips, uint8 `[n, t, h, w, 3]`.

    Raises:
        UserError: there is nothing there, or nothing that could be clips.
    """
    if path.is_file() and path.suffix.lower() == SUFFIX:
        clips = _array(path, cut)
        return NamedClips(tuple(str(number) for number in range(len(clips))), clips)
    if not path.is_dir():
        raise UserError(f"{path}: found no folder; expected a folder of videos, or an .npy file")
    sources = sorted(
        (entry for entry in path.iterdir() if _is_source(entry)),
        key=lambda entry: natural_key(entry.name),
    )
    if not sources:
        raise UserError(
            f"{path}: found no video in it; expected files of {', '.join(sorted(VIDEO_SUFFIXES))} "
            f"or {SUFFIX}, or folders of pictures"
        )
    names = tuple(entry.stem if entry.is_file() else entry.name for entry in sources)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{path}: more than one video is called {twice[0]}; rename one")
    return NamedClips(names, ClipFolder(sources, cut))


def files_digest(paths: Iterable[Path]) -> str:
    """Hash names, sizes and times of files, and of all files of folders; no content is read."""
    digest = hashlib.sha256()
    for path in paths:
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            stat = file.stat()
            digest.update(f"{file} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def array_frames(path: Path) -> int | None:
    """Give the frames of the clips of an array; None where it is a folder."""
    if path.suffix.lower() != SUFFIX or not path.is_file():
        return None
    return _load(path).shape[1]


def _is_source(entry: Path) -> bool:
    if entry.name.startswith("."):
        return False
    if entry.is_dir():
        return any(inner.suffix.lower() in IMAGE_SUFFIXES for inner in entry.iterdir())
    return entry.suffix.lower() in VIDEO_SUFFIXES | {SUFFIX}


def _load(path: Path) -> np.ndarray:
    try:
        clips = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as an array ({error})") from error
    require_clips(str(path), clips)
    return clips


def _array(path: Path, cut: Cut) -> np.ndarray:
    clips = _load(path)
    if clips.shape[1] < cut.span:
        raise UserError(
            f"{path}: its clips have {clips.shape[1]} frames; expected {cut.span} or more "
            "(--length)"
        )
    if cut.starts == "random" and clips.shape[1] > cut.span:
        raise UserError(
            f"{path}: its clips have {clips.shape[1]} frames, and the protocol begins at random; "
            f"an array is taken from its first frame, so give one of {cut.span} frames"
        )
    if cut.size not in (None, clips.shape[2]) or clips.shape[2] != clips.shape[3]:
        raise UserError(
            f"{path}: its frames are {clips.shape[3]} x {clips.shape[2]} pixels, and an array is "
            f"taken as it is; expected {cut.size or 'squares'}"
        )
    return clips[:, : cut.span : cut.stride]


def _size_of(path: Path) -> int:
    try:
        header = read_header(path, limits=LIMITS)
    except UnusableError as error:
        raise UserError(f"{path}: cannot be read: {error.reason}") from error
    if header.width != header.height:
        raise UserError(
            f"{path}: its frames are {header.width} x {header.height} pixels; say to which square "
            "they are brought (--size), and how (--fit)"
        )
    return header.width


def _random_start(path: Path, cut: Cut) -> int:
    """Draw a start by the name of a video, so that what else is in its folder changes nothing."""
    look = Look(size=1, fit=cut.fit)
    try:
        length = read_header(path, limits=LIMITS).num_frames
        length = length or sum(1 for _ in read_frames(path, look=look, limits=LIMITS))
    except UnusableError as error:
        raise UserError(f"{path}: cannot be read: {error.reason}") from error
    rng = np.random.default_rng(derive_seed(cut.seed, "start of a clip", path.stem))
    return int(rng.integers(max(1, length - cut.span + 1)))
