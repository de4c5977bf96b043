"""What is suspect about a set of clips, in sentences; a figure on them would mislead."""

import hashlib

import numpy as np

from cvg.errors import UserError
from cvg.frames.pixels import changes
from cvg.metrics.measure import Rows
from cvg.metrics.motion import SAME

BLACK = 2  # grey levels of 0 to 255; compression leaves noise
STILL_SHARE = 0.5
INSPECTED = ("brightest", "still", "hash")


def inspect_clips(clips: np.ndarray) -> Rows:
    """Look at clips: how bright they are, whether they stand still, and a hash of each.

    Raises:
        UserError: they are no clips of colour bytes.
    """
    require_clips("clips", clips)
    hashes = [hashlib.sha256(np.ascontiguousarray(clip).data).digest() for clip in clips]
    return {
        "brightest": clips.max(axis=(1, 2, 3, 4)),
        "still": np.array([len(clip) > 1 and (changes(clip) < SAME).all() for clip in clips]),
        "hash": np.array([np.frombuffer(one, np.uint8) for one in hashes]),
    }


def suspicions(name: str, rows: Rows) -> list[str]:
    """Say what is suspect.

    Args:
        name: of the set, for the sentences.
        rows: what `inspect_clips` saw of all its clips.
    """
    number = len(rows["brightest"])
    black, still = int((rows["brightest"] <= BLACK).sum()), int(rows["still"].sum())
    brightest = int(rows["brightest"].max())
    first_seen: dict[bytes, int] = {}
    repeated: list[tuple[int, int]] = []
    for clip, digest in enumerate(map(bytes, rows["hash"])):
        if digest in first_seen:
            repeated.append((first_seen[digest], clip))
        first_seen.setdefault(digest, clip)
    sentences = []
    if repeated:
        a, b = repeated[0]
        sentences.append(
            f"{name}: {len(repeated)} of {number} clips are there more than once (clip {b + 1} is "
            f"clip {a + 1}); a Frechet distance takes them for variety that is missing"
        )
    if black and brightest != 1:
        sentences.append(f"{name}: {black} of {number} clips are all black")
    if brightest == 1:
        sentences.append(
            f"{name}: no value is above 1; expected 0 to 255. Were colours of 0 to 1 written as "
            "bytes?"
        )
    if still > STILL_SHARE * number:
        sentences.append(
            f"{name}: nothing moves in {still} of {number} clips; figures of frames flatter them"
        )
    return sentences


def require_clips(name: str, clips: np.ndarray) -> None:
    """Refuse arrays of another type or layout.

    Raises:
        UserError: they are no uint8 `[n, t, h, w, 3]`.
    """
    wrong = clips.ndim != 5 or clips.shape[-1] != 3 or clips.dtype != np.uint8
    if wrong or 0 in clips.shape:
        raise UserError(
            f"{name}: found {clips.dtype} of {list(clips.shape)}; expected uint8 of clips, frames, "
            "height, width and 3 colours, 0 to 255 (round colours, do not cut them off)"
        )
