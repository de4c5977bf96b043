"""Continuing held-out clips: which clips, and through which models."""

import sys
from collections.abc import Mapping

import numpy as np
import torch

from cvg.codes.batches import gather_codes
from cvg.codes.store import CodeStore
from cvg.config import SampleParams
from cvg.errors import UserError
from cvg.frames.pixels import to_channels_last, to_stored
from cvg.frames.samples import SampledClip, Samples, true_clips
from cvg.frames.store import FrameStore
from cvg.sampling.models import Models
from cvg.sampling.rollout import roll_out
from cvg.segments import Window, Windows
from cvg.tensors import Int64, Tensor
from cvg.transformer.store import TrainedTransformer
from cvg.vqgan.model import Vqgan

VIDEOS_AT_ONCE = 32


def held_out_windows(store: CodeStore, *, frames: int, count: int) -> list[Window]:
    """Choose the clips to continue, spread evenly over the held-out segments.

    Raises:
        UserError: no held-out segment is long enough.
    """
    windows = Windows(store.segments("held_out"), length=frames).spread(count)
    if not windows:
        longest = max((s.num_frames for s in store.segments("held_out")), default=0)
        raise UserError(
            f"no held-out segment has sample.frames = {frames} frames, the longest has {longest}; "
            "lower sample.frames, or raise extract.held_out"
        )
    return windows


def sample_clips(
    models: Models,
    frames: FrameStore,
    settings: SampleParams,
    *,
    seed: int,
    device: torch.device,
) -> Samples:
    """Continue held-out clips from their first frames and their condition.

    Args:
        models: codes, VQGAN and transformers.
        frames: the store of the real frames, which stand in front of each sample.
        settings: number of clips and frames, temperature, filters, guidance.
        seed: root seed.
        device: where the models are.
    """
    store, transformers = models.codes, models.transformers
    windows = held_out_windows(store, frames=settings.frames, count=settings.clips)
    clips = [_describe(window) for window in windows]
    _warn_of_shortage(len(clips), settings)
    _warn_of_unknown_words(clips, transformers)
    parts = []
    for first in range(0, len(windows), VIDEOS_AT_ONCE):
        batch = slice(first, first + VIDEOS_AT_ONCE)
        context = {
            level: codes[:, : settings.context_frames].to(device)
            for level, codes in _true_codes(store, windows[batch], transformers).items()
        }
        codes = roll_out(
            transformers,
            context,
            [(clip.caption, clip.label) for clip in clips[batch]],
            settings,
            names=[clip.name for clip in clips[batch]],
            seed=seed,
        )
        parts.append(decode_clips(models.vqgan, codes))
    samples = Samples(
        frames=np.concatenate(parts),
        clips=clips,
        context_frames=settings.context_frames,
        vqgan_hash=store.vqgan_hash,
    )
    # The context was given as pixels: what the codes make of it is no prediction.
    context = slice(settings.context_frames)
    samples.frames[:, context] = true_clips(frames, samples)[:, context]
    return samples


@torch.no_grad()
def decode_clips(vqgan: Vqgan, codes: Mapping[str, Int64[Tensor, "b t _ _"]]) -> np.ndarray:
    """Decode codes of clips to uint8 frames `[b, t, h, w, 3]`, one clip at a time."""
    clips = []
    for clip in range(len(next(iter(codes.values())))):
        frames = vqgan.decode({level: grids[clip] for level, grids in codes.items()})
        clips.append(to_channels_last(to_stored(frames)).cpu().numpy())
    return np.stack(clips)


def _warn_of_shortage(found: int, settings: SampleParams) -> None:
    if found < settings.clips:
        sys.stderr.write(
            f"WARNING: sample.clips is {settings.clips}, but the held-out segments have only "
            f"{found} windows of {settings.frames} frames\n"
        )


def _warn_of_unknown_words(
    clips: list[SampledClip], transformers: Mapping[str, TrainedTransformer]
) -> None:
    vocabulary = next(iter(transformers.values())).vocabulary
    words = {word for clip in clips for word in vocabulary.unknown_words(clip.caption or "")}
    if words:
        sys.stderr.write(
            f"WARNING: words that no training caption has are ignored: {', '.join(sorted(words))}\n"
        )


def _describe(window: Window) -> SampledClip:
    segment = window.segment
    frame = segment.first_frame + window.start
    return SampledClip(
        name=f"{segment.video}#{frame}",
        segment=segment.id,
        start=window.start,
        video=segment.video,
        caption=segment.caption,
        label=segment.label,
    )


def _true_codes(
    store: CodeStore, windows: list[Window], transformers: Mapping[str, TrainedTransformer]
) -> dict[str, Int64[Tensor, "b t _ _"]]:
    """Read the codes of windows, all levels."""
    layout = list(transformers.values())[-1].model.layout
    return layout.from_sequence(gather_codes(store, windows, layout=layout).sequence)
