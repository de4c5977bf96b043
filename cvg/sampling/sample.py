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
from cvg.tensors import UInt8
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
    real = np.stack([frames.window(w.segment, w.start, w.length) for w in windows])
    told = [settings]
    if settings.unconditional and set(settings.conditions) & set(models.conditioning.kinds):
        told.append(settings.model_copy(update={"conditions": []}))
    predicted = settings.frames - settings.context_frames - settings.goal
    with Steps("sample", total=predicted * len(windows) * len(told)) as steps:
        writer = _Writer(models, codes, seed=seed, steps=steps)
        videos = [writer.continue_all(real, windows, one) for one in told]
    return Samples(
        frames=videos[0],
        clips=clips,
        context_frames=settings.context_frames,
        goal=settings.goal,
        vqgan_hash=codes.vqgan_hash,
        unconditional=videos[1] if len(videos) > 1 else None,
    )


class _Writer:
    """Continues clips, some at a time."""

    def __init__(self, models: Models, codes: CodeStore, *, seed: int, steps: Steps) -> None:
        self._models, self._codes, self._seed, self._steps = models, codes, seed, steps

    def continue_all(
        self,
        real: UInt8[np.ndarray, "n t h w 3"],
        windows: Sequence[Window],
        settings: SampleParams,
    ) -> UInt8[np.ndarray, "n t h w 3"]:
        """Continue windows; what is given stays as it is: its codes predict nothing."""
        videos, first = real.copy(), settings.context_frames
        for start in range(0, len(windows), VIDEOS_AT_ONCE):
            part = slice(start, start + VIDEOS_AT_ONCE)
            task = continuation(self._models, self._codes, windows[part], settings)
            written = []
            for frame in roll_out_best(self._models, task, settings, seed=self._seed):
                written.append(frame)
                self._steps.advance(len(task.names))
            end = first + len(written)
            videos[part, first:end] = decode_frames(self._models.vqgan, written)
        return videos


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
