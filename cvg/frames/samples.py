"""Generated clips on disk, without loss, with what each of them continues."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cvg.errors import UserError
from cvg.files import read_json, sha256_file, write_json
from cvg.frames.store import FrameStore

ARRAY = "samples.npy"
UNCONDITIONAL = "unconditional.npy"
TRUTH = "truth.npy"  # the real clips, for those who score by other programs
HEADER = "samples.json"


@dataclass(frozen=True, kw_only=True)
class SampledClip:
    """Which held-out window a sample continues."""

    name: str  # video and frame: names the random numbers of the sample
    segment: int
    start: int  # first frame, counted in the segment
    video: str
    caption: str | None
    label: str | None


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Generated clips and what they continue; those of `load_samples` are read when looked at."""

    frames: np.ndarray  # uint8 [n, t, h, w, 3], the real context in front
    clips: list[SampledClip]
    context_frames: int
    goal: bool = False  # whether the last frame was given too
    vqgan_hash: str
    unconditional: np.ndarray | None = (
        None  # the same clips once more, continued without conditions
    )


def true_clips(store: FrameStore, samples: Samples, rows: slice = slice(None)) -> np.ndarray:
    """Read the real clips that samples continue, or some of them, uint8 `[n, t, h, w, 3]`."""
    segments = {segment.id: segment for segment in store.segments("held_out")}
    length = samples.frames.shape[1]
    return np.stack(
        [store.window(segments[clip.segment], clip.start, length) for clip in samples.clips[rows]]
    )


def save_samples(folder: Path, samples: Samples) -> None:
    """Write samples into `folder`."""
    np.save(folder / ARRAY, samples.frames)
    if samples.unconditional is not None:
        np.save(folder / UNCONDITIONAL, samples.unconditional)
    header = {
        "context_frames": samples.context_frames,
        "goal": samples.goal,
        "vqgan": samples.vqgan_hash,
        "clips": [vars(clip) for clip in samples.clips],
    }
    write_json(folder / HEADER, header | {"digest": _digest(folder, header)})


def load_samples(folder: Path) -> Samples:
    """Read samples written by `save_samples`.

    Raises:
        UserError: files are missing or do not belong together.
    """
    header = read_json(folder / HEADER)
    if header.pop("digest", None) != _digest(folder, header):
        raise UserError(
            f"{folder}/{HEADER}: not what was written together with the arrays beside it: one of "
            "them was changed or is damaged, or an earlier version wrote them; run sample again"
        )
    frames = _load(folder / ARRAY)
    unconditional = _load(folder / UNCONDITIONAL) if (folder / UNCONDITIONAL).exists() else None
    if len(frames) != len(header["clips"]):
        raise UserError(
            f"{folder}: {len(frames)} clips in {ARRAY}, {len(header['clips'])} in {HEADER}; "
            "run sample again"
        )
    return Samples(
        frames=frames,
        clips=[SampledClip(**clip) for clip in header["clips"]],
        context_frames=header["context_frames"],
        goal=header.get("goal", False),
        vqgan_hash=header["vqgan"],
        unconditional=unconditional,
    )


def _digest(folder: Path, header: dict[str, Any]) -> str:
    """Hash the header and the arrays."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for path in (folder / ARRAY, folder / UNCONDITIONAL):
        if path.is_file():
            digest.update(sha256_file(path).encode())
    return digest.hexdigest()


def _load(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable ({error}); run sample again") from error
