"""How videos change as they go on: do they freeze, explode, or leave what was given?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cvg.frames.pixels import changes
from cvg.metrics.measure import PerFrame, paired_metrics
from cvg.metrics.motion import change_figures
from cvg.metrics.networks import Networks
from cvg.tensors import UInt8


@dataclass(frozen=True, kw_only=True)
class Horizon:
    """Figures of the frames from `first` to before `end`, counted from the first of the video.

    Attributes:
        first: number of the first frame.
        end: number after the last.
        motion: mean absolute change from the frame before, grey levels of 0 to 255.
        repeated: share of frames that show the picture of the frame before.
        real_motion: of the real frames.
        motion_distance: Wasserstein-1 distance of the distribution of these changes from that of
            real frames, grey levels: by how much a change has to be altered on average.
        paired: figures against the real frames at the same time, by name; none where there are
            no such frames.
    """

    first: int
    end: int
    motion: float
    repeated: float
    real_motion: float
    motion_distance: float
    paired: Mapping[str, float]


def measure_drift(
    videos: UInt8[np.ndarray, "n t h w 3"],
    real: Sequence[UInt8[np.ndarray, "_ h w 3"]],
    *,
    context_frames: int,
    networks: Networks,
) -> list[Horizon]:
    """Measure videos by horizon: the horizons double, as errors grow with the logarithm of time.

    Args:
        videos: that continue real ones.
        real: the real ones, from the same first frame on; they may be shorter, or longer.
        context_frames: real frames at the start of the videos.
        networks: for the paired figures.

    Returns:
        a row for frames up to 16, 32, 64, ... of the videos, the context left out.
    """
    steps = np.stack([changes(video) for video in videos])
    real_steps = [changes(clip) for clip in real if len(clip) > 1]
    real_motion = float(np.mean([clip.mean() for clip in real_steps]))
    metrics, _ = paired_metrics(networks, size=min(videos.shape[2:4]))
    rows = []
    for first, end in _horizons(context_frames, videos.shape[1]):
        part = steps[:, max(first, 1) - 1 : end - 1]
        rows.append(
            Horizon(
                first=first,
                end=end,
                motion=float(part.mean()),
                real_motion=real_motion,
                **change_figures(part.ravel(), np.concatenate(real_steps)),
                paired={
                    name: value
                    for name, (metric, _) in metrics.items()
                    if (value := _paired(metric, videos, real, first, end)) is not None
                },
            )
        )
    return rows


def _horizons(context_frames: int, frames: int) -> list[tuple[int, int]]:
    """Part the frames after the context at 16, 32, 64, ..."""
    edges = [context_frames]
    edge = 16
    while edge < frames:
        if edge > context_frames:
            edges.append(edge)
        edge *= 2
    return list(pairwise([*edges, frames]))


def _paired(
    metric: PerFrame,
    videos: UInt8[np.ndarray, "n t h w 3"],
    real: Sequence[UInt8[np.ndarray, "_ h w 3"]],
    first: int,
    end: int,
) -> float | None:
    """Give the mean of a metric over the frames of a horizon that are real; None without any."""
    values = [
        metric(clip[None, first : min(end, len(clip))], video[None, first : min(end, len(clip))])
        for video, clip in zip(videos, real, strict=True)
        if len(clip) > first
    ]
    return float(np.mean(np.concatenate([v.ravel() for v in values]))) if values else None
