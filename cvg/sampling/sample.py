"""Continuing held-out clips: which clips, and through which models."""

import sys
from collections.abc import Sequence

import numpy as np

from cvg.codes.batches import gather_codes
from cvg.codes.store import CodeStore
from cvg.config import SampleParams
from cvg.errors import UserError
from cvg.frames.samples import SampledClip, Samples
from cvg.frames.store import FrameStore
from cvg.progress import Steps
from cvg.sampling.decode import decode_frames
from cvg.sampling.models import Models
from cvg.sampling.rank import roll_out_best
from cvg.sampling.rollout import Task
from cvg.segments import Window, Windows
from cvg.transformer.conditioning import known_conditions

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
    codes: CodeStore,
    frames: FrameStore,
    settings: SampleParams,
    *,
    seed: int,
) -> Samples:
    """Continue held-out clips from their first frames and their conditions.

    Args:
        models: VQGAN and transformers.
        codes: of the clips, by the same VQGAN.
        frames: the store of the real frames, which stand where they were given.
        settings: number of clips and frames, what is given, how codes are drawn.
        seed: root seed.
    """
    windows = held_out_windows(codes, frames=settings.frames, count=settings.clips)
    clips = [_describe(window) for window in windows]
    _warn_of_shortage(len(clips), settings)
    _warn_of_unknown_words(clips, models, settings)
    samples = Samples(
        frames=np.stack([frames.window(w.segment, w.start, w.length) for w in windows]),
        clips=clips,
        context_frames=settings.context_frames,
        goal=settings.goal,
        vqgan_hash=codes.vqgan_hash,
    )
    # What is given stays as it is: what the codes make of it is no prediction.
    first = settings.context_frames
    with Steps("sample", total=(settings.frames - first - settings.goal) * len(windows)) as steps:
        for start in range(0, len(windows), VIDEOS_AT_ONCE):
            part = slice(start, start + VIDEOS_AT_ONCE)
            task = continuation(models, codes, windows[part], settings)
            written = []
            for frame in roll_out_best(models, task, settings, seed=seed):
                written.append(frame)
                steps.advance(len(task.names))
            samples.frames[part, first : first + len(written)] = decode_frames(
                models.vqgan, written
            )
    return samples


def continuation(
    models: Models, store: CodeStore, windows: Sequence[Window], settings: SampleParams
) -> Task:
    """Give the task of continuing windows from their first frames and conditions."""
    transformer = models.finest
    layout = transformer.model.layout
    batch = gather_codes(store, windows, layout=layout)
    codes = layout.from_sequence(batch.sequence.to(models.device))
    count = settings.context_frames
    return Task(
        names=[_describe(window).name for window in windows],
        conditions=known_conditions(
            batch, transformer.conditioning.vocabulary, kinds=settings.conditions
        ),
        frames=settings.frames,
        context={level: grids[:, :count] for level, grids in codes.items()} if count else None,
        goal={level: grids[:, -1] for level, grids in codes.items()} if settings.goal else None,
    )


def _warn_of_shortage(found: int, settings: SampleParams) -> None:
    if found < settings.clips:
        sys.stderr.write(
            f"WARNING: sample.clips is {settings.clips}, but the held-out segments have only "
            f"{found} windows of {settings.frames} frames\n"
        )


def _warn_of_unknown_words(
    clips: list[SampledClip], models: Models, settings: SampleParams
) -> None:
    if "caption" not in settings.conditions:
        return
    words = {
        word for clip in clips for word in models.conditioning.unknown_words(clip.caption or "")
    }
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
