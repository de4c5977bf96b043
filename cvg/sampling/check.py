"""What the transformers know of held-out codes, and how far they can write on."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8

from cvg.codes.batches import gather_codes
from cvg.codes.store import CodeStore
from cvg.conditions.condition import Kind
from cvg.config import CheckTransformersParams, SampleParams
from cvg.frames.store import FrameStore
from cvg.progress import Steps
from cvg.sampling.decode import decode_as_they_come
from cvg.sampling.likelihood import TRUTHS, TruthSeen, measure_likelihood
from cvg.sampling.models import Models
from cvg.sampling.rollout import Task, roll_out
from cvg.segments import Segment, Window, Windows
from cvg.tensors import Float, Tensor
from cvg.transformer.conditioning import known_conditions

CLIPS_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class Likelihoods:
    """Nats a code by truth seen and level, `[clips, frames after the context]`."""

    nll: Mapping[TruthSeen, Mapping[str, Float[Tensor, "b t"]]]
    codes: Mapping[str, int]  # of a frame, by level
    pixels: int  # of a frame

    def figures(self) -> dict[str, dict[str, float]]:
        """Give means in nats a code by level, and bits of all levels a pixel of a frame."""
        return {
            truth: {level: values.mean().item() for level, values in levels.items()}
            | {"bits_per_pixel": self._bits({k: v.mean().item() for k, v in levels.items()})}
            for truth, levels in self.nll.items()
        }

    def by_frame(self, *, context_frames: int) -> Iterator[dict[str, float | int]]:
        """Give a row a frame: its number from 1 on, bits a pixel by truth seen."""
        frames = next(iter(next(iter(self.nll.values())).values())).shape[1]
        for frame in range(frames):
            yield {"frame": context_frames + frame + 1} | {
                truth: self._bits({k: v[:, frame].mean().item() for k, v in levels.items()})
                for truth, levels in self.nll.items()
            }

    def _bits(self, nats: Mapping[str, float]) -> float:
        total = sum(self.codes[level] * value for level, value in nats.items())
        return total / math.log(2) / self.pixels


def score_codes(
    models: Models,
    store: CodeStore,
    params: CheckTransformersParams,
    *,
    kinds: Sequence[Kind],
    seed: int,
) -> Likelihoods | None:
    """Measure how likely held-out codes are, by how much of the truth is seen.

    Args:
        models: VQGAN and transformers.
        store: codes of the same VQGAN.
        params: clips, frames, context.
        kinds: of conditions that are told.
        seed: of what is drawn.

    Returns:
        None where the transformers are of parallel order, which has no likelihood.
    """
    last = models.finest
    layout = last.model.layout
    if last.model.shape.order != "raster":
        return None
    windows = Windows(store.segments("held_out"), length=params.frames).spread(params.clips)
    nll: dict[TruthSeen, dict[str, list[Tensor]]] = {truth: {} for truth in TRUTHS}
    with Steps("check-transformers: likelihood", total=len(windows) * len(TRUTHS)) as steps:
        for first in range(0, len(windows), CLIPS_AT_ONCE):
            batch = gather_codes(store, windows[first : first + CLIPS_AT_ONCE], layout=layout)
            codes = layout.from_sequence(batch.sequence.to(models.device))
            told = known_conditions(batch, last.conditioning.vocabulary, kinds=kinds)
            for truth in TRUTHS:
                found = measure_likelihood(
                    models.transformers,
                    codes,
                    told,
                    context_frames=params.context_frames,
                    truth=truth,
                    seed=seed,
                )
                for level, values in found.items():
                    nll[truth].setdefault(level, []).append(values)
                steps.advance(len(batch.segments))
    return Likelihoods(
        nll={
            truth: {level: torch.cat(parts) for level, parts in levels.items()}
            for truth, levels in nll.items()
        },
        codes={grid.level: grid.num_codes for grid in layout.grids},
        pixels=models.vqgan.shape.size**2,
    )


@dataclass(frozen=True, kw_only=True)
class LongVideos:
    """Held-out videos continued for a long time, and what is real of them."""

    videos: UInt8[np.ndarray, "n t h w 3"]  # the real context in front
    real: Sequence[UInt8[np.ndarray, "_ h w 3"]]  # as long as the segments are


def write_long(
    models: Models,
    store: CodeStore,
    frames: FrameStore,
    params: CheckTransformersParams,
    settings: SampleParams,
    *,
    seed: int,
) -> LongVideos:
    """Continue held-out segments from their first frames and what does not change in them.

    Args:
        models: VQGAN and transformers.
        store: codes of the same VQGAN.
        frames: the real frames.
        params: number and length of the videos, context.
        settings: how codes are drawn, and which kinds of conditions are told; actions and maps
            are not, because they end with the real videos.
        seed: root seed.
    """
    segments = _longest(
        [s for s in store.segments("held_out") if s.num_frames > params.context_frames],
        params.drift_videos,
    )
    real = [frames.window(s, 0, min(s.num_frames, params.drift_frames)) for s in segments]
    layout = models.finest.model.layout
    batch = gather_codes(
        store, [Window(s, 0, params.context_frames) for s in segments], layout=layout
    )
    context = layout.from_sequence(batch.sequence.to(models.device))
    vocabulary = models.finest.conditioning.vocabulary
    lasting: list[Kind] = [k for k in settings.conditions if k not in ("actions", "map")]
    task = Task(
        names=[f"{segment.video}#drift" for segment in segments],
        conditions=known_conditions(batch, vocabulary, kinds=lasting),
        frames=params.drift_frames,
        context=context,
    )
    videos = [np.stack([clip[: params.context_frames] for clip in real])]
    written = roll_out(models.transformers, task, settings, seed=seed)
    total = params.drift_frames - params.context_frames
    with Steps("check-transformers: long videos", total=total) as steps:
        for chunk in decode_as_they_come(models.vqgan, written):
            videos.append(chunk)
            steps.advance(chunk.shape[1])
    return LongVideos(videos=np.concatenate(videos, axis=1), real=real)


def _longest(segments: Sequence[Segment], count: int) -> list[Segment]:
    """Give the `count` longest segments, the longest first."""
    return sorted(segments, key=lambda segment: (-segment.num_frames, segment.id))[:count]
