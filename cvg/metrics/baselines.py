"""What a model must beat: repeating the last frame, copying a training clip, shuffling frames."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from einops import rearrange

from cvg.seeding import derive_seed
from cvg.tensors import Float, Int64, UInt8


def repeat_last(
    clips: UInt8[np.ndarray, "n t h w 3"], *, context_frames: int
) -> UInt8[np.ndarray, "n t h w 3"]:
    """Keep the context frames and repeat the last of them to the end.

    Raises:
        ValueError: there is no context frame, or no frame after the context.
    """
    _check_context(clips, context_frames)
    repeated = clips.copy()
    repeated[:, context_frames:] = clips[:, context_frames - 1 : context_frames]
    return repeated


def cross_fade(
    clips: UInt8[np.ndarray, "n t h w 3"], *, context_frames: int
) -> UInt8[np.ndarray, "n t h w 3"]:
    """Fade from the last context frame to the last frame, what is simplest between two frames.

    Raises:
        ValueError: there is no context frame, or no frame after the context.
    """
    _check_context(clips, context_frames)
    faded = clips.copy()
    start, end = clips[:, context_frames - 1].astype(np.float64), clips[:, -1]
    steps = clips.shape[1] - context_frames
    for step in range(1, steps):
        share = step / steps
        faded[:, context_frames - 1 + step] = np.rint((1 - share) * start + share * end)
    return faded


@dataclass(frozen=True, kw_only=True)
class NearestClips:
    """Held-out contexts, each continued by the training window that begins most like it."""

    clips: UInt8[np.ndarray, "n t h w 3"]  # real context in front, the window's frames behind
    windows: Int64[np.ndarray, "n"]  # which window, counted in the order they came
    distances: Float[np.ndarray, "n"]  # root mean squared difference of the contexts, grey levels


def nearest_clips(
    clips: UInt8[np.ndarray, "n t h w 3"],
    windows: Iterable[UInt8[np.ndarray, "_ t h w 3"]],
    *,
    context_frames: int,
) -> NearestClips:
    """Continue each context with the future of the training window whose context is closest.

    Closest: least squared difference of the pixels of the context frames; of equals the first.

    Args:
        clips: held-out clips.
        windows: batches of training windows of the same shape; they are streamed, never held.
        context_frames: number of frames that are compared and kept.

    Raises:
        ValueError: there is no context frame, no frame after it, or no training window.
    """
    _check_context(clips, context_frames)
    contexts = flat(clips[:, :context_frames])
    best = np.full(len(clips), np.inf)
    chosen = np.zeros(len(clips), dtype=np.int64)
    result = clips.copy()
    seen = 0
    for batch in windows:
        squared = squared_distances(contexts, flat(batch[:, :context_frames]))
        nearest = squared.argmin(axis=1)
        least = squared[np.arange(len(clips)), nearest]
        closer = least < best
        best = np.where(closer, least, best)
        chosen = np.where(closer, nearest + seen, chosen)
        result[closer, context_frames:] = batch[nearest[closer], context_frames:]
        seen += len(batch)
    if seen == 0:
        raise ValueError("no training window is as long as the clips; nothing can be copied")
    distances = np.sqrt(best / contexts.shape[1])
    return NearestClips(clips=result, windows=chosen, distances=distances)


def flat(frames: UInt8[np.ndarray, "n t h w 3"]) -> Float[np.ndarray, "n d"]:
    """Give the bytes of each clip as a row of numbers."""
    # float64 holds every squared sum of bytes exactly, so that equal windows have distance 0.
    return rearrange(frames, "n t h w c -> n (t h w c)").astype(np.float64)


def squared_distances(
    a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]
) -> Float[np.ndarray, "n m"]:
    """Give the squared distance of each row of `a` from each of `b`."""
    lengths_a, lengths_b = (np.einsum("nd, nd -> n", rows, rows) for rows in (a, b))
    return lengths_a[:, None] + lengths_b[None] - 2 * (a @ b.T)


def shuffle_frames(
    clips: UInt8[np.ndarray, "n t h w 3"], *, seed: int, first: int = 0
) -> UInt8[np.ndarray, "n t h w 3"]:
    """Put the frames of each clip into a random order, another for each clip.

    A metric that does not tell this from the real thing is blind to time.

    Args:
        clips: some or all of a set.
        seed: of the order.
        first: number of the first of them in their set.
    """
    shuffled = np.empty_like(clips)
    for index, clip in enumerate(clips, start=first):
        rng = np.random.default_rng(derive_seed(seed, "shuffle", index))
        shuffled[index - first] = clip[rng.permutation(len(clip))]
    return shuffled


def freeze(clips: UInt8[np.ndarray, "n t h w 3"]) -> UInt8[np.ndarray, "n t h w 3"]:
    """Repeat the first frame of each clip to its end."""
    return np.repeat(clips[:, :1], clips.shape[1], axis=1)


def _check_context(clips: np.ndarray, context_frames: int) -> None:
    if not 0 < context_frames < clips.shape[1]:
        raise ValueError(
            f"context_frames is {context_frames}; expected 1 to {clips.shape[1] - 1} for clips of "
            f"{clips.shape[1]} frames"
        )
