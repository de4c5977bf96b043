"""Continuing held-out clips: which clips, and through which models; in parts."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from cvg.codes.batches import gather_codes
from cvg.codes.store import CodeStore
from cvg.config import SampleParams
from cvg.errors import UserError
from cvg.files import save_arrays
from cvg.frames.samples import SampledClip, Samples
from cvg.frames.store import FrameStore
from cvg.mapping.machine import computing
from cvg.remote.url import Place
from cvg.sampling.decode import decode_frames
from cvg.sampling.models import Models, load_models, open_codes
from cvg.sampling.rank import roll_out_best
from cvg.sampling.rollout import Task
from cvg.segments import Window, Windows
from cvg.tensors import UInt8
from cvg.training.device import chosen_device
from cvg.training.weights import saved_digest
from cvg.transformer.conditioning import known_conditions

VIDEOS_AT_ONCE = 32  # clips of a part
PART = "videos.safetensors"  # in the folder of a part
TOLD, UNTOLD = "told", "untold"  # the conditions, and nothing


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


@dataclass(frozen=True, kw_only=True)
class SampleWork:
    """Continuing held-out clips, as work for several processes.

    Attributes:
        frames: folder of the frame store.
        codes: folder of the codes.
        vqgan: folder of the VQGAN.
        transformers: folder with a folder for each level.
        critic: folder of the critic; None where none is needed.
        settings: number of clips and frames, what is given, how codes are drawn.
        seed: root seed.
    """

    frames: Place
    codes: Place
    vqgan: Path
    transformers: Path
    critic: Path | None
    settings: SampleParams
    seed: int

    def open(self) -> "Sampler":
        """Open the stores and the models."""
        models = load_models(
            vqgan=self.vqgan,
            transformers=self.transformers,
            critic=self.critic,
            device=chosen_device(),
        )
        folders = {level: self.transformers / level for level in models.transformers}
        folders |= {"critic": self.critic} if self.critic else {}
        return Sampler(
            models,
            open_codes(self.codes, models),
            FrameStore.open(self.frames),
            self.settings,
            seed=self.seed,
            hashes={name: saved_digest(folder) for name, folder in folders.items()},
        )


class Sampler:
    """Continues held-out clips from their first frames and their conditions, some at a time.

    Attributes:
        models: VQGAN and transformers.
        codes: of the clips.
        frames: the store of the real frames.
        inputs: hashes of all that is read.
        sizes: of each part, the frames that are predicted.
    """

    def __init__(
        self,
        models: Models,
        codes: CodeStore,
        frames: FrameStore,
        settings: SampleParams,
        *,
        seed: int,
        hashes: Mapping[str, str],
    ) -> None:
        """Choose the clips.

        Args:
            models: VQGAN and transformers.
            codes: of the clips, by the same VQGAN.
            frames: the store of the real frames, which stand where they were given.
            settings: number of clips and frames, what is given, how codes are drawn.
            seed: root seed.
            hashes: of the transformers and the critic, by their names.

        Raises:
            UserError: no held-out segment is long enough.
        """
        self.models, self.codes, self.frames = models, codes, frames
        self._settings, self._seed = settings, seed
        self._windows = held_out_windows(codes, frames=settings.frames, count=settings.clips)
        self.inputs = {
            "data": frames.digest,
            "codes": codes.digest,
            "vqgan": models.vqgan_hash,
            **hashes,
        }
        predicted = settings.frames - settings.context_frames - settings.goal
        each = predicted * len(self._tellings())
        self.sizes = [
            each * len(self._windows[start : start + VIDEOS_AT_ONCE])
            for start in range(0, len(self._windows), VIDEOS_AT_ONCE)
        ]

    def warn(self) -> None:
        """Tell people where the clips are fewer, or their words others, than the settings ask."""
        _warn_of_shortage(len(self._windows), self._settings)
        _warn_of_unknown_words([*map(_describe, self._windows)], self.models, self._settings)

    def machine(self) -> dict[str, Any]:
        """Give what of this machine shapes samples."""
        return computing()

    def make(self, number: int, folder: Path, *, advance: Callable[[int], None]) -> None:
        """Write the continuations of some clips into `folder`."""
        windows = self._windows[number * VIDEOS_AT_ONCE : (number + 1) * VIDEOS_AT_ONCE]
        real = np.stack([self.frames.window(w.segment, w.start, w.length) for w in windows])
        videos = {
            name: self._continue(real, windows, settings, advance)
            for name, settings in self._tellings().items()
        }
        save_arrays(folder / PART, videos)

    def join(self, parts: Iterable[Path]) -> Samples:
        """Give the samples from the folders of all parts, in order."""
        written = [load_file(part / PART) for part in parts]
        videos = {
            name: np.concatenate([part[name] for part in written]) for name in self._tellings()
        }
        return Samples(
            frames=videos[TOLD],
            clips=[*map(_describe, self._windows)],
            context_frames=self._settings.context_frames,
            goal=self._settings.goal,
            vqgan_hash=self.codes.vqgan_hash,
            unconditional=videos.get(UNTOLD),
        )

    def _tellings(self) -> dict[str, SampleParams]:
        """Give the settings by what the models are told."""
        settings = self._settings
        tellings = {TOLD: settings}
        known = self.models.conditioning.kinds
        if settings.unconditional and set(settings.conditions) & set(known):
            tellings[UNTOLD] = settings.model_copy(update={"conditions": []})
        return tellings

    def _continue(
        self,
        real: UInt8[np.ndarray, "n t h w 3"],
        windows: Sequence[Window],
        settings: SampleParams,
        advance: Callable[[int], None],
    ) -> UInt8[np.ndarray, "n t h w 3"]:
        """Continue windows; what is given stays as it is: its codes predict nothing."""
        videos, first = real.copy(), settings.context_frames
        task = continuation(self.models, self.codes, windows, settings)
        written = []
        for frame in roll_out_best(self.models, task, settings, seed=self._seed):
            written.append(frame)
            advance(len(task.names))
        videos[:, first : first + len(written)] = decode_frames(self.models.vqgan, written)
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
